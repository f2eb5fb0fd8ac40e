//! Faults of file systems, tasks, network interfaces and the clock, made on this machine.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::bench::{Bench, needs, rest, run, wait_for, wait_state, write};
use crate::namespace::Namespace;

const SECOND: Duration = Duration::from_secs(1);

/// A small file system on a loop device, mounted.
struct Disk {
    device: String,
    place: PathBuf,
}

impl Disk {
    fn new(dir: &Path, options: &[&str]) -> Self {
        let (image, place) = (dir.join("disk.img"), dir.join("disk"));
        std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let shown = image.to_str().unwrap();
        let arguments: Vec<&str> =
            ["-q", "-F"].into_iter().chain(options.iter().copied()).chain([shown]).collect();
        run("mkfs.ext4", &arguments);
        let device = run("losetup", &["-f", "--show", shown]);
        std::fs::create_dir_all(&place).unwrap();
        let disk = Self { device, place };
        disk.mount();
        disk
    }

    fn mount(&self) {
        run("mount", &["-o", "errors=remount-ro", &self.device, self.place.to_str().unwrap()]);
    }

    fn unmount(&self) {
        run("umount", &[self.place.to_str().unwrap()]);
    }

    /// The kernel's name.
    fn name(&self) -> &str {
        self.device.strip_prefix("/dev/").unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for (program, argument) in [("umount", self.place.to_str().unwrap()), ("losetup", &self.device)] {
            let mut command = Command::new(program);
            if program == "losetup" {
                command.arg("-d");
            }
            let ended = command.arg(argument).stderr(Stdio::null()).status();
            assert!(ended.is_ok(), "{program} cannot be run");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a3_a_file_system_that_the_kernel_made_read_only_is_told_within_ten_seconds_without_the_kernel_log() {
    needs!("mkfs.ext4", "losetup", "mount", "e2fsck");
    let bench = Bench::new();
    let disk = Disk::new(bench.dir.path(), &[]);
    let trigger = PathBuf::from(format!("/sys/fs/ext4/{}/trigger_fs_error", disk.name()));
    if !trigger.exists() {
        println!("could not run: this kernel makes no ext4 errors on request");
        return;
    }
    let tasks = bench.doctor(bench.real()).await;
    rest(SECOND).await;
    std::fs::write(&trigger, "x").unwrap();
    let open = format!("fs.readonly {} Open", disk.name());
    let took = wait_state(&bench.fleet, &open, 10 * SECOND).await;
    println!("a3: ext4 error to Problem: {took:?}");
    assert!(std::fs::File::create(disk.place.join("x")).is_err(), "it takes no write");
    tasks.drain(5 * SECOND).await.unwrap();
    // Beside it other tests make faults of other disks.
    let of_this_disk = || {
        let mut filed = bench.fleet.filed();
        filed.retain(|row| row.contains(disk.name()));
        filed
    };
    let before = of_this_disk();
    let tasks = bench.doctor(bench.real()).await;
    rest(6 * SECOND).await;
    assert_eq!(of_this_disk(), before, "a restart neither clears nor duplicates");
    disk.unmount();
    let checked = Command::new("e2fsck").args(["-fy", &disk.device]).stdout(Stdio::null()).status().unwrap();
    assert!(checked.code().is_some_and(|code| code <= 1), "{checked}");
    disk.mount();
    wait_state(&bench.fleet, &format!("fs.readonly {} Clear", disk.name()), 30 * SECOND).await;
    tasks.drain(5 * SECOND).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a4_a_full_disk_and_one_without_inodes_are_two_classes() {
    needs!("mkfs.ext4", "losetup", "mount");
    let bench = Bench::new();
    let disk = Disk::new(bench.dir.path(), &["-N", "64", "-m", "0"]);
    let tasks = bench.doctor(bench.real()).await;
    rest(SECOND).await;
    let mut files = 0;
    while std::fs::File::create(disk.place.join(files.to_string())).is_ok() {
        files += 1;
    }
    let inodes = format!("fs.inodes {}", disk.name());
    let took = wait_state(&bench.fleet, &format!("{inodes} Open"), 30 * SECOND).await;
    println!("a4: no inode left, told after {took:?}; {files} files");
    let full = format!("fs.full {}", disk.name());
    assert!(!bench.fleet.states().iter().any(|state| state.starts_with(&full)), "{:?}", bench.fleet.states());
    let mut filler = std::fs::OpenOptions::new().write(true).open(disk.place.join("0")).unwrap();
    while filler.write_all(&[7; 64 << 10]).is_ok() {}
    let took = wait_state(&bench.fleet, &format!("{full} Open"), 30 * SECOND).await;
    println!("a4: full disk told after {took:?}");
    for file in 0..files {
        std::fs::remove_file(disk.place.join(file.to_string())).unwrap();
    }
    drop(filler);
    wait_state(&bench.fleet, &format!("{full} Clear"), 60 * SECOND).await;
    wait_state(&bench.fleet, &format!("{inodes} Clear"), 60 * SECOND).await;
    tasks.drain(5 * SECOND).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a7_a_clock_that_is_off_is_told_and_an_unreachable_server_says_nothing() {
    let bench = Bench::new();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut local = bench.blind();
    local.time_servers = vec![socket.local_addr().unwrap().to_string(), "127.0.0.1:9".to_owned()];
    let tasks = bench.doctor(local).await;
    let server = muster_base::task::Tasks::new();
    server.spawn(muster_base::task::Kind::Job, "time server", async move {
        let mut packet = [0_u8; 48];
        while let Ok((_, from)) = socket.recv_from(&mut packet).await {
            let asked: [u8; 8] = packet[40..].try_into().unwrap();
            packet[0] = 0x24;
            packet[1] = 2;
            packet[24..32].copy_from_slice(&asked);
            let seconds = u32::from_be_bytes(asked[..4].try_into().unwrap()) + 90;
            for at in [32, 40] {
                packet[at..at + 4].copy_from_slice(&seconds.to_be_bytes());
                packet[at + 4..at + 8].copy_from_slice(&asked[4..]);
            }
            socket.send_to(&packet, from).await.unwrap();
        }
    });
    let took = wait_state(&bench.fleet, "clock.skew clock Open", 60 * SECOND).await;
    println!("a7: clock that is off to Problem: {took:?}");
    let status = bench.fleet.status("clock.skew", "clock").unwrap();
    let text = status["evidence"][0]["text"].as_str().unwrap().to_owned();
    let off: f64 = text.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!((off + 90.0).abs() < 0.1, "{text}");
    server.abort();
    tasks.drain(5 * SECOND).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a8_an_interface_that_is_down_and_one_that_flaps_are_told_apart() {
    needs!("ip", "sleep");
    let bench = Bench::new();
    let namespace = Namespace::new();
    for (one, other) in [("down0", "down1"), ("flap0", "flap1")] {
        namespace.link(&format!("add {one} type veth peer name {other}"));
        namespace.link(&format!("set {one} up"));
        namespace.link(&format!("set {other} up"));
    }
    let cards = namespace.sys().join("class/net/down0");
    wait_for("the namespace's own files", 10 * SECOND, || {
        if cards.exists() { Ok(()) } else { Err(format!("no {}", cards.display())) }
    })
    .await;
    let mut local = bench.blind();
    local.roots.sys = namespace.sys();
    let tasks = bench.doctor(local).await;
    rest(SECOND).await;
    namespace.link("set down1 down");
    for _ in 0..5 {
        namespace.link("set flap1 down");
        namespace.link("set flap1 up");
    }
    let took = wait_state(&bench.fleet, "nic.flap flap0 Open", 15 * SECOND).await;
    println!("a8: five flaps to Problem: {took:?}");
    let took = wait_state(&bench.fleet, "nic.down down0 Open", 15 * SECOND).await;
    println!("a8: then no carrier to Problem: {took:?}");
    assert!(!bench.fleet.states().contains(&"nic.down flap0 Open".to_owned()), "{:?}", bench.fleet.states());
    namespace.link("set down1 up");
    wait_state(&bench.fleet, "nic.down down0 Clear", 30 * SECOND).await;
    tasks.drain(5 * SECOND).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolver_that_falls_silent_is_told_within_a_minute_and_clears_when_it_answers_again() {
    needs!();
    let bench = Bench::new();
    let [.., second, last] = std::process::id().to_be_bytes();
    let address = std::net::Ipv4Addr::new(127, 53, second, last);
    let Ok(resolver) = tokio::net::UdpSocket::bind((address, 53)).await else {
        println!("could not run: port 53 is taken");
        return;
    };
    write(&bench.path("resolv.conf"), &format!("nameserver {address}\nnameserver 127.53.0.1\n"));
    let mut local = bench.blind();
    local.resolv_conf = Some(bench.path("resolv.conf"));
    let (answers, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (does, count) = (Arc::clone(&answers), Arc::clone(&asked));
    let server = muster_base::task::Tasks::new();
    server.spawn(muster_base::task::Kind::Job, "resolver", async move {
        let mut packet = [0; 512];
        while let Ok((bytes, from)) = resolver.recv_from(&mut packet).await {
            count.fetch_add(1, Ordering::SeqCst);
            if does.load(Ordering::SeqCst) {
                resolver.send_to(&packet[..bytes], from).await.unwrap();
            }
        }
    });
    let tasks = bench.doctor(local).await;
    wait_for("a question", 10 * SECOND, || match asked.load(Ordering::SeqCst) {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    })
    .await;
    answers.store(false, Ordering::SeqCst);
    let took = wait_state(&bench.fleet, &format!("dns.failed {address} Open"), 60 * SECOND).await;
    println!("a resolver that falls silent to Problem: {took:?}");
    answers.store(true, Ordering::SeqCst);
    let took = wait_state(&bench.fleet, &format!("dns.failed {address} Clear"), 70 * SECOND).await;
    assert!(30 * SECOND <= took, "{took:?}");
    assert_eq!(
        bench.fleet.states(),
        [format!("dns.failed {address} Clear")],
        "one that never answered is no fault"
    );
    server.abort();
    tasks.drain(5 * SECOND).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_of_ecc_and_kills_and_boots_are_told_through_injected_roots() {
    let bench = Bench::new();
    let count = |corrected: u64, uncorrected: u64, kills: u64| {
        let controller = bench.path("sys/devices/system/edac/mc/mc0");
        write(&controller.join("ce_count"), &corrected.to_string());
        write(&controller.join("ue_count"), &uncorrected.to_string());
        write(&bench.path("proc/vmstat"), &format!("oom_kill {kills}\n"));
    };
    count(10, 0, 5);
    write(&bench.path("proc/sys/kernel/random/boot_id"), "boot-3");
    let now = muster_base::clock::Clock::now(&muster_base::clock::SystemClock);
    let boots = serde_json::json!([{"id": "boot-1", "at": now}, {"id": "boot-2", "at": now}]);
    write(&bench.path("boots.json"), &boots.to_string());
    let mut local = bench.blind();
    local.state_dir = Some(bench.dir.path().to_owned());
    let tasks = bench.doctor(local).await;
    wait_state(&bench.fleet, "reboot.loop  Open", 10 * SECOND).await;
    assert_eq!(bench.fleet.states(), ["reboot.loop  Open"]);
    count(200, 1, 40);
    wait_state(&bench.fleet, "mem.ecc mc0 Open", 20 * SECOND).await;
    wait_state(&bench.fleet, "mem.oom_storm memory Open", 20 * SECOND).await;
    tasks.drain(5 * SECOND).await.unwrap();
}
