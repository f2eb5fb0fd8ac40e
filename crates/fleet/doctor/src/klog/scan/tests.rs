use super::*;
use crate::klog::rules;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn scanner(trust: Trust) -> Scanner {
    let (rules, faults) = rules::load(None);
    assert_eq!(faults, []);
    Scanner::new(rules, trust)
}

fn shown(found: &[Finding]) -> Vec<String> {
    let row = |finding: &Finding| {
        let sign = match &finding.sign {
            Sign::Bad(_) => "bad".to_owned(),
            Sign::More(times) => format!("{times} more"),
            Sign::Good | Sign::Unseen => "other".to_owned(),
        };
        format!("{} {}: {sign}", finding.rule.class, finding.component)
    };
    found.iter().map(row).collect()
}

/// What the kernel's own line is found to be.
fn of(text: &str) -> Vec<String> {
    let mut scanner = scanner(Trust::default());
    scanner.line(&format!("3,7,100,-;{text}"), now());
    shown(&scanner.found())
}

#[test]
fn a1_each_line_of_the_kernel_is_of_its_class_and_part() {
    for (text, expected) in [
        (
            "I/O error, dev sda, sector 72000 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
            "disk.media_error sda",
        ),
        (
            "blk_update_request: critical medium error, dev nvme0n1, sector 5 op 0x0",
            "disk.media_error nvme0n1",
        ),
        ("blk_update_request: I/O error, dev sdb, sector 0", "disk.media_error sdb"),
        ("sd 0:0:0:0: [sda] tag#3 Sense Key : Medium Error [current]", "disk.media_error sda"),
        ("Buffer I/O error on dev dm-0, logical block 1, async page read", "disk.media_error dm-0"),
        ("Buffer I/O error on device sda1, logical block 5", "disk.media_error sda1"),
        ("critical space allocation error, dev sdc, sector 8 op 0x1:(WRITE)", "disk.space_below sdc"),
        (
            "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory",
            "fs.error sda1",
        ),
        ("EXT4-fs (sda1): Remounting filesystem read-only", "fs.readonly sda1"),
        ("XFS (nvme0n1p2): Metadata CRC error detected at xfs_agi_read_verify", "fs.error nvme0n1p2"),
        ("XFS (sdb1): Filesystem has been shut down due to log error (0x2).", "fs.readonly sdb1"),
        ("BTRFS error (device sdb: state EA): parent transid verify failed", "fs.error sdb"),
        ("BTRFS info (device sdb: state EA): forced readonly", "fs.readonly sdb"),
        ("INFO: task dd:1234 blocked for more than 120 seconds.", "io.stall tasks"),
        ("ata3.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x6 frozen", "disk.link_error ata3"),
        ("nvme nvme0: controller is down; will reset: CSTS=0x3", "disk.link_error nvme0"),
        ("watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [dd:1]", "cpu.lockup cpu"),
        ("BUG: unable to handle page fault for address: 0000000000001000", "kernel.oops kernel"),
        ("Out of memory: Killed process 12 (mysqld) total-vm:1kB", "mem.oom_storm memory"),
        ("EDAC MC0: 1 UE memory read error on CPU_SrcID#0", "mem.ecc mc0"),
        ("mce: [Hardware Error]: Machine check events logged", "mem.ecc cpu"),
        ("Memory failure: 0x12345: recovery action for dirty LRU page: Recovered", "mem.ecc memory"),
        ("NETDEV WATCHDOG: eth0 (igb): transmit queue 0 timed out", "nic.hang eth0"),
        (
            "igb 0000:01:00.0 eth1: NETDEV WATCHDOG: CPU: 3: transmit queue 0 timed out 5000 ms",
            "nic.hang eth1",
        ),
        ("nf_conntrack: nf_conntrack: table full, dropping packet", "net.conntrack_full conntrack"),
        ("CPU3: Core temperature above threshold, cpu clock throttled (total events = 1)", "temp.high cpu"),
    ] {
        assert_eq!(of(text), [format!("{expected}: bad")], "{text}");
    }
    for text in [
        "Memory cgroup out of memory: Killed process 12 (app)",
        "EDAC MC0: 1 CE memory read error on CPU_SrcID#0",
        "EXT4-fs (sda1): mounted filesystem with ordered data mode",
        "I/O error, dev loop0, sector 72000 op 0x0:(READ)",
        "Buffer I/O error on dev zram0, logical block 1, async page read",
        "muster0: port 1(veth07323900) entered disabled state",
    ] {
        assert_eq!(of(text), [""; 0], "{text}");
    }
}

#[test]
fn a1_forged_lines_are_refused_unless_a_test_wants_them() {
    let line = "11,7,100,-;EXT4-fs error (device sda1): forged";
    let mut strict = scanner(Trust::default());
    strict.line(line, now());
    assert_eq!((strict.found(), strict.refused), (Vec::new(), 1));
    let mut lenient = scanner(Trust { forged: true, virtual_devices: false });
    lenient.line(line, now());
    assert_eq!(shown(&lenient.found()), ["fs.error sda1: bad"]);
}

#[test]
fn a1_the_number_of_lost_records_is_exact_and_what_was_seen_is_not_seen_again() {
    let mut scanner = scanner(Trust::default());
    scanner.begin(Some(9), Duration::ZERO);
    for sequence in [8, 9, 10, 11, 3000, 11, 3001] {
        scanner.line(&format!("6,{sequence},100,-;quiet"), now());
    }
    let found = scanner.found();
    assert_eq!(shown(&found), ["log_lost kernel: bad", "log_lost kernel: 2987 more"]);
    let expected = Sign::Bad("2988 records of the kernel log were lost: 12 to 2999".into());
    assert_eq!((&found[0].sign, scanner.last()), (&expected, Some(3001)));
}

#[test]
fn a_first_look_leaves_out_what_is_old() {
    let mut scanner = scanner(Trust::default());
    scanner.begin(None, Duration::from_secs(1000));
    scanner.line("3,1,399999999,-;I/O error, dev sda, sector 1", now());
    assert_eq!(scanner.found(), []);
    scanner.line("3,2,400000000,-;I/O error, dev sda, sector 1", now());
    assert_eq!(shown(&scanner.found()), ["disk.media_error sda: bad"]);
}

#[test]
fn a_flood_is_evidence_for_a_while_and_a_number_after_that() {
    let mut scanner = scanner(Trust::default());
    for sequence in 0..5000 {
        let disk = if sequence % 5 == 0 { "sdb" } else { "sda" };
        scanner.line(&format!("3,{sequence},100,-;I/O error, dev {disk}, sector {sequence}"), now());
    }
    scanner.line("3,5000,100,-;EXT4-fs error (device sda1): another class is not held back", now());
    let found = shown(&scanner.found());
    let bad = |what: &str| found.iter().filter(|row| *row == what).count();
    assert_eq!((bad("disk.media_error sda: bad"), bad("disk.media_error sdb: bad")), (16, 4));
    assert_eq!(bad("fs.error sda1: bad"), 1);
    assert_eq!(
        bad("disk.media_error sda: 3984 more") + bad("disk.media_error sdb: 996 more"),
        2,
        "{found:?}"
    );
    scanner.line("3,5001,100,-;I/O error, dev sda, sector 1", now() + jiff::SignedDuration::from_secs(1));
    assert_eq!(shown(&scanner.found()), ["disk.media_error sda: bad"], "it comes back with time");
}

#[test]
fn a_line_that_explodes_in_other_engines_costs_little() {
    let mut scanner = scanner(Trust::default());
    let bomb = "a".repeat(2000);
    for sequence in 0..2000 {
        scanner.line(&format!("3,{sequence},100,-;EXT4-fs error (device {bomb}): {bomb}"), now());
    }
    let found = scanner.found();
    assert_eq!(found.len(), usize::try_from(BURST).unwrap() + 1);
    assert!(found.iter().all(|finding| finding.component.chars().count() <= 64));
}

#[test]
fn rules_that_are_too_much_together_are_tried_one_by_one() {
    let rule = |at: usize| {
        format!(
            "- {{name: r{at}, class: disk.r{at}, component: x, pattern: 'r{at} (?:[a-z]{{1,40}} ){{1,40}}z', quiet: 1m}}\n"
        )
    };
    let text: String = (0..200).map(rule).collect();
    let (mut rules, mut faults) = (Vec::new(), Vec::new());
    rules::parse("mine.yaml", &text, &mut rules, &mut faults);
    assert_eq!((rules.len(), faults.first()), (200, None));
    let mut scanner = Scanner::new(rules, Trust::default());
    assert!(scanner.set.is_none());
    for line in ["3,7,100,-;r7 went bad z", "3,8,100,-;r8 went bad", "3,9,100,-;r199 a z"] {
        scanner.line(line, now());
    }
    assert_eq!(shown(&scanner.found()), ["disk.r7 x: bad", "disk.r199 x: bad"]);
}
