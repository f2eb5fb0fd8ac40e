//! A controller that is stopped dead: the act ends Ambiguous within its deadline, and is not repeated when it returns.

use std::time::{Duration, Instant};

use kube::Api;
use muster_api::order::{OrderPhase, Verb};
use muster_api::workflow::RunPhase;
use muster_api::{BmcReading, Run};
use nix::sys::signal::{Signal, kill};

use super::emulator::{IpmiSim, lacks};
use super::fleet::{Plane, begin, block_on, create, machines, order, phases, step, workflow};
use crate::harness::{pause, wait_for};

const DEADLINE: u64 = 15;

#[test]
#[ignore = "make test-slow runs it"]
fn a9_with_the_controller_stopped_dead_an_act_ends_ambiguous_in_time_and_is_never_sent_later() {
    if let Some(why) = lacks(&["ipmi_sim", "ipmitool", "setpriv"]) {
        println!("could not run: {why}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    let sims = ["a", "b", "c"].map(|name| IpmiSim::start(directory.path().join(name)));
    let client = plane.client();
    let rows: Vec<(String, String)> =
        ["a", "b", "c"].iter().zip(&sims).map(|(name, sim)| ((*name).to_owned(), sim.address())).collect();
    block_on(async {
        machines(&client, &rows, &[("cipherSuite", "3")]).await;
        workflow(&client, "cycle", vec![step("cycle", Verb::PowerCycle, DEADLINE)]).await;
        workflow(&client, "reset", vec![step("reset", Verb::Reset, DEADLINE)]).await;
    });
    for sim in &sims[..2] {
        kill(sim.process.pid(), Signal::SIGSTOP).unwrap();
    }
    let began = Instant::now();
    block_on(async {
        begin(&client, "run-a", "cycle", "a").await;
        begin(&client, "run-b", "reset", "b").await;
        begin(&client, "run-c", "cycle", "c").await;
    });
    let status =
        |run: &str| block_on(Api::<Run>::all(client.clone()).get(run)).unwrap().status.unwrap_or_default();
    let ends = |run: &str| {
        wait_for("end of the run", Duration::from_secs(DEADLINE + 5), || {
            let status = status(run);
            if status.phase.is_final() { Ok(status) } else { Err(status.message) }
        })
    };
    let quick = ends("run-c");
    assert_eq!(quick.phase, RunPhase::Succeeded, "{}", quick.message);
    assert!(
        began.elapsed() < Duration::from_secs(DEADLINE),
        "a silent neighbour held it up: {:?}",
        began.elapsed()
    );
    for run in ["run-a", "run-b"] {
        let status = ends(run);
        assert_eq!(status.phase, RunPhase::Ambiguous, "{run}: {}", status.message);
    }
    assert!(began.elapsed() <= Duration::from_secs(DEADLINE + 2), "{:?}", began.elapsed());
    for sim in &sims[..2] {
        kill(sim.process.pid(), Signal::SIGCONT).unwrap();
    }
    wait_for("an answer again", Duration::from_secs(90), || {
        let reading =
            block_on(Api::<BmcReading>::all(client.clone()).get_opt("a")).map_err(|e| e.to_string())?;
        let reading = reading.and_then(|reading| reading.status).unwrap_or_default();
        if reading.reachable { Ok(()) } else { Err(format!("{reading:?}")) }
    });
    pause(Duration::from_secs(1));
    for sim in &sims[..2] {
        assert_eq!(sim.acts(), Vec::<String>::new());
    }
}

/// `ipmitool` would send again what is not answered within a second, and a controller does again what it is sent again.
#[test]
#[ignore = "make test-slow runs it"]
fn a9_a_controller_that_answers_late_is_told_once() {
    if let Some(why) = lacks(&["ipmi_sim", "ipmitool", "setpriv"]) {
        println!("could not run: {why}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    let sim = IpmiSim::start_slow(directory.path().join("a"));
    let client = plane.client();
    block_on(async {
        machines(&client, &[("a".to_owned(), sim.address())], &[("cipherSuite", "3")]).await;
        workflow(&client, "reset", vec![step("on", Verb::PowerOn, 60), step("reset", Verb::Reset, 60)]).await;
        begin(&client, "run", "reset", "a").await;
    });
    let status = wait_for("end of the run", Duration::from_secs(130), || {
        let status = block_on(Api::<Run>::all(client.clone()).get("run")).unwrap().status.unwrap_or_default();
        if status.phase.is_final() { Ok(status) } else { Err(status.message) }
    });
    assert_eq!(sim.acts(), ["power 1", "reset"], "{:?}: {}", status.phase, status.message);
    assert_eq!(status.phase, RunPhase::Succeeded, "{}", status.message);
}

#[test]
#[ignore = "make test-slow runs it"]
fn a15_an_order_of_an_older_fence_or_for_a_machine_without_a_controller_is_refused() {
    if let Some(why) = lacks(&["ipmi_sim", "ipmitool", "setpriv"]) {
        println!("could not run: {why}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    let sim = IpmiSim::start(directory.path().join("a"));
    let client = plane.client();
    block_on(async {
        machines(&client, &[("a".to_owned(), sim.address())], &[("cipherSuite", "3")]).await;
        workflow(&client, "on", vec![step("on", Verb::PowerOn, 60)]).await;
        begin(&client, "first", "on", "a").await;
    });
    wait_for("power", Duration::from_secs(30), || if sim.is_on() { Ok(()) } else { Err("off".to_owned()) });
    let mut stale = order("a", Verb::PowerOff, Duration::from_secs(60));
    stale.spec.generation = 0;
    let lost = order("nobody", Verb::PowerOff, Duration::from_secs(60));
    block_on(async {
        create(Api::all(client.clone()), &stale).await;
        create(Api::all(client.clone()), &lost).await;
    });
    for (name, says) in
        [("a.poweroff", "generation 0 is older than 1"), ("nobody.poweroff", "there is no Machine")]
    {
        let status = wait_for("a refusal", Duration::from_secs(10), || {
            let status = block_on(phases(&client)).remove(name).unwrap_or_default();
            if status.phase.is_final() { Ok(status) } else { Err(format!("{status:?}")) }
        });
        assert_eq!(status.phase, OrderPhase::Refused);
        assert!(status.message.contains(says), "{}", status.message);
    }
    assert_eq!(sim.acts(), ["power 1"]);
}
