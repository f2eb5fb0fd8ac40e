//! The API is away: nothing is lost, nothing is told twice, all is told in order.

use std::time::Duration;

use muster_api::probe::{RuntimeReading, RuntimeState};
use serde_json::json;

use crate::bench::{Bench, rest, wait_for, wait_state, write};

const SECOND: Duration = Duration::from_secs(1);

fn runtime(bench: &Bench, state: RuntimeState) {
    let runtime = RuntimeReading { state, detail: "as told".into(), took_ms: 1 };
    bench.agent.0.lock().runtime = Some(runtime);
}

#[tokio::test]
async fn what_opened_and_cleared_while_the_api_was_away_is_told_in_order_and_once() {
    let bench = Bench::new();
    let mut local = bench.blind();
    local.state_dir = Some(bench.dir.path().to_owned());
    let tasks = bench.doctor(local).await;
    runtime(&bench, RuntimeState::Hung);
    wait_state(&bench.fleet, "runtime.hung containerd Open", 10 * SECOND).await;
    bench.fleet.set_away(true);
    runtime(&bench, RuntimeState::Answers);
    let spool = bench.path("spool.jsonl");
    let waits = |changes: usize| {
        let text = std::fs::read_to_string(&spool).unwrap_or_default();
        if text.lines().count() == changes { Ok(()) } else { Err(text) }
    };
    wait_for("a clear that waits", 10 * SECOND, || waits(1)).await;
    runtime(&bench, RuntimeState::Hung);
    wait_for("a second episode that waits", 10 * SECOND, || waits(3)).await;
    runtime(&bench, RuntimeState::Answers);
    wait_for("its clear", 10 * SECOND, || waits(4)).await;
    bench.fleet.set_away(false);
    wait_for("everything filed", 15 * SECOND, || {
        if spool.exists() { Err("some wait".to_owned()) } else { Ok(()) }
    })
    .await;
    let hung: Vec<String> =
        bench.fleet.filed().into_iter().filter(|row| row.starts_with("runtime.hung")).collect();
    let expected = ["Suspect 0", "Open 1", "Clear 1", "Open 2", "Clear 2"];
    assert_eq!(hung, expected.map(|state| format!("runtime.hung containerd {state}")));
    tasks.drain(5 * SECOND).await.unwrap();
}

#[tokio::test]
async fn a_doctor_that_dies_in_an_outage_loses_nothing_and_the_next_files_it() {
    let bench = Bench::new();
    let mut local = bench.blind();
    local.state_dir = Some(bench.dir.path().to_owned());
    let tasks = bench.doctor(local.clone()).await;
    runtime(&bench, RuntimeState::Answers);
    bench.fleet.set_away(true);
    runtime(&bench, RuntimeState::Hung);
    let spool = bench.path("spool.jsonl");
    wait_for("an episode that waits", 10 * SECOND, || {
        let text = std::fs::read_to_string(&spool).unwrap_or_default();
        if text.contains("\"Open\"") { Ok(()) } else { Err(text) }
    })
    .await;
    tasks.abort();
    let tasks = bench.doctor(local).await;
    runtime(&bench, RuntimeState::Answers);
    wait_for("its clear", 10 * SECOND, || {
        let text = std::fs::read_to_string(&spool).unwrap_or_default();
        if text.contains("\"Clear\"") { Ok(()) } else { Err(text) }
    })
    .await;
    bench.fleet.set_away(false);
    wait_state(&bench.fleet, "runtime.hung containerd Clear", 15 * SECOND).await;
    let hung: Vec<String> =
        bench.fleet.filed().into_iter().filter(|row| row.starts_with("runtime.hung")).collect();
    assert_eq!(hung, ["Open 1", "Clear 1"].map(|state| format!("runtime.hung containerd {state}")));
    tasks.drain(5 * SECOND).await.unwrap();
}

#[tokio::test]
async fn a_restart_neither_clears_nor_duplicates_and_planned_maintenance_opens_nothing() {
    let bench = Bench::new();
    let machine = |maintenance: serde_json::Value| {
        json!({"apiVersion": "muster.dev/v1alpha1", "kind": "Machine", "metadata": {"name": "m1"},
            "spec": {"site": "lab", "maintenance": maintenance}})
    };
    write(&bench.path("proc/x"), "");
    let window =
        json!([{"from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z", "reason": "new fans"}]);
    bench.fleet.put("machines/m1", machine(window));
    let tasks = bench.doctor(bench.blind()).await;
    // The first look at the Machine comes before the runtime hangs.
    rest(SECOND).await;
    runtime(&bench, RuntimeState::Hung);
    wait_state(&bench.fleet, "runtime.hung containerd Suspect", 10 * SECOND).await;
    let enough = || {
        bench.fleet.status("runtime.hung", "containerd").map_or(0, |status| status["count"].as_u64().unwrap())
    };
    wait_for("more than opens it", 15 * SECOND, || {
        if 4 < enough() { Ok(()) } else { Err(enough().to_string()) }
    })
    .await;
    assert_eq!(bench.fleet.states(), ["runtime.hung containerd Suspect"]);
    tasks.drain(5 * SECOND).await.unwrap();
    bench.fleet.put("machines/m1", machine(json!([])));
    let tasks = bench.doctor(bench.blind()).await;
    wait_state(&bench.fleet, "runtime.hung containerd Open", 10 * SECOND).await;
    tasks.drain(5 * SECOND).await.unwrap();
    let tasks = bench.doctor(bench.blind()).await;
    let before = bench.fleet.filed();
    rest(3 * SECOND).await;
    assert_eq!(bench.fleet.filed(), before);
    assert_eq!(before.last().unwrap(), "runtime.hung containerd Open 1");
    tasks.drain(5 * SECOND).await.unwrap();
}
