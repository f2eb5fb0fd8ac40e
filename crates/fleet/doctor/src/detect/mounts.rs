//! File systems: read-only though they were not meant to be, full, or out of inodes.
//!
//! Only those of block devices that Linux writes to are looked at: asking them for their size waits for nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Detector;
use crate::kernel::{Roots, number};
use crate::klog::scan::is_virtual_disk;
use crate::rule::{Finding, Look, Rest, Rule, Sign};

const SOURCE: &str = "mounts";
const EVERY: Duration = Duration::from_secs(5);
const KINDS: [&str; 8] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "jfs"];
/// Full from so many percent on, if less than that is free; well again below so many.
const FULL_PERCENT: u64 = 95;
const FULL_FREE_BYTES: u64 = 16 << 30;
const WELL_PERCENT: u64 = 90;
/// Out of inodes from so many percent on, if fewer than that are free.
const FULL_FREE_INODES: u64 = 100_000;

/// What a file system says of its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    pub(crate) bytes_free: u64,
    pub(crate) inodes: u64,
    pub(crate) inodes_free: u64,
}

fn usage(path: &Path) -> io::Result<Usage> {
    let found = nix::sys::statvfs::statvfs(path)?;
    let used = found.blocks().saturating_sub(found.blocks_free());
    Ok(Usage {
        // As df counts: what is kept for root is neither used nor free.
        bytes: (used + found.blocks_available()) * found.fragment_size(),
        bytes_free: found.blocks_available() * found.fragment_size(),
        inodes: found.files(),
        inodes_free: found.files_available(),
    })
}

struct Mount {
    device: String,
    place: PathBuf,
    kind: String,
    options: BTreeSet<String>,
}

/// How a file system is asked for its size.
type Asked = Box<dyn Fn(&Path) -> io::Result<Usage> + Send>;

/// The detector.
pub(crate) struct Mounts {
    roots: Roots,
    virtual_devices: bool,
    usage: Asked,
    readonly: Arc<Rule>,
    full: Arc<Rule>,
    inodes: Arc<Rule>,
    /// File systems that were seen to be written to.
    writable: BTreeSet<String>,
    /// What is over its limit, until it is well below it.
    over: BTreeMap<(&'static str, String), ()>,
}

impl Mounts {
    pub(crate) fn new(roots: Roots, virtual_devices: bool) -> Self {
        Self {
            roots,
            virtual_devices,
            usage: Box::new(usage),
            readonly: Rule::level(SOURCE, "mount-readonly", "fs.readonly", 1, 10),
            full: Rule::level(SOURCE, "fs-full", "fs.full", 2, 30),
            inodes: Rule::level(SOURCE, "fs-inodes", "fs.inodes", 2, 30),
            writable: BTreeSet::new(),
            over: BTreeMap::new(),
        }
    }

    fn mounts(&self) -> Option<Vec<Mount>> {
        let text = std::fs::read_to_string(self.roots.proc.join("self/mounts")).ok()?;
        let mut seen = BTreeSet::new();
        let mounts = text.lines().filter_map(mount);
        let watched = |mount: &Mount| {
            let is_new = seen.insert(mount.device.clone());
            is_new
                && KINDS.contains(&mount.kind.as_str())
                && (self.virtual_devices || !is_virtual_disk(&mount.device))
        };
        Some(mounts.filter(watched).collect())
    }

    fn readonly(&mut self, mount: &Mount) -> Option<String> {
        let has = |option: &str| mount.options.contains(option);
        let place = mount.place.display();
        let errors =
            number(&self.roots.sys.join("fs").join(&mount.kind).join(&mount.device).join("errors_count"));
        let errors = errors.unwrap_or(0);
        if has("emergency_ro") {
            return Some(format!(
                "{place}: emergency_ro, {errors} errors: the kernel takes no write any more"
            ));
        }
        if has("shutdown") {
            return Some(format!("{place}: the file system was shut down"));
        }
        if has("rw") {
            self.writable.insert(mount.device.clone());
            return None;
        }
        if self.writable.contains(&mount.device) {
            return Some(format!("{place}: turned read-only, {errors} errors"));
        }
        (0 < errors && has("errors=remount-ro"))
            .then(|| format!("{place}: read-only, {errors} errors, errors=remount-ro"))
    }

    fn limits(&mut self, mount: &Mount, found: Usage) -> [Finding; 2] {
        let place = mount.place.display();
        let Usage { bytes, bytes_free, inodes, inodes_free } = found;
        let full = self.is_over("bytes", mount, bytes, bytes_free, FULL_FREE_BYTES).then(|| {
            format!(
                "{place}: {} % of {} MiB used, {} MiB free",
                percent(bytes, bytes_free),
                bytes >> 20,
                bytes_free >> 20
            )
        });
        let empty = self.is_over("inodes", mount, inodes, inodes_free, FULL_FREE_INODES).then(|| {
            format!("{place}: {} % of {inodes} inodes used, {inodes_free} free", percent(inodes, inodes_free))
        });
        [Finding::of(&self.full, &mount.device, full), Finding::of(&self.inodes, &mount.device, empty)]
    }

    fn is_over(&mut self, what: &'static str, mount: &Mount, all: u64, free: u64, enough: u64) -> bool {
        let key = (what, mount.device.clone());
        let (percent, was) = (percent(all, free), self.over.contains_key(&key));
        let limit = if was { WELL_PERCENT } else { FULL_PERCENT };
        let enough = if was { enough + enough / 4 } else { enough };
        let is = 0 < all && limit <= percent && free < enough;
        if is {
            self.over.insert(key, ());
        } else {
            self.over.remove(&key);
        }
        is
    }
}

fn percent(all: u64, free: u64) -> u64 {
    all.saturating_sub(free).saturating_mul(100).checked_div(all).unwrap_or(0)
}

/// A line of `/proc/self/mounts`; none where it is no device.
fn mount(line: &str) -> Option<Mount> {
    let mut words = line.split(' ');
    let (device, place, kind, options) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let name = device.strip_prefix("/dev/")?;
    let name = match std::fs::read_link(device) {
        Ok(target) => target.file_name()?.to_str()?.to_owned(),
        Err(_) => name.replace('/', "!"),
    };
    Some(Mount {
        device: name,
        place: PathBuf::from(unescaped(place)),
        kind: kind.to_owned(),
        options: options.split(',').map(str::to_owned).collect(),
    })
}

/// The kernel writes what would end a word as three octal digits (proc_pid_mounts(5)).
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (escaped, letter)| text.replace(escaped, letter))
}

impl Detector for Mounts {
    fn every(&self) -> Duration {
        EVERY
    }

    fn rules(&self) -> Vec<Arc<Rule>> {
        vec![Arc::clone(&self.readonly), Arc::clone(&self.full), Arc::clone(&self.inodes)]
    }

    fn look(&mut self, _now: Timestamp) -> Look {
        let Some(mounts) = self.mounts() else {
            return Look { source: SOURCE, found: Vec::new(), rest: Rest::Unseen };
        };
        let mut found = Vec::new();
        for mount in &mounts {
            let bad = self.readonly(mount);
            found.push(Finding::of(&self.readonly, &mount.device, bad));
            match (self.usage)(&mount.place) {
                Ok(usage) => found.extend(self.limits(mount, usage)),
                // Mounted where this user may not go.
                Err(_) => {
                    let unseen = |rule| Finding::new(rule, &mount.device, Sign::Unseen);
                    found.extend([unseen(&self.full), unseen(&self.inodes)]);
                }
            }
        }
        let there = |device: &String| mounts.iter().any(|mount| mount.device == *device);
        self.writable.retain(there);
        // What is mounted no more is neither full nor read-only.
        Look { source: SOURCE, found, rest: Rest::Good }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Bench, Tree, at, bad};
    use super::*;

    fn detector(tree: &Tree, usage: Usage) -> Mounts {
        let mut mounts = Mounts::new(tree.roots(), false);
        mounts.usage = Box::new(move |_| Ok(usage));
        mounts
    }

    fn mounts(tree: &Tree, lines: &[&str]) {
        tree.write(&format!("proc/self/mounts = {}", lines.join("\\n")));
    }

    const ROOMY: Usage = Usage { bytes: 100 << 20, bytes_free: 50 << 20, inodes: 1000, inodes_free: 500 };

    #[test]
    fn a3_emergency_ro_shows_in_the_options_and_clears_after_the_mount_is_well_again() {
        let tree = Tree::new();
        mounts(&tree, &["proc /proc proc rw 0 0", "/dev/xsda1 /data ext4 rw,relatime,emergency_ro 0 0"]);
        tree.write("sys/fs/ext4/xsda1/errors_count = 1");
        let mut bench = Bench::new(detector(&tree, ROOMY));
        assert_eq!(
            bad(&bench.detector.look(at(0))),
            ["fs.readonly xsda1: /data: emergency_ro, 1 errors: the kernel takes no write any more"]
        );
        assert_eq!(bench.look(0), ["fs.readonly xsda1 Open"]);
        mounts(&tree, &["proc /proc proc rw 0 0"]);
        assert_eq!(bench.looks(5, 10), ["fs.readonly xsda1 Open"]);
        mounts(&tree, &["/dev/xsda1 /data ext4 rw,relatime 0 0"]);
        assert_eq!(bench.looks(15, 15), ["fs.readonly xsda1 Clear"]);
    }

    #[test]
    fn a3_a_file_system_that_turns_read_only_is_told_and_one_meant_so_is_not() {
        let tree = Tree::new();
        mounts(
            &tree,
            &["/dev/xsda1 / ext4 rw 0 0", "/dev/xsdb1 /boot ext4 ro 0 0", "/dev/xsr0 /cd iso9660 ro 0 0"],
        );
        let mut detector = detector(&tree, ROOMY);
        assert_eq!(bad(&detector.look(at(0))), [""; 0]);
        mounts(
            &tree,
            &["/dev/xsda1 / ext4 ro 0 0", "/dev/xsdb1 /boot ext4 ro 0 0", "/dev/xsdc /x xfs rw,shutdown 0 0"],
        );
        let expected = [
            "fs.readonly xsda1: /: turned read-only, 0 errors",
            "fs.readonly xsdc: /x: the file system was shut down",
        ];
        assert_eq!(bad(&detector.look(at(5))), expected);
        let mut late = self::detector(&tree, ROOMY);
        tree.write("sys/fs/ext4/xsdb1/errors_count = 3");
        mounts(&tree, &["/dev/xsdb1 /my\\040disk ext4 ro,errors=remount-ro 0 0"]);
        let expected = ["fs.readonly xsdb1: /my disk: read-only, 3 errors, errors=remount-ro"];
        assert_eq!(bad(&late.look(at(0))), expected, "seen so from the begin");
    }

    #[test]
    fn a4_full_and_out_of_inodes_are_two_classes_with_room_between_opening_and_clearing() {
        let tree = Tree::new();
        mounts(&tree, &["/dev/xsda1 /data ext4 rw 0 0", "/dev/xsda1 /again ext4 rw 0 0"]);
        let full = Usage { bytes_free: 4 << 20, inodes_free: 20, ..ROOMY };
        let mut bench = Bench::new(detector(&tree, full));
        assert_eq!(
            bad(&bench.detector.look(at(0))),
            [
                "fs.full xsda1: /data: 96 % of 100 MiB used, 4 MiB free",
                "fs.inodes xsda1: /data: 98 % of 1000 inodes used, 20 free"
            ]
        );
        assert_eq!(bench.looks(0, 5), ["fs.full xsda1 Open", "fs.inodes xsda1 Open"]);
        let less = Usage { bytes_free: 9 << 20, inodes_free: 90, ..ROOMY };
        bench.detector.usage = Box::new(move |_| Ok(less));
        assert_eq!(
            bench.looks(10, 60),
            ["fs.full xsda1 Open", "fs.inodes xsda1 Open"],
            "91 % is still too much"
        );
        bench.detector.usage = Box::new(|_| Ok(ROOMY));
        assert_eq!(bench.looks(65, 90), ["fs.full xsda1 Open", "fs.inodes xsda1 Open"]);
        assert_eq!(bench.looks(95, 95), ["fs.full xsda1 Clear", "fs.inodes xsda1 Clear"]);
    }

    #[test]
    fn a_large_disk_of_which_much_is_free_is_not_full_and_loops_are_not_looked_at() {
        let tree = Tree::new();
        mounts(&tree, &["/dev/xsda1 /data ext4 rw 0 0", "/dev/loop0 /snap/x ext4 rw,emergency_ro 0 0"]);
        let large = Usage { bytes: 16 << 40, bytes_free: 400 << 30, inodes: 0, inodes_free: 0 };
        assert_eq!(bad(&detector(&tree, large).look(at(0))), [""; 0]);
        let mut detector = detector(&tree, large);
        detector.usage = Box::new(|_| Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(bad(&detector.look(at(0))), ["fs.full xsda1: unseen", "fs.inodes xsda1: unseen"]);
        detector.roots.proc = tree.path().join("none");
        assert_eq!(detector.look(at(0)).rest, Rest::Unseen);
    }
}
