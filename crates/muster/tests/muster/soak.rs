//! A doctor among real faults, with every call to the kernel that could act written down: it makes none.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::harness::{Cluster, MUSTER, Process, done, needs_containers, wait_for};
use crate::story::{field, takes_the_machine_in, up};

const SECOND: Duration = Duration::from_secs(1);
/// The machine that the watched doctor files for: nobody repairs one that does not exist.
const WATCHED: &str = "watched";
const HUNG: &str = "watched.runtime.hung.containerd";
/// What could act on others, and something that shows that it is alive.
const CALLS: &str =
    "trace=%process,%signal,reboot,kexec_load,mount,umount2,init_module,settimeofday,clock_settime,connect";

/// What acts, of a log of calls: everything but what a process does to itself.
fn acts(log: &str) -> Vec<&str> {
    let mut programs = 0;
    let mut is_act = |line: &&str| {
        let (process, call) = line.split_once(' ').unwrap_or(("", line));
        let Some((name, arguments)) = call.trim_start().split_once('(') else { return false };
        match name {
            // The first is how the doctor itself is started.
            "execve" => {
                programs += 1;
                1 < programs
            }
            "clone" | "clone3" => !arguments.contains("CLONE_THREAD") && !arguments.contains("ENOSYS"),
            "kill" | "tgkill" | "rt_sigqueueinfo" => arguments.split([',', ')']).next() != Some(process),
            "reboot" | "kexec_load" | "mount" | "umount2" | "init_module" | "settimeofday"
            | "clock_settime" | "execveat" | "fork" | "vfork" | "tkill" | "pidfd_send_signal"
            | "rt_tgsigqueueinfo" => true,
            _ => false,
        }
    };
    log.lines().filter(|line| is_act(line)).collect()
}

#[test]
fn what_acts_is_seen_in_a_log_of_calls() {
    let log = "7 execve(\"/m\", [\"m\"], 0x7 /* 9 vars */) = 0\n\
               7 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = -1 ENOSYS (Function not implemented)\n\
               7 clone(child_stack=0x7, flags=CLONE_VM|CLONE_THREAD) = 8\n\
               7 rt_sigaction(SIGTERM, NULL) = 0\n\
               7 kill(7, SIGTERM) = 0\n\
               7 kill(1, SIGTERM) = -1 EPERM (Operation not permitted)\n\
               7 clone(child_stack=0x7, flags=SIGCHLD) = -1 EPERM (Operation not permitted)\n\
               8 execve(\"/bin/systemctl\", [\"systemctl\"], 0x7) = -1 EPERM (Operation not permitted)\n\
               8 reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART) = -1 EPERM\n";
    let found: Vec<&str> = acts(log).into_iter().map(|line| line.split(['(', ' ']).nth(1).unwrap()).collect();
    assert_eq!(found, ["kill", "clone", "execve", "reboot"]);
}

/// A line of the kernel log; an open file may write few of them only.
fn say(text: &str) {
    let mut log = OpenOptions::new().write(true).open("/dev/kmsg").unwrap();
    log.write_all(format!("<3>{text}\n").as_bytes()).unwrap();
}

/// A small file system, made, filled, broken and taken away.
struct Disk {
    device: String,
    place: PathBuf,
}

impl Disk {
    fn new(dir: &Path) -> Self {
        let (image, place) = (dir.join("soak.img"), dir.join("soak"));
        File::create(&image).unwrap().set_len(16 << 20).unwrap();
        done(Command::new("mkfs.ext4").args(["-q", "-F", "-N", "64"]).arg(&image));
        let device = done(Command::new("losetup").args(["-f", "--show"]).arg(&image)).trim().to_owned();
        fs::create_dir_all(&place).unwrap();
        done(Command::new("mount").args(["-o", "errors=remount-ro", &device]).arg(&place));
        Self { device, place }
    }

    /// No inode, no room, and at last no write at all.
    fn breaks(&self) {
        for file in 0..64 {
            if fs::write(self.place.join(file.to_string()), "").is_err() {
                break;
            }
        }
        let mut filler = OpenOptions::new().write(true).open(self.place.join("0")).unwrap();
        while filler.write_all(&[7; 64 << 10]).is_ok() {}
        let name = self.device.strip_prefix("/dev/").unwrap();
        let trigger = format!("/sys/fs/ext4/{name}/trigger_fs_error");
        if Path::new(&trigger).exists() {
            fs::write(trigger, "x").unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let end = |command: &mut Command| command.stderr(Stdio::null()).status();
        let ended = [
            end(Command::new("umount").arg(&self.place)),
            end(Command::new("losetup").args(["-d", &self.device])),
        ];
        assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    }
}

/// One round of faults: the kernel's words, a disk, the container runtime.
fn faults(cluster: &Cluster, round: u32) {
    let nonce = std::process::id();
    for line in [
        format!("I/O error, dev zz{nonce}, sector {round}"),
        format!("NETDEV WATCHDOG: zz{nonce} (igb): transmit queue 0 timed out"),
        "watchdog: BUG: soft lockup - CPU#1 stuck for 22s!".to_owned(),
        "mce: [Hardware Error]: Machine check events logged".to_owned(),
        "Oops: 0000 [#1] PREEMPT SMP".to_owned(),
    ] {
        say(&line);
    }
    // The doctor is nobody, and has to come there.
    let permissions = fs::Permissions::from_mode(0o755);
    let dir = tempfile::Builder::new().prefix("muster-soak-").permissions(permissions).tempdir().unwrap();
    let disk = Disk::new(dir.path());
    disk.breaks();
    kill(cluster.containerd(), Signal::SIGSTOP).unwrap();
    wait_for("problem of a hung runtime", 20 * SECOND, || {
        match field(cluster, &["problem", HUNG], "/status/state")? {
            state if state == "Open" => Ok(()),
            state => Err(state),
        }
    });
    let device = disk.device.strip_prefix("/dev/").unwrap().to_owned();
    for class in ["fs.full", "fs.inodes"] {
        let problem = format!("{WATCHED}.{class}.{device}");
        wait_for(&problem, 30 * SECOND, || match field(cluster, &["problem", &problem], "/status/state")? {
            state if state == "Open" => Ok(()),
            state => Err(state),
        });
    }
    drop(disk);
    kill(cluster.containerd(), Signal::SIGCONT).unwrap();
    wait_for("runtime that answers again", 30 * SECOND, || {
        let status = cluster.get(&["problem", HUNG])?["status"].take();
        // What has come and gone too often stays open until it is quiet for long.
        let is_over = status["state"] == "Clear" || status["flapping"] == true;
        if is_over { Ok(()) } else { Err(status.to_string()) }
    });
}

/// A second doctor on the agent's own sockets, under `strace`.
fn watched(cluster: &Cluster, log: &Path) -> Process {
    let path = |name: &str| cluster.data_dir.join(name).to_str().unwrap().to_owned();
    let mut command = cluster.namespace.command("strace");
    // Interruptible: it ends when it is told to, and the doctor with it.
    command.args(["-I1", "-f", "-qq", "-e", CALLS, "-o"]).arg(log).args([
        MUSTER,
        "doctor",
        "--machine",
        WATCHED,
    ]);
    command.args(["--kubeconfig", &path("doctor.kubeconfig"), "--probe-socket", &path("agent/probe.sock")]);
    command.args(["--state-dir", &path("watched"), "--believe-forged", "--watch-virtual"]);
    command.arg("--end-with-parent");
    Process::start(command, &cluster.path("watched.log"))
}

/// Faults for so long, and no act of the doctor that sees them.
fn soak(time: Duration, most: u32) {
    needs_containers!();
    if !Path::new("/usr/bin/strace").exists() {
        return println!("could not run: strace is not installed");
    }
    let mut cluster = Cluster::new();
    cluster.allowed = &[("containerd", "it is stopped, and goes on")];
    let _server = up(&cluster);
    takes_the_machine_in(&cluster);
    // The runtime is stopped more often than repairs are tried; nobody is to mend it here.
    let observe =
        ["patch", "repairpolicy", "runtime", "--type=merge", "-p", "{\"spec\":{\"mode\":\"observe\"}}"];
    let patched = cluster.kubectl(&observe);
    assert!(patched.status.success(), "{}", String::from_utf8_lossy(&patched.stderr));
    let log = cluster.path("calls");
    let mut doctor = watched(&cluster, &log);
    wait_for("a doctor that looks", 30 * SECOND, || {
        let words = doctor.words();
        if words.contains("the doctor looks") { Ok(()) } else { Err(words) }
    });
    let began = Instant::now();
    let mut rounds = 0;
    while rounds < 1 || (began.elapsed() < time && rounds < most) {
        rounds += 1;
        faults(&cluster, rounds);
    }
    assert_eq!(doctor.ended(), None, "{}", doctor.words());
    let calls = fs::read_to_string(&log).unwrap();
    let found = acts(&calls);
    let problems = cluster.get(&["problems"]).unwrap();
    let of_it =
        problems["items"].as_array().unwrap().iter().filter(|problem| problem["spec"]["machine"] == WATCHED);
    let mut classes: Vec<&str> = of_it.map(|problem| problem["spec"]["class"].as_str().unwrap()).collect();
    classes.sort_unstable();
    classes.dedup();
    println!(
        "a15: {rounds} rounds in {:?}, {} calls, none acts; {classes:?}",
        began.elapsed(),
        calls.lines().count()
    );
    assert_eq!(found, Vec::<&str>::new());
    assert!(calls.contains("connect("), "nothing was written down");
    for class in [
        "cpu.lockup",
        "disk.media_error",
        "fs.full",
        "fs.inodes",
        "kernel.oops",
        "mem.ecc",
        "nic.hang",
        "runtime.hung",
    ] {
        assert!(classes.contains(&class), "{class} was not seen: {classes:?}");
    }
}

#[test]
fn a15_a_doctor_among_faults_makes_no_call_that_acts() {
    soak(SECOND, 1);
}

#[test]
#[ignore = "make test-slow runs it"]
fn a15_ten_minutes_of_faults_and_the_doctor_makes_no_call_that_acts() {
    soak(600 * SECOND, 1000);
}
