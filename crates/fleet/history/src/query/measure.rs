//! What a history of many machines costs: `tests/bench` prints its lines, `docs/benchmarks.md` keeps them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Question;
use crate::database::tests::Bench;
use crate::kinds::Kind;

const SITES: usize = 84;
const ROLES: [&str; 5] = ["web", "storage", "database", "batch", "cache"];
const CHANGES_EACH: usize = 4;
const QUESTIONS: usize = 60;

#[expect(clippy::disallowed_methods, reason = "a measurement is told its size from outside")]
fn machines() -> usize {
    std::env::var("MUSTER_BENCH_MACHINES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000)
}

fn machine(number: usize, version: usize) -> Value {
    let role = ROLES[(number + version) % ROLES.len()];
    json!({
        "metadata": {"creationTimestamp": "2026-11-01T14:00:00Z", "labels": {"muster.dev/row": format!("r{}", number % 40)}},
        "spec": {"site": format!("site-{:02}", number % SITES), "rack": format!("rack-{}", number / 40),
            "serial": format!("SN{number:09}"), "role": role, "profile": "r740",
            "bmc": {"address": format!("redfish://10.{}.{}.{}/1", number >> 16, number >> 8 & 255, number & 255), "secretRef": "bmc"}},
        "status": {"phase": if version.is_multiple_of(2) { "Healthy" } else { "Probation" }, "since": "2026-11-01T14:00:00Z",
            "message": "back in service: every step is done", "node": format!("m{number:07}")},
    })
}

fn inventory(number: usize) -> Value {
    let disk = |index: usize| json!({"name": format!("nvme{index}n1"), "model": "MZQL23T8HCLS-00A07", "serial": format!("S64HNE0{number:08}{index}"), "bytes": 3_840_755_982_336_u64, "rotational": false});
    let nic = |index: usize| json!({"name": format!("eth{index}"), "mac": format!("02:00:00:{:02x}:{:02x}:{index:02x}", number >> 8 & 255, number & 255), "speedMbps": 25000, "up": true});
    json!({"status": {
        "observedAt": "2026-11-01T14:00:00Z", "bootID": format!("00000000-0000-4000-8000-{number:012}"),
        "kernel": (["6.1.0-27-amd64", "6.12.9"][number % 2]), "serial": format!("SN{number:09}"),
        "cpu": {"model": "Intel(R) Xeon(R) Gold 6338", "sockets": 2, "cores": 64, "threads": 128},
        "memoryGiB": ([128, 256, 512, 1024][number % 4]),
        "disks": (0..8).map(disk).collect::<Vec<_>>(), "nics": (0..2).map(nic).collect::<Vec<_>>(),
    }})
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_millis();
    format!("p50 {} ms, p99 {} ms", at(50), at(99))
}

fn asked(bench: &Bench, as_of: impl Fn(usize) -> Option<jiff::Timestamp>) -> String {
    let condition = "machine.spec.role == \"storage\" && inventory.memoryGiB < 512 && machine.status.phase == \"Healthy\"";
    let times = (0..QUESTIONS).map(|index| {
        let began = Instant::now();
        let answer =
            Question::new(condition, as_of(index), Some("site")).unwrap().answer(bench.database()).unwrap();
        assert!(answer.matched > 0 || answer.as_of < bench.database().now());
        began.elapsed()
    });
    percentiles(times.collect())
}

fn directory_bytes(bench: &Bench) -> u64 {
    let entries = std::fs::read_dir(bench.directory.path()).unwrap();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
#[expect(clippy::print_stdout, reason = "what was measured is the point")]
#[ignore = "a measurement; tests/bench runs it optimized"]
fn what_a_history_of_many_machines_costs() {
    let machines = machines();
    let mut bench = Bench::with_segments(crate::log::SEGMENT_BYTES);
    let before = resident_bytes();
    let began = Instant::now();
    let all = (0..machines).flat_map(|number| {
        let name = format!("m{number:07}");
        [(Kind::Machine, name.clone(), machine(number, 0)), (Kind::Inventory, name, inventory(number))]
    });
    bench.sees_all(all);
    let loaded = began.elapsed();
    let bytes = directory_bytes(&bench);
    println!(
        "history of {machines} machines: loaded in {:.1} s, {} bytes a machine with its inventory",
        loaded.as_secs_f64(),
        bytes / machines as u64
    );
    let first = bench.database().span().unwrap().0;
    let began = Instant::now();
    for version in 1..=CHANGES_EACH {
        bench.sees_all(
            (0..machines).map(|number| (Kind::Machine, format!("m{number:07}"), machine(number, version))),
        );
    }
    let changes = machines * CHANGES_EACH;
    println!(
        "history: {changes} changes of two fields recorded at {:.0}/s, {} bytes each",
        changes as f64 / began.elapsed().as_secs_f64(),
        (directory_bytes(&bench) - bytes) / changes as u64
    );
    println!("history: anonymous memory {} MiB more", (resident_bytes() - before) >> 20);
    let last = bench.database().now();
    let span = last.duration_since(first);
    println!("history, live, 3 predicates and groups: {}", asked(&bench, |_| None));
    let past =
        |index: usize| Some(first + span * i32::try_from(index).unwrap() / i32::try_from(QUESTIONS).unwrap());
    println!("history, as of any time, 3 predicates and groups: {}", asked(&bench, past));
    let began = Instant::now();
    assert_eq!(bench.database().verify(None).unwrap().broken, None);
    println!(
        "history: {} MiB verified in {:.1} s",
        directory_bytes(&bench) >> 20,
        began.elapsed().as_secs_f64()
    );
    let began = Instant::now();
    bench.reopen();
    println!("history: opened in {:.1} s", began.elapsed().as_secs_f64());
}
