//! Somebody sets the clock of the control plane an hour ahead and an hour back, in the middle of repairs.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::harness::{Cluster, MACHINE, Process, needs_containers, wait_for};
use crate::story::{field, takes_the_machine_in, up_with, wait_phase};

const SECOND: Duration = Duration::from_secs(1);
const PROBLEM: &str = "m1.runtime.hung.containerd";

/// The library that stands between a program and the clock.
fn library() -> Option<PathBuf> {
    let places = std::fs::read_dir("/usr/lib").ok()?.flatten();
    places.map(|place| place.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
}

/// How far the clock of what it writes is off, in minutes, by the last line of its log.
fn shown(server: &Process) -> Result<i64, String> {
    let words = server.words();
    let last = words.lines().rev().find_map(|line| line.split(' ').next()?.parse::<jiff::Timestamp>().ok());
    let now = muster_base::clock::Clock::now(&muster_base::clock::SystemClock);
    last.map(|last| last.duration_since(now).as_mins()).ok_or_else(|| "no line with a time".to_owned())
}

fn sets_the_clock(cluster: &Cluster, offset: &str) {
    let (next, file) = (cluster.path("offset.next"), cluster.path("offset"));
    std::fs::write(&next, offset).unwrap();
    std::fs::rename(next, file).unwrap();
}

/// The runtime hangs, and the clock is set while the repair is under way.
fn heals_while_the_clock_is_set(
    cluster: &Cluster,
    server: &Process,
    episode: u32,
    offset: &str,
    minutes: i64,
) {
    kill(cluster.containerd(), Signal::SIGSTOP).unwrap();
    let run = format!("repair-{PROBLEM}-{episode}");
    wait_for("the repair", 30 * SECOND, || field(cluster, &["run", &run], "/status/phase").map(drop));
    sets_the_clock(cluster, offset);
    wait_phase(cluster, "run", &run, "Succeeded", 120 * SECOND);
    wait_phase(cluster, "machine", MACHINE, "Healthy", 5 * SECOND);
    let off = shown(server).unwrap();
    assert!((off - minutes).abs() <= 2, "the clock was not set: it is off by {off} min");
    let run = cluster.get(&["run", &run]).unwrap();
    for step in run["status"]["steps"].as_array().unwrap() {
        assert_eq!((&step["phase"], &step["attempt"]), (&"Succeeded".into(), &1.into()), "{step}");
    }
}

#[test]
fn a7_a_clock_set_by_an_hour_within_a_repair_lets_no_lease_and_no_deadline_run_out() {
    needs_containers!();
    let Some(library) = library() else { return println!("could not run: libfaketime is not installed") };
    let cluster = Cluster::new();
    sets_the_clock(&cluster, "+0");
    let offset = cluster.path("offset");
    let server = up_with(
        &cluster,
        &[
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ],
    );
    takes_the_machine_in(&cluster);
    heals_while_the_clock_is_set(&cluster, &server, 1, "+1h", 60);
    heals_while_the_clock_is_set(&cluster, &server, 2, "-1h", -60);
    sets_the_clock(&cluster, "+0");
    let names = |kind: &str| {
        let all = cluster.get(&[kind]).unwrap();
        let names = all["items"].as_array().unwrap().iter();
        names.map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("problems"), [PROBLEM], "nobody fell silent, and no word ran out");
    let grants = cluster.get(&["disruptions"]).unwrap();
    for grant in grants["items"].as_array().unwrap() {
        wait_phase(
            &cluster,
            "disruption",
            grant["metadata"]["name"].as_str().unwrap(),
            "Released",
            10 * SECOND,
        );
    }
    let history = crate::harness::done(&mut cluster.muster(&["machine", "history", MACHINE]));
    assert!(!history.contains("Failed") && !history.contains("Unknown"), "{history}");
}
