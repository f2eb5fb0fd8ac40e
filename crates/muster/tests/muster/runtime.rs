//! A container runtime that is dead, and one that hangs: two faults, each found in time and healed.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Cluster, MACHINE, done, needs_containers, wait_for};
use crate::story::{field, takes_the_machine_in, up, wait_phase};

const SECOND: Duration = Duration::from_secs(1);
const DEAD: &str = "m1.runtime.dead.containerd";
const HUNG: &str = "m1.runtime.hung.containerd";

fn state(cluster: &Cluster, problem: &str) -> String {
    field(cluster, &["problem", problem], "/status/state").unwrap_or_default()
}

fn is_alive(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

/// Kills it as often as it is started again, until that is given up; when it died last.
fn kills_it_until_it_stays_down(cluster: &Cluster) -> Instant {
    let mut died = Instant::now();
    wait_for("problem of a dead runtime", 90 * SECOND, || {
        if is_alive(cluster.containerd()) {
            kill(cluster.containerd(), Signal::SIGKILL).map_err(|error| error.to_string())?;
            died = Instant::now();
        }
        match state(cluster, DEAD) {
            state if state == "Open" => Ok(()),
            state => Err(state),
        }
    });
    died
}

/// The node is cordoned and no container was started yet to prove the machine, says the run.
fn is_between(run: &Value) -> bool {
    let steps = run["status"]["steps"].as_array().cloned().unwrap_or_default();
    let phase = |name: &str| steps.iter().find(|step| step["name"] == name).map(|step| &step["phase"]);
    let is_done = |name: &str| phase(name).is_some_and(|phase| phase == "Succeeded");
    is_done("cordon") && !is_done("probation")
}

/// Restarted, and cordoned until a container was really started: seen at every look between the two.
fn is_healed(cluster: &Cluster, problem: &str) {
    let run = format!("repair-{problem}-1");
    let mut looks = 0;
    wait_for("end of the repair", 120 * SECOND, || {
        let before = cluster.get(&["run", &run])?;
        let node = cluster.get(&["node", MACHINE])?;
        let after = cluster.get(&["run", &run])?;
        if is_between(&before) && is_between(&after) {
            looks += 1;
            assert_eq!(node["spec"]["unschedulable"], true, "{after}");
        }
        let phase = after["status"]["phase"].as_str().unwrap_or_default();
        if phase == "Succeeded" { Ok(()) } else { Err(phase.to_owned()) }
    });
    assert!(0 < looks, "nobody looked while it was proved");
    let run = cluster.get(&["run", &run]).unwrap();
    let steps = run["status"]["steps"].as_array().unwrap().iter();
    let steps: Vec<&str> = steps.map(|step| step["name"].as_str().unwrap()).collect();
    let expected = ["grant", "cordon", "restart-runtime", "probation", "uncordon", "healthy", "release"];
    assert_eq!(steps, expected);
    let orders = cluster.get(&["orders"]).unwrap();
    let started = orders["items"].as_array().unwrap().iter().filter(|order| {
        order["spec"]["run"] == run["metadata"]["name"] && order["spec"]["verb"] == "CheckContainerStart"
    });
    assert!(started.into_iter().any(|order| order["status"]["phase"] == "Done"), "no container was started");
    assert!(cluster.get(&["node", MACHINE]).unwrap()["spec"].get("unschedulable").is_none());
    wait_phase(cluster, "machine", MACHINE, "Healthy", 5 * SECOND);
    assert_eq!(state(cluster, problem), "Clear");
}

#[test]
fn a5_a_dead_runtime_and_a_hung_one_are_told_apart_each_within_fifteen_seconds() {
    needs_containers!();
    let mut cluster = Cluster::new();
    cluster.allowed = &[("containerd", "it is killed as often as the agent starts it, until that gives up")];
    let _server = up(&cluster);
    takes_the_machine_in(&cluster);
    let took = kills_it_until_it_stays_down(&cluster).elapsed();
    println!("a5: killed for the last time to Problem: {took:?}");
    assert!(took <= 15 * SECOND, "{took:?}");
    assert_ne!(state(&cluster, HUNG), "Open");
    is_healed(&cluster, DEAD);
    kill(cluster.containerd(), Signal::SIGSTOP).unwrap();
    let stopped = Instant::now();
    wait_for("problem of a hung runtime", 15 * SECOND, || match state(&cluster, HUNG) {
        state if state == "Open" => Ok(()),
        state => Err(state),
    });
    println!("a5: stopped to Problem: {:?}", stopped.elapsed());
    assert_eq!(state(&cluster, DEAD), "Clear");
    is_healed(&cluster, HUNG);
    both_are_counted(&cluster);
    the_report_tells_both_also_when_the_runs_are_gone(&cluster);
}

/// What `muster fleet report` tells, but for the moment at which it was asked.
fn report(cluster: &Cluster) -> Value {
    let told = done(&mut cluster.muster(&["fleet", "report", "-o", "json"]));
    let mut report: Value = serde_json::from_str(&told).unwrap();
    let map = report.as_object_mut().unwrap();
    map.remove("since");
    map.remove("until");
    report
}

fn the_report_tells_both_also_when_the_runs_are_gone(cluster: &Cluster) {
    let reason = "muster.dev/false-alarm=it was stopped on purpose";
    let said = cluster.kubectl(&["annotate", "problem", HUNG, reason]);
    assert!(said.status.success(), "{said:?}");
    // The history sees what was written a moment later.
    let before = wait_for("report of both", 10 * SECOND, || {
        let report = report(cluster);
        let rung = &report["perRung"]["restartService"];
        if report["decided"] == 2 && rung["tried"] == 2 && report["falseAlarms"] == 1 {
            Ok(report)
        } else {
            Err(report.to_string())
        }
    });
    for (field, value) in [("opened", 2), ("closedWithoutPerson", 2), ("withPerson", 0), ("falseRepairs", 0)]
    {
        assert_eq!(before[field], value, "{field}: {before}");
    }
    for class in ["runtime.dead", "runtime.hung"] {
        assert_eq!(before["perClass"][class]["closedWithoutPerson"], 1, "{class}: {before}");
    }
    let table = done(&mut cluster.muster(&["fleet", "report"]));
    let share = table.lines().find(|line| line.starts_with("share without a person"));
    assert!(share.is_some_and(|line| line.ends_with("100.0 %")), "{table}");
    let removed = cluster.kubectl(&["delete", "runs,problems", "--all"]);
    assert!(removed.status.success(), "{removed:?}");
    wait_for("runs to be gone in the history", 10 * SECOND, || {
        let told = done(&mut cluster.muster(&["history", "show", "Problem", HUNG, "-o", "json"]));
        if told.contains("\"Delete\"") { Ok(()) } else { Err(told) }
    });
    assert_eq!(report(cluster), before, "the same history gives the same figures");
}

fn both_are_counted(cluster: &Cluster) {
    let output = cluster.kubectl(&["get", "--raw", "/metrics"]);
    let metrics = String::from_utf8(output.stdout).unwrap();
    for class in ["runtime.dead", "runtime.hung"] {
        for line in [
            format!("muster_problems_closed_total{{class=\"{class}\",site=\"here\",by=\"software\"}} 1"),
            format!("muster_problem_repair_seconds_count{{class=\"{class}\"}} 1"),
        ] {
            assert!(metrics.lines().any(|told| told == line), "{line} is not in {metrics}");
        }
    }
    let repairs = metrics.lines().filter(|line| {
        line.starts_with("muster_repairs_total{")
            && line.ends_with("action=\"restartService\",result=\"succeeded\"} 1")
    });
    assert_eq!(repairs.count(), 2, "{metrics}");
}
