//! Hardware facts from `/proc` and `/sys`: a pure function of two directories, so that a copy of them is as good as a machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use muster_api::inventory::{Cpu, Disk, InventoryStatus, Nic};

mod report;
mod speed;

pub use report::{ReportError, Reporter};

/// Where the kernel's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    pub proc: PathBuf,
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc"), sys: PathBuf::from("/sys") }
    }
}

/// A file of one line; empty if it cannot be read.
fn line(path: &Path) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// What this machine is made of, at `now`.
pub fn observe(roots: &Roots, now: Timestamp) -> InventoryStatus {
    InventoryStatus {
        observed_at: Some(now),
        boot_id: boot_id(roots),
        kernel: line(&roots.proc.join("sys/kernel/osrelease")),
        image: image(&fs::read_to_string(roots.proc.join("1/root/etc/os-release")).unwrap_or_default()),
        cpu: cpu(&fs::read_to_string(roots.proc.join("cpuinfo")).unwrap_or_default()),
        memory_gib: u32::try_from(memory_bytes(roots) >> 30).unwrap_or(u32::MAX),
        disks: disks(&roots.sys.join("block")),
        nics: nics(&roots.sys.join("class/net")),
        serial: serial(&roots.sys),
        model: told(&roots.sys.join("class/dmi/id/product_name")),
        firmware: told(&roots.sys.join("class/dmi/id/bios_version")),
        speed: None,
        missing: Vec::new(),
        surplus: Vec::new(),
    }
}

/// What os-release(5) calls the system: the image and its version where it tells them, else the name for people.
pub(crate) fn image(text: &str) -> String {
    let value = |key: &str| {
        let mut rows = text.lines().filter_map(|line| line.split_once('='));
        let value = rows.find(|(name, _)| *name == key).map(|(_, value)| value.trim_matches('"'));
        value.filter(|value| !value.is_empty())
    };
    match (value("IMAGE_ID"), value("IMAGE_VERSION")) {
        (Some(id), Some(version)) => format!("{id} {version}"),
        (Some(id), None) => id.to_owned(),
        (None, _) => value("PRETTY_NAME").unwrap_or_default().to_owned(),
    }
}

/// The kernel's name for this boot.
pub fn boot_id(roots: &Roots) -> String {
    line(&roots.proc.join("sys/kernel/random/boot_id"))
}

/// All memory, as the kernel counts it.
pub fn memory_bytes(roots: &Roots) -> u64 {
    let text = fs::read_to_string(roots.proc.join("meminfo")).unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    kib * 1024
}

fn cpu(text: &str) -> Cpu {
    let values = |wanted: &'static str| {
        let rows = text.lines().filter_map(|line| line.split_once(':'));
        rows.filter(move |(key, _)| key.trim() == wanted).map(|(_, value)| value.trim())
    };
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let threads = values("processor").count();
    let packages: Vec<&str> = values("physical id").collect();
    let cores: BTreeSet<(&str, &str)> = packages.iter().copied().zip(values("core id")).collect();
    let sockets: BTreeSet<&str> = packages.iter().copied().collect();
    Cpu {
        model: values("model name").next().unwrap_or_default().to_owned(),
        sockets: count(sockets.len().max(usize::from(threads > 0))),
        // Virtual machines and some architectures do not tell cores: then every thread counts as one.
        cores: count(if cores.is_empty() { threads } else { cores.len() }),
        threads: count(threads),
    }
}

/// Devices that hold data of their own: not loops, memory disks, or what is stacked on other devices.
fn is_disk(dir: &Path, name: &str) -> bool {
    let virtual_kind =
        ["loop", "ram", "zram", "dm-", "md", "nbd", "sr", "fd"].iter().any(|prefix| name.starts_with(prefix));
    !virtual_kind && line(&dir.join(name).join("size")).parse::<u64>().is_ok_and(|sectors| sectors > 0)
}

/// The disks that a directory like `/sys/block` tells of.
pub(crate) fn disks(dir: &Path) -> Vec<Disk> {
    let disk = |name: String| {
        let base = dir.join(&name);
        let sectors: u64 = line(&base.join("size")).parse().unwrap_or(0);
        let serial = line(&base.join("device/serial"));
        Disk {
            // The kernel counts sectors of 512 bytes, whatever the device's own are.
            size_bytes: sectors * 512,
            rotational: line(&base.join("queue/rotational")) == "1",
            model: line(&base.join("device/model")),
            serial: if serial.is_empty() { line(&base.join("serial")) } else { serial },
            name,
        }
    };
    names(dir).into_iter().filter(|name| is_disk(dir, name)).map(disk).collect()
}

/// A card has a device behind it; bridges, tunnels and the far ends of pods have none.
fn nics(dir: &Path) -> Vec<Nic> {
    let nic = |name: String| {
        let base = dir.join(&name);
        let driver = fs::read_link(base.join("device/driver")).ok();
        let driver = driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        Nic {
            mac: line(&base.join("address")),
            // Drivers that do not know say -1.
            speed_mbps: line(&base.join("speed")).parse::<u32>().ok(),
            driver: driver.unwrap_or_default(),
            name,
        }
    };
    names(dir).into_iter().filter(|name| dir.join(name).join("device").exists()).map(nic).collect()
}

/// Vendors that do not fill it in leave phrases like these.
const NO_SERIALS: &[&str] =
    &["", "None", "Not Specified", "To be filled by O.E.M.", "Default string", "0", "System Serial Number"];

/// What the firmware tells, unless it is a phrase that stands for nothing.
fn told(path: &Path) -> String {
    Some(line(path)).filter(|text| !NO_SERIALS.contains(&text.as_str())).unwrap_or_default()
}

fn serial(sys: &Path) -> String {
    let files = [
        "class/dmi/id/product_serial",
        "class/dmi/id/board_serial",
        "firmware/devicetree/base/serial-number",
    ];
    let serials = files.iter().map(|file| line(&sys.join(file)).trim_end_matches('\0').to_owned());
    serials.into_iter().find(|serial| !NO_SERIALS.contains(&serial.as_str())).unwrap_or_default()
}

#[cfg(test)]
mod tests;
