//! On real block devices: loop devices that the directories of the test show as disks.

#![expect(clippy::print_stdout, reason = "a test that cannot run says why")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::*;

const BYTES: usize = 24 << 20;

/// A machine with loop devices for disks; detached at its end.
struct Machine {
    directory: tempfile::TempDir,
    disks: Disks,
    loops: Vec<String>,
}

impl Machine {
    /// `None` where no loop device can be had.
    fn with(names: &[(&str, &str)]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let disks = Disks { sys: directory.path().join("sys"), dev: directory.path().join("dev") };
        fs::create_dir_all(&disks.dev).unwrap();
        let mut machine = Self { directory, disks, loops: Vec::new() };
        for (name, serial) in names {
            let image = machine.image(name);
            fs::write(&image, vec![0xA5; BYTES]).unwrap();
            let attached = Command::new("losetup").args(["--find", "--show"]).arg(&image).output();
            let Some(attached) = attached.ok().filter(|output| output.status.success()) else {
                println!("could not run: no loop device can be had here");
                return None;
            };
            let device = String::from_utf8(attached.stdout).unwrap().trim().to_owned();
            symlink(&device, machine.disks.dev.join(name)).unwrap();
            machine.loops.push(device);
            let told = machine.disks.sys.join(name);
            fs::create_dir_all(told.join("device")).unwrap();
            fs::write(told.join("size"), format!("{}\n", BYTES / 512)).unwrap();
            fs::write(told.join("device/serial"), format!("{serial}\n")).unwrap();
        }
        Some(machine)
    }

    fn image(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(format!("{name}.img"))
    }

    fn erase(&self, names: &[&str]) -> Result<Vec<String>, EraseError> {
        erase(&self.disks, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    /// Whether every byte of the disk is this.
    fn is_all(&self, name: &str, byte: u8) -> bool {
        let device = self.disks.dev.join(name);
        fs::read(device).unwrap().iter().all(|found| *found == byte)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for device in &self.loops {
            let detached = Command::new("losetup").args(["--detach", device]).status();
            assert!(detached.is_ok_and(|status| status.success()), "{device} stays attached");
        }
    }
}

#[test]
fn the_disks_that_are_named_are_overwritten_whole_and_no_other() {
    let Some(machine) = Machine::with(&[("sda", "S1"), ("sdb", "S2"), ("vda", "")]) else { return };
    let told = machine.erase(&["S2, vda", "S2"]).unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("sdb, serial number S2: 25165824 bytes overwritten with zeros in "),
        "{told:?}"
    );
    assert!(told[1].starts_with("vda, serial number none: "), "{told:?}");
    assert!(machine.is_all("sda", 0xA5));
    assert!(machine.is_all("sdb", 0) && machine.is_all("vda", 0));
}

#[test]
fn one_wrong_name_and_nothing_is_touched() {
    let Some(machine) = Machine::with(&[("sda", "S1"), ("sdb", "S2"), ("sdc", "S2")]) else { return };
    for (names, expected) in [
        (&[""][..], "arguments.disks: no disk is named, and none is not all"),
        (&[], "arguments.disks: no disk is named, and none is not all"),
        (
            &["S1", "S9"],
            "arguments.disks: no disk here is called \"S9\"; there are S1 (sda), S2 (sdb), S2 (sdc)",
        ),
        (
            &["sda"],
            "arguments.disks: sda has the serial number \"S1\": name it by that, for kernel names move",
        ),
        (&["S1", "S2"], "arguments.disks: several disks have the serial number \"S2\""),
        (&["*"], "arguments.disks: no disk here is called \"*\"; there are S1 (sda), S2 (sdb), S2 (sdc)"),
    ] {
        let error = machine.erase(names).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.is_refusal());
    }
    assert!(machine.is_all("sda", 0xA5) && machine.is_all("sdb", 0xA5));
}

#[test]
fn a_disk_in_use_is_refused_by_the_kernel_and_the_others_stay_as_they_are() {
    let Some(machine) = Machine::with(&[("sda", "S1"), ("sdb", "S2")]) else { return };
    let device = machine.disks.dev.join("sdb");
    let place = machine.directory.path().join("mnt");
    fs::create_dir(&place).unwrap();
    run("mkfs.ext4", &["-q", "-F", device.to_str().unwrap()]);
    run("mount", &[device.to_str().unwrap(), place.to_str().unwrap()]);
    File::create(place.join("kept")).unwrap().write_all(b"kept").unwrap();
    let error = machine.erase(&["S1", "S2"]);
    let kept = fs::read(place.join("kept"));
    run("umount", &[place.to_str().unwrap()]);
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "disk sdb is in use: mounted, swapped to or part of another device; nothing was erased"
    );
    assert!(error.is_refusal());
    assert_eq!(kept.unwrap(), b"kept");
    assert!(machine.is_all("sda", 0xA5));
}

#[test]
fn a_device_of_another_size_than_the_kernel_tells_is_not_taken_for_the_disk() {
    let Some(machine) = Machine::with(&[("sda", "S1")]) else { return };
    fs::write(machine.disks.sys.join("sda/size"), "8\n").unwrap();
    let error = machine.erase(&["S1"]).unwrap_err().to_string();
    assert_eq!(error, "disk sda has 25165824 bytes and not 4096, as the kernel tells: nothing was erased");
    assert!(machine.is_all("sda", 0xA5));
}

fn run(program: &str, arguments: &[&str]) {
    let program = if Path::new("/usr/sbin").join(program).exists() {
        format!("/usr/sbin/{program}")
    } else {
        program.to_owned()
    };
    let output = Command::new(&program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
