//! A machine that lives in virtual time: its files, its kernel log, its agent, with the noise of ordinary days.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_api::probe::{DiskHealth, RuntimeReading, RuntimeState};
use muster_base::clock::Clock;
use muster_base::task::{Kind, Tasks};
use muster_doctor::{Local, Trust};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bench::{Bench, rest, write};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// The rest between two changes of what is ordinary.
const NOISE_EVERY: Duration = Duration::from_secs(30);
const SECTOR_OF_A_WELL_DISK: u64 = 12;

/// Shows the time of tokio's clock.
pub(crate) struct VirtualClock {
    start: Timestamp,
    origin: Instant,
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.start + SignedDuration::try_from(self.origin.elapsed()).unwrap()
    }
}

/// What the kernel has said in this boot.
#[derive(Default)]
struct Ring {
    records: Mutex<Vec<String>>,
    next: Mutex<u64>,
    said: Notify,
}

/// The machine.
pub(crate) struct Life {
    pub(crate) bench: Bench,
    pub(crate) clock: Arc<VirtualClock>,
    ring: Arc<Ring>,
    booted: Mutex<Instant>,
    /// Held while a test changes files that the noise changes too.
    still: AtomicBool,
    tasks: Tasks,
    doctor: Mutex<Option<Tasks>>,
}

/// Lines of a boot without any fault, and of containers that come and go.
const BOOT: [&str; 12] = [
    "Linux version 6.1.0-28-amd64 (debian-kernel@lists.debian.org)",
    "Memory: 65536000K/67108864K available",
    "mce: CPU0: Thermal monitoring enabled (TM1)",
    "EDAC MC0: Giving out device to module skx_edac controller Skylake",
    "ata3: SATA link up 6.0 Gbps (SStatus 133 SControl 300)",
    "sd 2:0:0:0: [sda] Attached SCSI disk",
    "nvme nvme0: 8/0/0 default/read/poll queues",
    "EXT4-fs (vda1): mounted filesystem with ordered data mode. Quota mode: none.",
    "EXT4-fs (vda1): re-mounted. Quota mode: none.",
    "igb 0000:01:00.0 eth0: igb: eth0 NIC Link is Up 10000 Mbps Full Duplex",
    "systemd[1]: Started Journal Service.",
    "audit: type=1400 audit(1800000000.0:2): apparmor=\"STATUS\"",
];
const CONTAINERS: [&str; 6] = [
    "muster0: port 1(veth07323900) entered blocking state",
    "muster0: port 1(veth07323900) entered forwarding state",
    "IPv6: ADDRCONF(NETDEV_CHANGE): veth07323900: link becomes ready",
    "muster0: port 1(veth07323900) entered disabled state",
    "device veth07323900 left promiscuous mode",
    "I/O error, dev loop3, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
];

impl Life {
    /// A machine that has just booted, in a fleet that knows it.
    pub(crate) fn new() -> Arc<Self> {
        let start = "2026-11-01T00:00:00Z".parse().unwrap();
        let life = Arc::new(Self {
            bench: Bench::new(),
            clock: Arc::new(VirtualClock { start, origin: Instant::now() }),
            ring: Arc::default(),
            booted: Mutex::new(Instant::now()),
            still: AtomicBool::new(false),
            tasks: Tasks::new(),
            doctor: Mutex::new(None),
        });
        life.objects(&json!([]));
        life.agent();
        life.boot("boot-0");
        let listener = UnixListener::bind(life.bench.path("kmsg.sock")).unwrap();
        life.tasks.spawn(Kind::Service, "kernel log", tell(listener, Arc::clone(&life.ring)));
        let machine = Arc::downgrade(&life);
        life.tasks.spawn(Kind::Service, "noise", async move {
            let mut round = 0;
            while let Some(life) = machine.upgrade() {
                if !life.still.load(Ordering::SeqCst) {
                    life.noise(round);
                }
                round += 1;
                drop(life);
                rest(NOISE_EVERY).await;
            }
        });
        life
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bench.path(name)
    }

    /// Writes files, one a row: `sys/class/net/eth0/carrier = 1`.
    pub(crate) fn files(&self, rows: &str) {
        for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let (name, text) = row.split_once(" = ").unwrap_or_else(|| panic!("no row: {row}"));
            write(&self.path(name), &text.replace("\\n", "\n"));
        }
    }

    /// Nothing ordinary happens from now on, so that only what a test does counts.
    pub(crate) fn hold_still(&self) {
        self.still.store(true, Ordering::SeqCst);
    }

    pub(crate) fn machine(&self, maintenance: &serde_json::Value) {
        let machine = json!({"apiVersion": "muster.dev/v1alpha1", "kind": "Machine", "metadata": {"name": "m1"},
            "spec": {"site": "lab", "role": "worker", "bmc": {"address": "redfish://bmc/m1"}, "maintenance": maintenance},
            "status": {"phase": "Healthy"}});
        self.bench.fleet.put("machines/m1", machine);
    }

    fn objects(&self, maintenance: &serde_json::Value) {
        self.machine(maintenance);
        let role = json!({"apiVersion": "muster.dev/v1alpha1", "kind": "MachineRole", "metadata": {"name": "worker"},
            "spec": {"sysctls": {"net.ipv4.ip_forward": "1"}, "probation": {"duration": "10s"}}});
        self.bench.fleet.put("machineroles/worker", role);
        self.inventory(&[]);
        self.sensors("OK", "OK", "OK");
    }

    pub(crate) fn inventory(&self, missing: &[&str]) {
        let inventory = json!({"apiVersion": "muster.dev/v1alpha1", "kind": "Inventory", "metadata": {"name": "m1"},
            "spec": {}, "status": {"missing": missing}});
        self.bench.fleet.put("inventories/m1", inventory);
    }

    /// What the management controller says of a temperature, a fan and a power supply.
    pub(crate) fn sensors(&self, heat: &str, fan: &str, power: &str) {
        let minute = self.clock.now().as_second() / 60;
        let reading = json!({"apiVersion": "muster.dev/v1alpha1", "kind": "BmcReading", "metadata": {"name": "m1"},
            "spec": {}, "status": {"reachable": true, "sensors": [
                {"name": "CPU1", "value": 48 + minute % 9, "unit": "Cel", "health": heat},
                {"name": "FAN3", "value": 4000 + minute % 50, "unit": "RPM", "health": fan},
                {"name": "PSU2", "value": 200 + minute % 70, "unit": "W", "health": power}]}});
        self.bench.fleet.put("bmcreadings/m1", reading);
    }

    fn agent(&self) {
        self.runtime(RuntimeState::Answers);
        let sda = DiskHealth {
            name: "sda".into(),
            passed: Some(true),
            reallocated: Some(SECTOR_OF_A_WELL_DISK),
            ..DiskHealth::default()
        };
        let nvme = DiskHealth {
            name: "nvme0n1".into(),
            critical_warning: Some(0),
            spare_percent: Some(98),
            spare_threshold_percent: Some(10),
            media_errors: Some(0),
            ..DiskHealth::default()
        };
        self.bench.agent.0.lock().disks = vec![sda, nvme];
    }

    pub(crate) fn runtime(&self, state: RuntimeState) {
        let took_ms = 3 + self.clock.now().as_second().unsigned_abs() % 40;
        self.bench.agent.0.lock().runtime = Some(RuntimeReading { state, detail: "as told".into(), took_ms });
    }

    pub(crate) fn disk(&self, name: &str, change: impl FnOnce(&mut DiskHealth)) {
        let mut readings = self.bench.agent.0.lock();
        change(readings.disks.iter_mut().find(|disk| disk.name == name).unwrap());
    }

    /// What the kernel itself says.
    pub(crate) fn say(&self, text: &str) {
        let at = self.booted.lock().elapsed().as_micros();
        let mut next = self.ring.next.lock();
        self.ring.records.lock().push(format!("3,{next},{at},-;{text}\n"));
        *next += 1;
        drop(next);
        self.ring.said.notify_waiters();
    }

    /// Records that were overwritten before they were read.
    pub(crate) fn lose(&self, records: u64) {
        *self.ring.next.lock() += records;
    }

    /// A task, `R`unning, `S`leeping or waiting for a `D`evice.
    pub(crate) fn task(&self, id: u32, name: &str, state: char) {
        let rest = "1 1 1 0 -1 4194304 0 0 0 0 1 1 0 0 20 0 1 0 900 1000 100";
        let line = format!("{id} ({name}) {state} {rest}");
        self.files(&format!("proc/{id}/stat = {line}\nproc/{id}/task/{id}/stat = {line}"));
    }

    pub(crate) fn mounts(&self, root: &str) {
        // The place has no size: how full the disks of the machine are that runs the test is its own affair.
        let rows = [
            "proc /proc proc rw,nosuid 0 0".to_owned(),
            format!("/dev/vda1 /proc ext4 {root} 0 0"),
            "/dev/loop3 /snap/core squashfs ro,nodev 0 0".to_owned(),
            "/dev/sr0 /media iso9660 ro 0 0".to_owned(),
            "overlay /run/x overlay rw,relatime 0 0".to_owned(),
        ];
        self.files(&format!("proc/self/mounts = {}\\n", rows.join("\\n")));
    }

    pub(crate) fn card(&self, name: &str, rows: &str) {
        for row in rows.split(';') {
            self.files(&format!("sys/class/net/{name}/{}", row.trim()));
        }
    }

    /// Everything as a kernel shows it that has just begun.
    pub(crate) fn boot(&self, id: &str) {
        *self.booted.lock() = Instant::now();
        self.ring.records.lock().clear();
        *self.ring.next.lock() = 0;
        self.files(&format!("proc/sys/kernel/random/boot_id = {id}\nproc/uptime = 1.00 1.00"));
        self.mounts("rw,relatime,errors=remount-ro");
        self.files(
            "sys/fs/ext4/vda1/errors_count = 0
            proc/sys/net/ipv4/ip_forward = 1
            proc/stat = cpu 1 2 3\\nprocs_running 2\\nprocs_blocked 0\\n
            proc/vmstat = nr_free_pages 1\\noom_kill 0\\n
            sys/devices/system/edac/mc/mc0/ce_count = 0
            sys/devices/system/edac/mc/mc0/ue_count = 0
            sys/class/net/lo/flags = 0x9",
        );
        self.pressure("0.00");
        for card in ["eth0", "eth1", "eth2", "eth3"] {
            self.card(
                card,
                "device/vendor = 1; flags = 0x1003; carrier = 1; carrier_changes = 2; speed = 10000",
            );
            self.card(card, "statistics/rx_packets = 0; statistics/tx_packets = 0; statistics/rx_errors = 0");
        }
        // A socket without a cable.
        self.card("eth4", "device/vendor = 1; flags = 0x1003; carrier = 0; carrier_changes = 1");
        for (id, name) in [(1, "init"), (400, "containerd"), (401, "sh (with) 1 D 2"), (900, "nginx")] {
            self.task(id, name, 'S');
        }
        // A container that a person has frozen.
        self.task(901, "frozen", 'D');
        self.files("proc/901/cgroup = 3:freezer:/c\nsys/fs/cgroup/freezer/c/freezer.state = FROZEN");
        for line in BOOT {
            self.say(line);
        }
    }

    pub(crate) fn pressure(&self, full: &str) {
        self.files(&format!(
            "proc/pressure/memory = some avg10=9.00 avg60=31.00 avg300=9.00 total=9\\nfull avg10=5.00 avg60={full} avg300=1.00 total=2\\n"
        ));
    }

    /// Half a minute of an ordinary day: what counts up counts up, what comes and goes comes and goes.
    fn noise(&self, round: u64) {
        let up = self.booted.lock().elapsed().as_secs();
        self.files(&format!("proc/uptime = {up}.00 {up}.00"));
        for (number, card) in ["eth0", "eth1", "eth2", "eth3"].into_iter().enumerate() {
            // One frame in ten thousand is lost, now and then.
            let (frames, lost) = (up * 900, up / 120 * u64::try_from(number).unwrap());
            self.card(card, &format!("statistics/rx_packets = {frames}; statistics/tx_packets = {frames}"));
            self.card(
                card,
                &format!("statistics/rx_errors = {lost}; statistics/rx_dropped = {}", frames / 9),
            );
        }
        self.runtime(RuntimeState::Answers);
        self.sensors("OK", "OK", "OK");
        self.pressure(if round % 40 == 7 { "12.50" } else { "0.00" });
        // A corrected error in the hour is what memory does.
        self.files(&format!("sys/devices/system/edac/mc/mc0/ce_count = {}", up / 2400));
        // One process a quarter of an hour meets the limit of its container.
        self.files(&format!("proc/vmstat = nr_free_pages {}\\noom_kill {}\\n", 9000 + round % 77, up / 900));
        // The journal waits for its disk, for half a minute at most.
        let waits = round.is_multiple_of(10);
        self.files(&format!(
            "proc/stat = cpu 1 2 3\\nprocs_running 2\\nprocs_blocked {}\\n",
            u8::from(waits)
        ));
        self.task(300, "jbd2/vda1-8", if waits { 'D' } else { 'S' });
        if round.is_multiple_of(2) {
            self.say(CONTAINERS[usize::try_from(round / 2).unwrap() % CONTAINERS.len()]);
        }
        if round % 30 == 5 {
            self.say("Memory cgroup out of memory: Killed process 4242 (app) total-vm:1kB");
        }
        self.veth(round);
    }

    /// Containers come and go.
    fn veth(&self, round: u64) {
        let dir = self.path("sys/class/net/veth07323900");
        match round % 4 {
            0 => self.card(
                "veth07323900",
                "flags = 0x1003; carrier = 0; carrier_up_count = 1; carrier_changes = 9",
            ),
            2 if dir.exists() => std::fs::remove_dir_all(dir).unwrap(),
            _ => {}
        }
    }

    pub(crate) async fn start_doctor(&self) {
        let local = Local {
            trust: Trust::default(),
            kmsg_socket: Some(self.path("kmsg.sock")),
            state_dir: Some(self.bench.dir.path().to_owned()),
            ..self.bench.blind()
        };
        let clock = Arc::clone(&self.clock);
        let doctor = self.bench.doctor_by(local, clock).await;
        *self.doctor.lock() = Some(doctor);
    }

    pub(crate) async fn end_doctor(&self) {
        let doctor = self.doctor.lock().take().unwrap();
        doctor.drain(5 * SECOND).await.unwrap();
    }

    /// The machine goes down, and its agent and its runtime take longer to come back than would be a fault.
    pub(crate) async fn reboots(&self, id: &str) {
        self.hold_still();
        self.runtime(RuntimeState::Gone);
        rest(3 * SECOND).await;
        self.end_doctor().await;
        rest(90 * SECOND).await;
        self.boot(id);
        self.bench.agent.set_dead(true);
        self.card("eth1", "carrier = 0; carrier_changes = 3");
        self.start_doctor().await;
        rest(15 * SECOND).await;
        self.bench.agent.set_dead(false);
        self.card("eth1", "carrier = 1; carrier_changes = 9");
        rest(12 * SECOND).await;
        self.runtime(RuntimeState::Answers);
        self.still.store(false, Ordering::SeqCst);
    }

    /// When the Problem `class component` reached that point of its life.
    pub(crate) fn time_of(&self, row: &str, point: &str) -> Option<Timestamp> {
        let (class, component) = row.split_once(' ').unwrap();
        let status = self.bench.fleet.status(class, component)?;
        Some(status[point].as_str()?.parse().unwrap())
    }

    /// How long after `since` that was.
    pub(crate) fn after(&self, since: Timestamp, row: &str, point: &str) -> Option<Duration> {
        Duration::try_from(self.time_of(row, point)?.duration_since(since)).ok()
    }
}

/// Tells each reader all records of this boot, and each new one.
async fn tell(listener: UnixListener, ring: Arc<Ring>) {
    let readers = Tasks::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let ring = Arc::clone(&ring);
        readers.spawn(Kind::Job, "reader", async move {
            let mut told = 0;
            loop {
                let said = ring.said.notified();
                let more = {
                    let records = ring.records.lock();
                    let more = records.get(told..).unwrap_or_default().concat();
                    told = records.len();
                    more
                };
                if more.is_empty() {
                    said.await;
                } else if stream.write_all(more.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}
