//! Bad disks: one that answers with errors, one that does not answer.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::bench::{Bench, needs, rest, run, wait_for, wait_state, write};
use crate::kernel_log::hand_on;

const SECOND: Duration = Duration::from_secs(1);

/// A loop device over a file that a network block device stands behind; its server can be told to fail or to wait.
struct BadDisk {
    server: Child,
    files: Child,
    file: PathBuf,
    device: String,
}

impl BadDisk {
    async fn new(dir: &Path, told: &[&str]) -> Self {
        let socket = dir.join("nbd.sock");
        let mut server = Command::new("nbdkit");
        server.args([
            "-f",
            "-U",
            socket.to_str().unwrap(),
            "--filter=error",
            "--filter=delay",
            "memory",
            "64M",
        ]);
        let server = server.args(told).stdout(Stdio::null()).spawn().unwrap();
        until("nbdkit", || socket.exists()).await;
        let file = dir.join("nbd");
        std::fs::write(&file, "").unwrap();
        let mut files = Command::new("nbdfuse");
        let files = files.args([file.to_str().unwrap(), "--unix", socket.to_str().unwrap()]).spawn().unwrap();
        let there = || std::fs::metadata(&file).is_ok_and(|found| found.len() == 64 << 20);
        until("nbdfuse", there).await;
        let device = run("losetup", &["-f", "--show", file.to_str().unwrap()]);
        Self { server, files, file, device }
    }

    fn name(&self) -> &str {
        self.device.strip_prefix("/dev/").unwrap()
    }

    /// Reads at a place where nothing was read yet, past the page cache.
    fn read(&self, block: u32) -> Child {
        let mut read = Command::new("dd");
        read.args([&format!("if={}", self.device), "of=/dev/null", "bs=4k", "count=1", "iflag=direct"]);
        read.arg(format!("skip={block}")).stderr(Stdio::null()).spawn().unwrap()
    }
}

async fn until(what: &str, done: impl Fn() -> bool) {
    wait_for(what, 20 * SECOND, || if done() { Ok(()) } else { Err("not yet".to_owned()) }).await;
}

impl Drop for BadDisk {
    fn drop(&mut self) {
        // Without its server what waits for it fails, and all else can end.
        let killed = self.server.kill().and_then(|()| self.server.wait());
        let freed = Command::new("losetup").args(["-d", &self.device]).status();
        let unmounted = Command::new("umount").arg("-l").arg(&self.file).status();
        let ended = self.files.kill().and_then(|()| self.files.wait());
        assert!(killed.is_ok() && freed.is_ok() && unmounted.is_ok() && ended.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_bad_sectors_are_told_within_five_seconds_and_clear_after_the_quiet_time_and_not_before() {
    needs!("nbdkit", "nbdfuse", "losetup", "dd");
    let bench = Bench::new();
    let inject = bench.path("inject");
    let file = format!("error-pread-file={}", inject.display());
    let disk =
        BadDisk::new(bench.dir.path(), &["error-pread=EIO", "error-pread-rate=100%", &file, "rdelay=0"])
            .await;
    let quick = |name: &str, pattern: &str| {
        format!("- {{name: {name}, class: disk.media_error, disk: true, pattern: '{pattern}', quiet: 6s}}\n")
    };
    let rules = [
        quick("disk-io-error", "I/O error, dev (?<component>[a-z0-9]+), sector"),
        quick("disk-buffer-error", "Buffer I/O error on dev (?<component>[a-z0-9]+),"),
    ];
    write(&bench.path("rules/quick.yaml"), &rules.concat());
    let socket = bench.path("kmsg.sock");
    hand_on(&socket);
    let mut local = bench.blind();
    local.trust.forged = false;
    local.kmsg_socket = Some(socket);
    local.rules_dir = Some(bench.path("rules"));
    let tasks = bench.doctor(local).await;
    let open = format!("disk.media_error {} Open", disk.name());
    let clear = format!("disk.media_error {} Clear", disk.name());
    rest(SECOND).await;
    std::fs::write(&inject, "").unwrap();
    assert!(!disk.read(9000).wait().unwrap().success(), "it reads");
    let took = wait_state(&bench.fleet, &open, 5 * SECOND).await;
    println!("a2: bad sector to Problem: {took:?}");
    std::fs::remove_file(&inject).unwrap();
    assert!(disk.read(9100).wait().unwrap().success(), "it does not read");
    let quiet = wait_state(&bench.fleet, &clear, 30 * SECOND).await;
    assert!(5 * SECOND < quiet, "it cleared after {quiet:?}");
    tasks.drain(5 * SECOND).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a6_stuck_reads_are_told_within_a_minute_without_a_line_of_the_kernel() {
    needs!("nbdkit", "nbdfuse", "losetup", "dd");
    let bench = Bench::new();
    let disk = BadDisk::new(bench.dir.path(), &["error-pread-rate=0%", "rdelay=100"]).await;
    let tasks = bench.doctor(bench.real()).await;
    let mut stuck = disk.read(9000);
    let took = wait_state(&bench.fleet, "io.stall tasks Open", 60 * SECOND).await;
    println!("a6: stuck read to Problem: {took:?}");
    // The kernel's own thread below it may have waited longer by a moment.
    wait_for("the reader among what waits", 15 * SECOND, || {
        let evidence = bench.fleet.status("io.stall", "tasks").unwrap()["evidence"].to_string();
        if evidence.contains(&format!("dd ({})", stuck.id())) { Ok(()) } else { Err(evidence) }
    })
    .await;
    drop(disk);
    stuck.wait().unwrap();
    wait_state(&bench.fleet, "io.stall tasks Clear", 60 * SECOND).await;
    tasks.drain(5 * SECOND).await.unwrap();
}
