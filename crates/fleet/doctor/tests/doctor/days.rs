//! Quiet days, planned reboots, and then each fault: the same set-up that stays silent sees them all, in its time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_api::probe::RuntimeState;
use muster_base::clock::Clock as _;
use serde_json::json;

use crate::bench::rest;
use crate::life::{HOUR, Life, MINUTE, SECOND};

/// What is made, how soon it must be told, and how long it must be well before it clears.
struct Fault {
    row: &'static str,
    told: Duration,
    quiet: Duration,
}

const fn fault(row: &'static str, told: u64, quiet: u64) -> Fault {
    Fault { row, told: Duration::from_secs(told), quiet: Duration::from_secs(quiet) }
}

/// Those that can be there together.
const TOGETHER: [Fault; 29] = [
    fault("runtime.hung containerd", 15, 3),
    fault("disk.media_error sda", 1, 600),
    fault("disk.media_error nvme0n1", 60, 600),
    fault("disk.failing sda", 60, 60),
    fault("disk.failing nvme0n1", 60, 60),
    fault("disk.link_error ata3", 1, 1800),
    fault("disk.link_error nvme0", 1, 1800),
    fault("disk.space_below sdb", 1, 600),
    fault("fs.error vda1", 1, 600),
    fault("fs.readonly vda1", 10, 10),
    fault("io.stall tasks", 60, 30),
    fault("cpu.lockup cpu", 1, 1800),
    fault("kernel.oops kernel", 1, 24 * 3600),
    fault("mem.ecc mc0", 60, 3600),
    fault("mem.ecc cpu", 1, 3600),
    fault("mem.oom_storm memory", 60, 600),
    fault("mem.pressure memory", 60, 60),
    fault("nic.down eth1", 60, 10),
    fault("nic.flap eth2", 60, 120),
    fault("nic.loss eth3", 60, 120),
    fault("nic.slow eth0", 60, 60),
    fault("nic.hang eth0", 1, 600),
    fault("net.conntrack_full conntrack", 1, 300),
    fault("hardware.missing ", 60, 60),
    fault("drift firmware", 60, 60),
    fault("drift sysctls", 60, 60),
    fault("temp.high CPU1", 60, 120),
    fault("temp.high cpu", 1, 600),
    fault("log_lost kernel", 1, 60),
];
/// Those of the management controller's sensors besides heat.
const SENSORS: [Fault; 2] = [fault("fan.failed FAN3", 60, 120), fault("power.failed PSU2", 60, 120)];
/// Those that hide others, each made alone.
const ALONE: [Fault; 2] = [fault("runtime.dead containerd", 15, 3), fault("agent.dead agent", 60, 3)];
/// The longest rest between two looks, and once more: the look that sees it well, and the one that sees the time over.
const SLACK: Duration = Duration::from_secs(100);

/// Classes of the documentation that other tests make, for real.
const FOR_REAL: [&str; 4] = ["fs.full", "fs.inodes", "clock.skew", "dns.failed"];
/// Those of the boots and of the API's absence, in this file.
const ELSEWHERE: [&str; 2] = ["reboot.loop", "api.unreachable"];

fn together() -> impl Iterator<Item = &'static Fault> {
    TOGETHER.iter().chain(&SENSORS)
}

/// All of `TOGETHER` and `SENSORS` at once.
fn strike(life: &Life) {
    life.runtime(RuntimeState::Hung);
    for line in [
        "I/O error, dev sda, sector 72000 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
        "critical space allocation error, dev sdb, sector 8 op 0x1:(WRITE)",
        "EXT4-fs error (device vda1): ext4_find_entry:1455: inode #2: comm ls: reading directory",
        "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [dd:1]",
        "BUG: unable to handle page fault for address: 0000000000001000",
        "mce: [Hardware Error]: Machine check events logged",
        "NETDEV WATCHDOG: eth0 (igb): transmit queue 0 timed out",
        "nf_conntrack: nf_conntrack: table full, dropping packet",
    ] {
        life.say(line);
    }
    for _ in 0..5 {
        life.say("ata3.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x6 frozen");
        life.say("nvme nvme0: controller is down; will reset: CSTS=0x3");
        life.say("CPU3: Core temperature above threshold, cpu clock throttled (total events = 1)");
    }
    life.lose(40);
    life.say("audit: backlog limit exceeded");
    life.disk("sda", |disk| disk.passed = Some(false));
    life.disk("nvme0n1", |disk| {
        disk.critical_warning = Some(4);
        disk.media_errors = Some(9);
    });
    life.mounts("rw,relatime,errors=remount-ro,emergency_ro");
    life.task(950, "dd", 'D');
    life.files("proc/stat = procs_blocked 1\\n\nsys/devices/system/edac/mc/mc0/ce_count = 2000");
    life.files("proc/vmstat = oom_kill 5000\\n\nproc/sys/net/ipv4/ip_forward = 0");
    life.pressure("35.10");
    life.card("eth0", "speed = 100");
    life.card("eth1", "carrier = 0; carrier_changes = 3");
    life.card("eth2", "carrier_changes = 12");
    life.card("eth3", "statistics/rx_errors = 900000000");
    life.inventory(&["disk: 1 of 2", "firmware: \"2.1\", \"2.0\" found"]);
    life.sensors("Critical", "cr", "Warning");
}

/// The end of all that does not end by itself.
fn mend(life: &Life) {
    life.runtime(RuntimeState::Answers);
    life.disk("sda", |disk| disk.passed = Some(true));
    // The sectors that went bad stay so; a new disk has none.
    life.disk("nvme0n1", |disk| {
        disk.critical_warning = Some(0);
        disk.media_errors = Some(0);
    });
    life.mounts("rw,relatime,errors=remount-ro");
    life.task(950, "dd", 'S');
    life.files("proc/sys/net/ipv4/ip_forward = 1");
    life.pressure("0.00");
    life.card("eth0", "speed = 10000");
    life.card("eth1", "carrier = 1; carrier_changes = 4");
    life.inventory(&[]);
    life.sensors("OK", "OK", "OK");
}

fn nothing_was_filed(life: &Life) {
    assert_eq!((life.bench.fleet.filed(), life.bench.fleet.states()), (Vec::new(), Vec::new()));
}

fn opened(life: &Life) -> Vec<String> {
    life.bench.fleet.filed().into_iter().filter(|row| row.contains(" Open ")).collect()
}

/// Each is told in its time; what is open beside them.
fn told_in_time<'a>(life: &Life, since: Timestamp, faults: impl Iterator<Item = &'a Fault>) {
    for Fault { row, told, .. } in faults {
        let took = life.after(since, row, "openedAt");
        println!("{row}: told after {took:?}");
        assert!(took.is_some_and(|took| took <= *told), "{row}: {took:?}, {:?}", life.bench.fleet.states());
    }
}

async fn well_for(life: &Life, time: Duration) {
    rest(time).await;
    nothing_was_filed(life);
}

#[tokio::test(start_paused = true)]
async fn a_day_without_a_fault_has_no_problem_and_then_each_fault_has_one_in_time_that_clears_in_time() {
    let life = Life::new();
    life.start_doctor().await;
    for _ in 0..24 {
        well_for(&life, HOUR).await;
    }
    life.hold_still();
    // Just after a look at the API's objects, the rarest of all: the next one is as far away as can be.
    let looks = life.bench.fleet.looks();
    while looks == life.bench.fleet.looks() {
        rest(SECOND / 10).await;
    }
    rest(SECOND / 10).await;
    let began = life.clock.now();
    strike(&life);
    rest(MINUTE + 5 * SECOND).await;
    told_in_time(&life, began, together());
    let expected: BTreeSet<String> = together().map(|fault| format!("{} Open 1", fault.row)).collect();
    assert_eq!(opened(&life).into_iter().collect::<BTreeSet<_>>(), expected);
    let mended = life.clock.now();
    mend(&life);
    rest(3 * HOUR).await;
    // What the kernel said of itself stays for a day.
    let stays = |fault: &&Fault| 3 * HOUR < fault.quiet;
    let still: Vec<String> = together().filter(stays).map(|fault| format!("{} Open", fault.row)).collect();
    let open: Vec<String> =
        life.bench.fleet.states().into_iter().filter(|row| row.ends_with(" Open")).collect();
    assert_eq!(open, still);
    for Fault { row, quiet, .. } in together().filter(|fault| !stays(fault)) {
        let seen = life.time_of(row, "lastSeen").unwrap();
        let after = life.after(seen, row, "clearedAt").unwrap_or(Duration::MAX);
        assert!(*quiet <= after && after <= *quiet + SLACK, "{row}: {after:?} after it was seen last");
        let late = seen.duration_since(mended);
        assert!(
            late <= SignedDuration::try_from(window(row)).unwrap(),
            "{row}: seen until {late:?} after its end"
        );
    }
    assert_eq!(opened(&life).len(), expected.len(), "nothing opened twice");
    life.end_doctor().await;
}

/// What stays in a window of time for so long after its end.
fn window(row: &str) -> Duration {
    match row {
        "mem.ecc mc0" => HOUR,
        "mem.oom_storm memory" => 5 * MINUTE,
        _ => MINUTE,
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_gone_and_an_agent_that_is_dead_are_told_in_time_and_clear_at_once() {
    let life = Life::new();
    life.start_doctor().await;
    well_for(&life, 2 * MINUTE).await;
    life.hold_still();
    let made: [fn(&Life, bool); 2] = [dead_runtime, dead_agent];
    for (fault, strike) in ALONE.iter().zip(made) {
        let began = life.clock.now();
        strike(&life, true);
        rest(fault.told).await;
        told_in_time(&life, began, std::iter::once(fault));
        let mended = life.clock.now();
        strike(&life, false);
        rest(fault.quiet + 3 * SECOND).await;
        let after = life.after(mended, fault.row, "clearedAt").unwrap_or(Duration::MAX);
        assert!(fault.quiet <= after && after <= fault.quiet + 2 * SECOND, "{}: {after:?}", fault.row);
    }
    let expected = ["runtime.dead containerd Open 1", "agent.dead agent Open 1"];
    assert_eq!(opened(&life), expected);
    life.end_doctor().await;
}

fn dead_runtime(life: &Life, is: bool) {
    life.runtime(if is { RuntimeState::Gone } else { RuntimeState::Answers });
}

fn dead_agent(life: &Life, is: bool) {
    life.bench.agent.set_dead(is);
}

/// Maintenance from now on.
fn plan(life: &Life, minutes: i64) {
    let from = life.clock.now();
    let window = json!({"from": from, "to": from + SignedDuration::from_mins(minutes), "reason": "firmware"});
    life.machine(&json!([window]));
}

#[tokio::test(start_paused = true)]
async fn planned_reboots_open_nothing_then_or_later_and_the_same_unplanned_do() {
    let life = Life::new();
    life.start_doctor().await;
    well_for(&life, 2 * HOUR).await;
    for day in 0..2 {
        plan(&life, 25);
        rest(2 * MINUTE).await;
        for boot in 1..4 {
            life.reboots(&format!("day-{day}-boot-{boot}")).await;
            rest(4 * MINUTE).await;
        }
        // The window ends, and what was seen within it is seen no more.
        rest(3 * HOUR).await;
        assert_eq!(opened(&life), [""; 0], "day {day}");
    }
    life.machine(&json!([]));
    rest(2 * MINUTE).await;
    let mut expected =
        BTreeSet::from(["agent.dead agent Open", "nic.flap eth1 Open", "runtime.dead containerd Open"]);
    for boot in 1..4 {
        life.reboots(&format!("loop-{boot}")).await;
        if boot == 3 {
            expected.insert("reboot.loop  Open");
        }
        rest(MINUTE).await;
        let opened = opened(&life);
        let rows: BTreeSet<&str> = opened.iter().map(|row| row.rsplit_once(' ').unwrap().0).collect();
        assert_eq!(rows, expected, "boot {boot}");
    }
    rest(MINUTE).await;
    assert!(life.bench.fleet.states().contains(&"reboot.loop  Open".to_owned()));
    rest(31 * MINUTE).await;
    assert!(life.bench.fleet.states().contains(&"reboot.loop  Clear".to_owned()));
    life.end_doctor().await;
}

#[tokio::test(start_paused = true)]
async fn an_api_that_was_away_is_told_with_the_time_when_that_was_seen() {
    let life = Life::new();
    life.start_doctor().await;
    well_for(&life, 2 * MINUTE).await;
    let began = life.clock.now();
    life.bench.fleet.set_away(true);
    rest(30 * MINUTE).await;
    life.bench.fleet.set_away(false);
    rest(2 * MINUTE).await;
    let took = life.after(began, "api.unreachable api", "openedAt").unwrap();
    println!("api.unreachable: opened after {took:?}");
    assert!(took <= 70 * SECOND, "{took:?}");
    let filed = life.bench.fleet.filed();
    assert_eq!(filed, ["api.unreachable api Open 1", "api.unreachable api Clear 1"]);
    life.end_doctor().await;
}

/// Half an hour in which cards and disks, and with them the kernel log, go mad.
async fn storm(life: &Life) {
    life.hold_still();
    for round in 0_u32..180 {
        let card = format!("eth{}", round % 3);
        let is_up = round / 3 % 4 < 2;
        life.card(&card, &format!("carrier = {}; carrier_changes = {}", u8::from(is_up), 3 + round / 6));
        life.runtime(if round % 20 < 2 { RuntimeState::Hung } else { RuntimeState::Answers });
        for line in 0..40 {
            let noise = "x".repeat(400);
            life.say(&format!(
                "I/O error, dev sd{}, sector {line} {noise}",
                char::from(b'a' + u8::try_from(round % 26).unwrap())
            ));
            life.say(&format!("EXT4-fs error (device vd{line}x): {noise}"));
        }
        rest(10 * SECOND).await;
        let spool = std::fs::metadata(life.bench.path("spool.jsonl")).map_or(0, |file| file.len());
        assert!(spool <= 32 << 20, "{spool} bytes wait");
    }
    mend(life);
    for card in ["eth0", "eth1", "eth2"] {
        life.card(card, "carrier = 1; carrier_changes = 900");
    }
}

/// What was filed of each problem, without what was only suspected and the API itself.
fn lives(life: &Life) -> BTreeMap<String, Vec<String>> {
    let mut lives = BTreeMap::<String, Vec<String>>::new();
    for row in life.bench.fleet.filed() {
        let [episode, state, problem] = row.rsplitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{row}") };
        if state != "Suspect" && !problem.starts_with("api.") {
            lives.entry(problem.to_owned()).or_default().push(format!("{state} {episode}"));
        }
    }
    lives
}

#[tokio::test(start_paused = true)]
async fn a15_what_a_storm_brought_in_half_an_hour_without_the_api_is_told_as_if_it_had_been_there() {
    let mut told = Vec::new();
    for away in [false, true] {
        let life = Life::new();
        life.start_doctor().await;
        well_for(&life, 2 * MINUTE).await;
        life.bench.fleet.set_away(away);
        storm(&life).await;
        assert!(!away || life.bench.fleet.filed().is_empty());
        life.bench.fleet.set_away(false);
        rest(3 * HOUR).await;
        assert!(!life.bench.path("spool.jsonl").exists(), "some wait");
        told.push(lives(&life));
        life.end_doctor().await;
    }
    let changes: usize = told[0].values().map(Vec::len).sum();
    println!("a15: {changes} changes of {} problems", told[0].len());
    assert!(100 < changes, "{told:?}");
    assert_eq!(told[0], told[1], "in order, each once, none lost");
}

#[test]
fn each_class_of_the_documentation_is_made_by_a_test() {
    let page = include_str!("../../../../../docs/doctors.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let told: BTreeSet<String> = rows.map(|(class, _)| class.to_owned()).collect();
    let class = |fault: &Fault| fault.row.split(' ').next().unwrap().to_owned();
    let mut made: BTreeSet<String> = together().chain(&ALONE).map(class).collect();
    made.extend(FOR_REAL.iter().chain(&ELSEWHERE).map(|class| (*class).to_owned()));
    assert_eq!(told, made);
}
