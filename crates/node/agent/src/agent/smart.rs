//! Asks the disks how they are, for the doctor, who may not: `smartctl`, reading alone. One that sleeps is left asleep.

use std::sync::Arc;
use std::time::Duration;

use muster_api::probe::{DISKS_KEPT, DiskHealth};
use muster_base::error::chain;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::inventory::{Roots, disks};
use crate::orders::program::{Program, ProgramError};

/// A fault is to be known within a minute.
const EVERY: Duration = Duration::from_secs(45);
const LIMIT: Duration = Duration::from_secs(20);

/// What the disks said last.
#[derive(Default)]
pub(super) struct Health(Mutex<Vec<DiskHealth>>);

impl Health {
    pub(super) fn latest(&self) -> Vec<DiskHealth> {
        self.0.lock().clone()
    }

    /// Asks until shutdown; a machine without `smartctl` is not asked.
    pub(super) async fn watch(self: Arc<Self>, roots: Roots, shutdown: CancellationToken) {
        let smartctl = Program::new("smartctl");
        loop {
            if let Some(found) = shutdown.run_until_cancelled(ask(&smartctl, &roots)).await {
                *self.0.lock() = found;
            }
            if shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }
}

async fn ask(smartctl: &Program, roots: &Roots) -> Vec<DiskHealth> {
    let mut found = Vec::new();
    for disk in disks(&roots.sys.join("block")).into_iter().take(DISKS_KEPT) {
        let arguments = ["-j", "-n", "standby", "-H", "-A"].map(str::to_owned).into_iter();
        let arguments: Vec<String> = arguments.chain([format!("/dev/{}", disk.name)]).collect();
        match smartctl.run(&arguments, LIMIT).await {
            // Its exit status tells faults of the disk as well as its own: what counts is the document.
            Ok(said) => found.extend(parse(&disk.name, &said.output)),
            Err(ProgramError::Missing { .. }) => return Vec::new(),
            Err(error) => tracing::debug!(disk = disk.name, error = chain(&error), "a disk was not asked"),
        }
    }
    found
}

#[derive(Deserialize)]
struct Document {
    smart_status: Option<Verdict>,
    ata_smart_attributes: Option<Attributes>,
    nvme_smart_health_information_log: Option<Nvme>,
}

#[derive(Deserialize)]
struct Verdict {
    passed: Option<bool>,
}

#[derive(Deserialize)]
struct Attributes {
    table: Vec<Attribute>,
}

#[derive(Deserialize)]
struct Attribute {
    id: u16,
    raw: Raw,
}

#[derive(Deserialize)]
struct Raw {
    value: u64,
}

#[derive(Deserialize)]
struct Nvme {
    critical_warning: Option<u64>,
    media_errors: Option<u64>,
    available_spare: Option<u64>,
    available_spare_threshold: Option<u64>,
}

/// What the document says of a disk; none where the disk tells nothing of its health.
fn parse(disk: &str, text: &str) -> Option<DiskHealth> {
    let document: Document = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => {
            tracing::debug!(disk, %error, "smartctl answered in another form");
            return None;
        }
    };
    let table = document.ata_smart_attributes.map(|attributes| attributes.table).unwrap_or_default();
    // The upper bytes of a raw value count other things with some makers.
    let attribute = |id| table.iter().find(|row| row.id == id).map(|row| row.raw.value & 0xffff_ffff);
    let nvme = document.nvme_smart_health_information_log;
    let of = |field: fn(&Nvme) -> Option<u64>| nvme.as_ref().and_then(field);
    let health = DiskHealth {
        name: disk.to_owned(),
        passed: document.smart_status.and_then(|verdict| verdict.passed),
        reallocated: attribute(5),
        pending: attribute(197),
        uncorrectable: attribute(198),
        critical_warning: of(|nvme| nvme.critical_warning),
        media_errors: of(|nvme| nvme.media_errors),
        spare_percent: of(|nvme| nvme.available_spare),
        spare_threshold_percent: of(|nvme| nvme.available_spare_threshold),
    };
    (health != DiskHealth { name: disk.to_owned(), ..DiskHealth::default() }).then_some(health)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};

    use super::*;

    const ATA: &str = r#"{"smartctl":{"exit_status":8},"smart_status":{"passed":false},"ata_smart_attributes":{"table":[
        {"id":5,"name":"Reallocated_Sector_Ct","raw":{"value":8,"string":"8"}},
        {"id":194,"name":"Temperature_Celsius","raw":{"value":120259084323,"string":"35 (Min/Max 20/28)"}},
        {"id":197,"name":"Current_Pending_Sector","raw":{"value":16,"string":"16"}}]}}"#;
    const NVME: &str = r#"{"smart_status":{"passed":true,"nvme":{"value":0}},"nvme_smart_health_information_log":{
        "critical_warning":4,"temperature":40,"available_spare":3,"available_spare_threshold":10,"media_errors":7}}"#;
    const NOTHING: &str =
        r#"{"smartctl":{"exit_status":1,"messages":[{"string":"/dev/vda: Unable to detect device type"}]}}"#;

    fn write(path: PathBuf, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A machine of three disks with a `smartctl` that knows them, and sleeps for one.
    fn machine(dir: &Path) -> (Roots, Program) {
        for disk in ["sda", "nvme0n1", "vda"] {
            write(dir.join("sys/block").join(disk).join("size"), "1000\n");
        }
        for (name, text) in [("sda", ATA), ("nvme0n1", NVME), ("vda", NOTHING)] {
            write(dir.join(name), text);
        }
        let program = dir.join("smartctl");
        write(program.clone(), &format!("#!/bin/sh\ncat {}/${{6#/dev/}}\nexit 8\n", dir.display()));
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let roots = Roots { proc: dir.join("proc"), sys: dir.join("sys") };
        (roots, Program { path: program, environment: Vec::new() })
    }

    #[tokio::test]
    async fn ata_and_nvme_disks_are_told_and_those_that_say_nothing_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let (roots, smartctl) = machine(dir.path());
        let nvme = DiskHealth {
            name: "nvme0n1".into(),
            passed: Some(true),
            critical_warning: Some(4),
            media_errors: Some(7),
            spare_percent: Some(3),
            spare_threshold_percent: Some(10),
            ..DiskHealth::default()
        };
        let sda = DiskHealth {
            name: "sda".into(),
            passed: Some(false),
            reallocated: Some(8),
            pending: Some(16),
            ..DiskHealth::default()
        };
        assert_eq!(ask(&smartctl, &roots).await, [nvme, sda]);
    }

    #[tokio::test]
    async fn a_machine_without_the_program_tells_of_no_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (roots, _) = machine(dir.path());
        let missing = Program { path: dir.path().join("none"), environment: Vec::new() };
        assert_eq!(ask(&missing, &roots).await, []);
    }
}
