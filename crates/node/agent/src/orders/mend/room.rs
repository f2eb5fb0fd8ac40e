//! Makes room on one file system. What goes can be had again (images that came from a registry and no container uses, packages
//! that apt has fetched), or is what the machine's own settings call old (systemd-tmpfiles, rotated logs, the journal beyond a
//! size). Nothing else is touched, and nothing on another file system.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use muster_base::error::chain;

use super::{MendHands, done, failed, refused};
use crate::image::PAUSE;
use crate::orders::execute::Outcome;
use crate::orders::program::Program;
use crate::runtime::{Image, Runtime, RuntimeError, Scope};

const PROGRAM_LIMIT: Duration = Duration::from_secs(120);
/// The journal keeps so much.
const JOURNAL_KEPT: &str = "--vacuum-size=256M";
/// A rotated log that is older goes.
const LOGS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Directories below `/var/log` that are looked into, and files that are looked at.
const LOGS_DEPTH: usize = 4;
const LOGS_MAX: usize = 100_000;

/// How much of a file system is used.
#[derive(Clone, Copy)]
struct Usage {
    bytes_free: u64,
    bytes_percent: u64,
    inodes_free: u64,
    inodes_percent: u64,
}

fn percent(all: u64, free: u64) -> u64 {
    100 - (free * 100).checked_div(all).unwrap_or(100).min(100)
}

fn usage(place: &Path) -> io::Result<Usage> {
    let found = nix::sys::statvfs::statvfs(place)?;
    let used = found.blocks().saturating_sub(found.blocks_free());
    Ok(Usage {
        bytes_free: found.blocks_available() * found.fragment_size(),
        bytes_percent: percent(used + found.blocks_available(), found.blocks_available()),
        inodes_free: found.files_available(),
        inodes_percent: percent(found.files(), found.files_available()),
    })
}

/// The place a device is mounted at, as a line of `/proc/mounts` tells; the names of devices are those of Problems.
fn place_of<'a>(line: &'a str, device: &str) -> Option<&'a str> {
    let mut words = line.split(' ');
    let (source, place) = (words.next()?, words.next()?);
    let name = match fs::read_link(source) {
        Ok(target) => target.file_name()?.to_str()?.to_owned(),
        Err(_) => source.strip_prefix("/dev/")?.replace('/', "!"),
    };
    (name == device).then_some(place)
}

/// Whether a log was rotated: nobody writes to it any more.
fn is_rotated(name: &str) -> bool {
    let name = [".gz", ".xz", ".zst", ".bz2"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let number = |end: &str| !end.is_empty() && end.chars().all(|letter| letter.is_ascii_digit());
    name.ends_with(".old")
        || name.rsplit_once(['.', '-']).is_some_and(|(before, end)| !before.is_empty() && number(end))
}

impl MendHands {
    pub(in crate::orders) async fn make_room(
        &self,
        device: &str,
        runtime: &dyn Runtime,
        images: &Path,
        now: SystemTime,
    ) -> Outcome {
        let mounts = fs::read_to_string(self.roots.proc.join("self/mounts")).unwrap_or_default();
        let Some(place) = mounts.lines().find_map(|line| place_of(line, device)) else {
            return refused(format!("arguments.device: no file system of {device} is mounted here"));
        };
        let place = PathBuf::from(place.replace("\\040", " "));
        let (before, number) = match usage(&place).and_then(|usage| Ok((usage, fs::metadata(&place)?.dev())))
        {
            Ok(found) => found,
            Err(error) => return failed(format!("{}: {error}", place.display()), &[]),
        };
        let is_there = |path: &Path| fs::metadata(path).is_ok_and(|found| found.dev() == number);
        let mut told = Vec::new();
        if is_there(images) {
            told.push(match unused_images(runtime).await {
                Ok((count, bytes)) => format!("images: {count} that no container uses, {} MiB", bytes >> 20),
                Err(error) => format!("images: {}", chain(&error)),
            });
        }
        let var = |name: &str| self.root.join("var").join(name);
        if is_there(&var("cache/apt/archives")) {
            told.push(run("packages", &self.programs.apt_get, &["clean"]).await);
        }
        if is_there(&var("log/journal")) {
            told.push(run("journal", &self.programs.journalctl, &[JOURNAL_KEPT]).await);
        }
        if is_there(&var("tmp")) || is_there(&self.root.join("tmp")) {
            told.push(run("temporary files", &self.programs.tmpfiles, &["--clean"]).await);
        }
        if is_there(&var("log")) {
            let log = var("log");
            let swept = tokio::task::spawn_blocking(move || rotated_logs(&log, number, now)).await;
            told.push(match swept {
                Ok(count) => format!("rotated logs: {count}"),
                Err(error) => format!("rotated logs: {error}"),
            });
        }
        if told.is_empty() {
            return failed(
                format!("nothing that may be removed lies on {device} ({})", place.display()),
                &[],
            );
        }
        match usage(&place) {
            Ok(after) => {
                let room = before.bytes_free < after.bytes_free || before.inodes_free < after.inodes_free;
                let words = format!(
                    "{}: {} % used before and {} % now; inodes {} % and {} %",
                    place.display(),
                    before.bytes_percent,
                    after.bytes_percent,
                    before.inodes_percent,
                    after.inodes_percent
                );
                if room { done(words, &told) } else { failed(format!("no room was made on {words}"), &told) }
            }
            Err(error) => failed(format!("{}: {error}", place.display()), &told),
        }
    }
}

async fn run(what: &str, program: &Program, arguments: &[&str]) -> String {
    if !program.path.exists() {
        return format!("{what}: this machine has no {}", program.path.display());
    }
    let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    match program.run(&arguments, PROGRAM_LIMIT).await {
        Ok(said) if said.status.success() => format!("{what}: cleaned"),
        Ok(said) => format!("{what}: {} {}: {}", program.path.display(), said.status, said.words.trim()),
        Err(error) => format!("{what}: {}", chain(&error)),
    }
}

/// Whether an image may go: it came from a registry, so that it can come back, and neither the runtime nor a container needs it.
fn is_unused(image: &Image, used: &BTreeSet<String>) -> bool {
    let names = || image.tags.iter().chain(&image.digests).chain([&image.id]);
    !image.pinned && !image.digests.is_empty() && !names().any(|name| name == PAUSE || used.contains(name))
}

async fn unused_images(runtime: &dyn Runtime) -> Result<(usize, u64), RuntimeError> {
    let images = runtime.images().await?;
    // Asked after the images: one that came meanwhile is not among them.
    let used = runtime.list(Scope::Node).await?.containers.into_iter().map(|row| row.image).collect();
    let (mut count, mut bytes) = (0, 0);
    for image in images.iter().filter(|image| is_unused(image, &used)) {
        runtime.remove_image(&image.id).await?;
        count += 1;
        bytes += image.bytes;
    }
    Ok((count, bytes))
}

/// Removes rotated logs on the file system `number`. What cannot be removed stays.
fn rotated_logs(log: &Path, number: u64, now: SystemTime) -> usize {
    let (mut removed, mut seen) = (0, 0);
    let mut dirs = vec![(log.to_owned(), 0)];
    while let Some((dir, depth)) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            let Ok(found) = fs::symlink_metadata(entry.path()) else { continue };
            if LOGS_MAX < seen || found.dev() != number {
                continue;
            }
            let is_journal = entry.file_name() == "journal";
            if found.is_dir() && depth < LOGS_DEPTH && !is_journal {
                dirs.push((entry.path(), depth + 1));
            }
            let old = found
                .modified()
                .ok()
                .and_then(|at| now.duration_since(at).ok())
                .is_some_and(|age| LOGS_KEPT < age);
            let rotated = entry.file_name().to_str().is_some_and(is_rotated);
            if found.is_file() && old && rotated && fs::remove_file(entry.path()).is_ok() {
                removed += 1;
            }
        }
    }
    removed
}
