//! What a profile demands against what was observed. Pure: the agent notes the difference in its Inventory, the machine
//! database judges it again for the machine, and both say the same.

use muster_api::inventory::{Disk, InventoryStatus, Nic};
use muster_api::profile::{DiskDemand, DiskKind, HardwareProfileSpec, NicDemand};

/// What is not as the profile demands, part by part, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Demanded and not found.
    pub missing: Vec<String>,
    /// Found and not demanded.
    pub surplus: Vec<String>,
}

impl Difference {
    /// Whether all is as demanded.
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty()
    }
}

/// The difference between a profile and a machine's facts.
pub fn difference(profile: &HardwareProfileSpec, found: &InventoryStatus) -> Difference {
    let mut difference = Difference::default();
    numbers(profile, found, &mut difference);
    texts(profile, found, &mut difference);
    disks(&profile.disks, &found.disks, &mut difference);
    nics(&profile.nics, &found.nics, &mut difference);
    difference
}

fn numbers(profile: &HardwareProfileSpec, found: &InventoryStatus, difference: &mut Difference) {
    let rows = [
        ("cpu", "cores", profile.cpu_cores, found.cpu.cores),
        ("memory", "GiB", profile.memory_gib, found.memory_gib),
    ];
    for (what, unit, wanted, there) in rows.into_iter().filter(|(_, _, wanted, there)| there < wanted) {
        difference.missing.push(format!("{what}: {} of {wanted} {unit}, {there} found", wanted - there));
    }
}

fn texts(profile: &HardwareProfileSpec, found: &InventoryStatus, difference: &mut Difference) {
    let rows = [("model", &profile.model, &found.model), ("firmware", &profile.firmware, &found.firmware)];
    for (what, wanted, text) in rows {
        if !wanted.is_empty() && wanted != text {
            difference.missing.push(format!("{what}: {wanted:?}, {text:?} found"));
        }
    }
    let pattern = &profile.serial_pattern;
    if !pattern.is_empty() && !matches(pattern.as_bytes(), found.serial.as_bytes()) {
        difference.missing.push(format!("serial: one like {pattern:?}, {:?} found", found.serial));
    }
}

/// `*` stands for any letters, `?` for one.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|from| matches(rest, &text[from..])),
        (Some((b'?', rest)), Some((_, text))) => matches(rest, text),
        (Some((letter, rest)), Some((found, text))) => letter == found && matches(rest, text),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

const GB: u64 = 1_000_000_000;

fn kind(disk: &Disk) -> DiskKind {
    if disk.rotational {
        DiskKind::Hdd
    } else if disk.name.starts_with("nvme") {
        DiskKind::Nvme
    } else {
        DiskKind::Ssd
    }
}

fn disk_fits(demand: &DiskDemand, disk: &Disk) -> bool {
    let kind_fits = match demand.kind {
        None => true,
        Some(DiskKind::Ssd) => !disk.rotational,
        Some(wanted @ (DiskKind::Hdd | DiskKind::Nvme)) => kind(disk) == wanted,
    };
    kind_fits && u64::from(demand.size_gb) * GB <= disk.size_bytes
}

/// The strictest demand takes first, and the smallest disk that is enough: a large disk is left for whom nothing less
/// will do.
fn disks(demands: &[DiskDemand], disks: &[Disk], difference: &mut Difference) {
    let mut free: Vec<&Disk> = disks.iter().collect();
    free.sort_by_key(|disk| (disk.size_bytes, disk.name.clone()));
    let mut order: Vec<&DiskDemand> = demands.iter().collect();
    let strictness = |demand: &DiskDemand| match demand.kind {
        Some(DiskKind::Nvme | DiskKind::Hdd) => 2_u8,
        Some(DiskKind::Ssd) => 1,
        None => 0,
    };
    order.sort_by_key(|demand| std::cmp::Reverse((strictness(demand), demand.size_gb)));
    for demand in order {
        let found = take(demand.count, &mut free, |disk| disk_fits(demand, disk));
        if found < demand.count {
            let (missing, wanted) = (demand.count - found, demand.count);
            let kind = demand.kind.map_or("disk", DiskKind::as_str);
            let size = if demand.size_gb == 0 { String::new() } else { format!(" of {} GB", demand.size_gb) };
            difference.missing.push(format!("disks: {missing} of {wanted} {kind}{size}, {found} found"));
        }
    }
    if demands.is_empty() {
        return;
    }
    difference.surplus.extend(free.iter().map(|disk| {
        let serial = if disk.serial.is_empty() { String::new() } else { format!(", serial {}", disk.serial) };
        format!("disk {}: {} of {} GB{serial}", disk.name, kind(disk).as_str(), disk.size_bytes / GB)
    }));
}

fn nics(demands: &[NicDemand], nics: &[Nic], difference: &mut Difference) {
    let mut free: Vec<&Nic> = nics.iter().collect();
    free.sort_by_key(|nic| (nic.speed_mbps, nic.name.clone()));
    let mut order: Vec<&NicDemand> = demands.iter().collect();
    order.sort_by_key(|demand| std::cmp::Reverse(demand.speed_mbps));
    for demand in order {
        let speed = demand.speed_mbps;
        let fits = |nic: &Nic| speed == 0 || nic.speed_mbps.is_some_and(|found| speed <= found);
        let found = take(demand.count, &mut free, fits);
        if found < demand.count {
            let (missing, wanted) = (demand.count - found, demand.count);
            let speed = if speed == 0 { String::new() } else { format!(" of {speed} Mbit/s") };
            difference.missing.push(format!("nics: {missing} of {wanted}{speed}, {found} found"));
        }
    }
    if demands.is_empty() {
        return;
    }
    difference.surplus.extend(free.iter().map(|nic| {
        let speed = nic.speed_mbps.map(|speed| format!(", {speed} Mbit/s")).unwrap_or_default();
        format!("nic {}: {}{speed}", nic.name, nic.mac)
    }));
}

/// Takes up to `count` parts that fit, and says how many.
fn take<T>(count: u32, free: &mut Vec<&T>, fits: impl Fn(&T) -> bool) -> u32 {
    let mut taken = 0;
    free.retain(|part| {
        let takes = taken < count && fits(part);
        taken += u32::from(takes);
        !takes
    });
    taken
}

#[cfg(test)]
mod tests {
    use muster_api::inventory::Cpu;
    use serde_json::{Value, json};

    use super::*;

    /// `"nvme0n1:960 sda:4000h"`: name and GB, `h` where it spins.
    fn observed(disks: &str, nics: &str) -> InventoryStatus {
        let disk = |word: &str| {
            let (name, size) = word.split_once(':').unwrap();
            Disk {
                name: name.into(),
                size_bytes: size.trim_end_matches('h').parse::<u64>().unwrap() * GB,
                rotational: size.ends_with('h'),
                model: String::new(),
                serial: String::new(),
            }
        };
        let nic = |word: &str| {
            let (name, speed) = word.split_once(':').unwrap();
            let speed_mbps = speed.parse().ok();
            Nic { name: name.into(), mac: "02:00".into(), speed_mbps, driver: String::new() }
        };
        InventoryStatus {
            cpu: Cpu { cores: 16, ..Cpu::default() },
            memory_gib: 62,
            serial: "ABC-17".into(),
            model: "R1".into(),
            disks: disks.split_whitespace().map(disk).collect(),
            nics: nics.split_whitespace().map(nic).collect(),
            ..InventoryStatus::default()
        }
    }

    fn check(profile: &Value, found: &InventoryStatus, missing: &[&str], surplus: &[&str]) {
        let profile: HardwareProfileSpec = serde_json::from_value(profile.clone()).unwrap();
        let got = difference(&profile, found);
        assert_eq!((got.missing.as_slice(), got.surplus.as_slice()), (&*owned(missing), &*owned(surplus)));
    }

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_is_not_named_is_not_demanded() {
        check(&json!({}), &observed("sda:1h", "eth0:1000"), &[], &[]);
        let enough = json!({"cpuCores": 16, "memoryGiB": 62, "model": "R1", "serialPattern": "ABC-??"});
        check(&enough, &observed("", ""), &[], &[]);
    }

    #[test]
    fn numbers_and_names_that_differ_are_named() {
        let profile =
            json!({"cpuCores": 32, "memoryGiB": 64, "model": "R2", "serialPattern": "X*", "firmware": "2.1"});
        let missing = [
            "cpu: 16 of 32 cores, 16 found",
            "memory: 2 of 64 GiB, 62 found",
            "model: \"R2\", \"R1\" found",
            "firmware: \"2.1\", \"\" found",
            "serial: one like \"X*\", \"ABC-17\" found",
        ];
        check(&profile, &observed("", ""), &missing, &[]);
    }

    #[test]
    fn a_small_demand_never_takes_the_disk_that_a_large_one_needs() {
        let profile =
            json!({"disks": [{"count": 1, "sizeGB": 100}, {"count": 1, "sizeGB": 900, "type": "nvme"}]});
        check(&profile, &observed("nvme0n1:960 sda:120", ""), &[], &[]);
        let missing = ["disks: 1 of 1 nvme of 900 GB, 0 found"];
        check(&profile, &observed("sda:120 sdb:4000h", ""), &missing, &["disk sdb: hdd of 4000 GB"]);
    }

    #[test]
    fn cards_are_counted_by_speed_and_what_is_beyond_is_surplus() {
        let profile = json!({"nics": [{"count": 2, "speedMbps": 25000}]});
        check(&profile, &observed("", "eth0:25000 eth1:100000"), &[], &[]);
        let surplus = ["nic eth2: 02:00", "nic eth1: 02:00, 1000 Mbit/s"];
        let missing = ["nics: 1 of 2 of 25000 Mbit/s, 1 found"];
        check(&profile, &observed("", "eth0:25000 eth1:1000 eth2:-"), &missing, &surplus);
    }
}
