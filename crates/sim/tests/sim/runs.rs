//! Runs of workflows with steps of many kinds, on the real API.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::disruption::Destruction;
use muster_api::order::Verb;
use muster_api::workflow::{Run, RunPhase, RunSpec, StepStatus};
use muster_api::{Disruption, Machine, Order, RunChunk, Workflow};
use muster_sim::{Options, Phase, Watches, World};
use muster_workflow::dry_run::{Ask, dry_run, recorded};
use serde_json::{Value, json};

use crate::support::{healthy, seconds};

async fn write(world: &World, name: &str, spec: Value) {
    let workflow: Workflow =
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a workflow");
    Api::<Workflow>::all(world.admin())
        .create(&PostParams::default(), &workflow)
        .await
        .expect("the workflow is taken");
}

async fn start(world: &World, name: &str, workflow: &str, parameters: &[(&str, &str)]) {
    let parameters =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let spec = RunSpec { workflow: workflow.into(), machine: "m0".into(), parameters, ..RunSpec::default() };
    Api::<Run>::all(world.admin())
        .create(&PostParams::default(), &Run::new(name, spec))
        .await
        .expect("the run is taken");
}

async fn ask(world: &World, run: &str, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    Api::<Run>::all(world.admin())
        .patch(run, &PatchParams::default(), &patch)
        .await
        .expect("the run is changed");
}

async fn ends(world: &World, run: &str, phase: RunPhase) -> Run {
    world
        .wait(&format!("{run} to be {}", phase.as_str()), seconds(3600), |world| {
            let found = world.get::<Run>("", run).ok_or("it is not there")?;
            let status = found.status.clone().unwrap_or_default();
            if status.phase == phase {
                Ok(found)
            } else {
                Err(format!("{:?} {}", status.phase, status.message))
            }
        })
        .await
}

fn phases(steps: &[StepStatus]) -> Vec<String> {
    steps.iter().map(|step| format!("{} {}", step.step.name, step.phase.as_str())).collect()
}

fn sysctl(value: &str) -> Value {
    json!({"verb": "EnsureSysctls", "arguments": {"sysctls": {"vm.swappiness": value}}})
}

async fn world_with_workflows(seed: u64) -> World {
    let world = World::build(seed).await;
    world.add_machine("m0", "site-a").await;
    write(
        &world,
        "part",
        json!({"purpose": "person", "steps": [
            {"name": "kernel", "action": "order", "order": {"verb": "CheckKernel"}, "deadline": "1m"},
        ]}),
    )
    .await;
    let undo = |value| json!({"action": "order", "order": sysctl(value)});
    write(&world, "many-kinds", json!({
        "purpose": "person",
        "parameters": [{"name": "value", "type": "integer", "required": true}, {"name": "times", "type": "integer", "default": "3"}],
        "steps": [
            {"name": "allowed", "action": "approve", "approvers": ["ada"], "deadline": "1h"},
            {"name": "serves", "action": "wait", "expression": "machine.status.phase == 'Healthy' && inventory.memoryGiB > 1", "deadline": "10m"},
            {"name": "grant", "action": "disrupt", "deadline": "1h"},
            {"name": "cordon", "action": "cordon", "deadline": "1m"},
            {"name": "drain", "action": "drain", "deadline": "10m"},
            {"name": "set", "action": "order", "order": sysctl("${parameters.value}"), "deadline": "1m", "undo": undo("60")},
            {"name": "more", "action": "order", "order": sysctl("${index}"), "repeat": "${parameters.times}", "deadline": "1m", "undo": undo("61")},
            {"name": "part", "action": "run", "run": {"workflow": "part"}, "deadline": "10m"},
            {"name": "right", "action": "verify", "expression": "parameters.value == 10 && node.spec.unschedulable", "deadline": "1m"},
            {"name": "probation", "action": "probation", "deadline": "5m", "attempts": 3},
            {"name": "uncordon", "action": "uncordon", "deadline": "1m"},
            {"name": "healthy", "action": "healthy", "deadline": "1m"},
        ],
        "finally": [{"name": "release", "action": "release", "deadline": "1m"}],
    })).await;
    healthy(&world, &["m0"]).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_run_begins_though_its_workflow_was_not_seen_yet() {
    let world = World::build(49).await;
    world.add_machine("m0", "site-a").await;
    healthy(&world, &["m0"]).await;
    world.fleet_faults().set_watches(Watches::DeniedOf("workflows"));
    tokio::time::sleep(seconds(1)).await;
    let check =
        json!({"name": "kernel", "action": "order", "order": {"verb": "CheckKernel"}, "deadline": "1m"});
    write(&world, "late", json!({"purpose": "person", "steps": [check]})).await;
    start(&world, "r1", "late", &[]).await;
    start(&world, "r2", "never", &[]).await;
    let refused = ends(&world, "r2", RunPhase::Failed).await.status.unwrap();
    assert_eq!(refused.message, "spec.workflow: there is no Workflow \"never\"; nothing is done");
    ends(&world, "r1", RunPhase::Succeeded).await;
}

#[tokio::test(start_paused = true)]
async fn the_dry_run_says_what_the_run_does_and_its_undo_takes_it_back_once() {
    let world = world_with_workflows(40).await;
    let parameters = BTreeMap::from([("value".to_owned(), "10".to_owned())]);
    let asked = Ask { workflow: "many-kinds".into(), machine: "m0".into(), parameters };
    let said = dry_run(&world.admin(), &asked, world.now()).await.unwrap();
    start(&world, "r1", "many-kinds", &[("value", "10")]).await;
    tokio::time::sleep(seconds(60)).await;
    let waiting = world.get::<Run>("", "r1").unwrap().status.unwrap();
    assert_eq!(waiting.message, "allowed: waits for the word of ada: muster run approve r1 --step allowed");
    ask(&world, "r1", json!({"approvals": [{"step": "allowed", "by": "ada"}]})).await;
    let run = ends(&world, "r1", RunPhase::Succeeded).await;
    let status = run.status.unwrap();
    assert_eq!(recorded(&status.steps), said.lines);
    assert_eq!(status.plan, said.plan);
    assert_eq!(world.phase("m0"), Some(Phase::Healthy));
    let part = world.get::<Run>("", "r1.part.1").unwrap().status.unwrap();
    assert_eq!((part.phase, part.fence), (RunPhase::Succeeded, status.fence));
    let orders = |world: &World| {
        let mut orders: Vec<String> = world
            .list::<Order>()
            .into_iter()
            .filter(|order| order.spec.run == "r1")
            .map(|o| o.spec.step)
            .collect();
        orders.sort();
        orders
    };
    assert_eq!(orders(&world), ["more-0", "more-1", "more-2", "probation", "set"]);
    ask(&world, "r1", json!({"undo": true})).await;
    let undone = ends(&world, "r1", RunPhase::Undone).await.status.unwrap();
    let mut taken_back = phases(&undone.steps[undone.steps.len() - 8..]);
    taken_back[1..4].sort();
    let names = ["grant", "more-0", "more-1", "more-2", "set", "probation", "healthy", "release"];
    assert_eq!(
        taken_back,
        names.map(|name| format!("undo-{name} Succeeded")),
        "the first is taken back last"
    );
    assert_eq!(world.phase("m0"), Some(Phase::Healthy));
    let (plan, before) = (undone.plan.unwrap(), status.plan.unwrap());
    assert_eq!((plan.parent, plan.revision, undone.fence), (before.id, 2, status.fence + 1));
    tokio::time::sleep(seconds(1200)).await;
    assert_eq!(orders(&world).len(), 10, "a second look undoes nothing again");
}

#[tokio::test(start_paused = true)]
async fn a_parameter_that_does_not_fit_is_answered_with_its_field_and_nothing_is_done() {
    let world = world_with_workflows(41).await;
    for (name, parameters, message) in [
        ("a", vec![], "spec.parameters.value: Workflow \"many-kinds\" requires it"),
        ("b", vec![("value", "x")], "spec.parameters.value: \"x\" is no whole number"),
    ] {
        start(&world, name, "many-kinds", &parameters).await;
        let status = ends(&world, name, RunPhase::Failed).await.status.unwrap();
        let verdict = condition::find(&status.conditions, ACCEPTED).unwrap().clone();
        assert_eq!((verdict.status, verdict.message.as_str()), (Status::False, message));
        assert_eq!(status.steps, []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_steps_stand_in_chunks_through_the_death_of_the_controllers() {
    let world = world_with_workflows(42).await;
    write(&world, "long", json!({"purpose": "person", "steps": [
        {"name": "each", "action": "verify", "expression": "machine.metadata.name == 'm0'", "repeat": "1000", "deadline": "1m"},
    ]})).await;
    start(&world, "long", "long", &[]).await;
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        world.crash_controllers();
    }
    let status = ends(&world, "long", RunPhase::Succeeded).await.status.unwrap();
    assert_eq!((status.steps.len(), status.counts.unwrap().succeeded), (0, 1000));
    let mut chunks = world.list::<RunChunk>();
    chunks.sort_by_key(|chunk| chunk.spec.index);
    let names: Vec<String> = chunks
        .into_iter()
        .flat_map(|chunk| chunk.status.unwrap().steps)
        .map(|step| format!("{} {}", step.step.name, step.attempt))
        .collect();
    let expected: Vec<String> = (0..1000).map(|number| format!("each-{number} 1")).collect();
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn a_retired_machine_is_emptied_once_a_person_agrees_and_is_never_touched_again() {
    let world = world_with_workflows(43).await;
    start(&world, "r1", "retire", &[("reason", "end of warranty")]).await;
    tokio::time::sleep(seconds(1200)).await;
    assert_eq!(world.phase("m0"), Some(Phase::Healthy), "nobody agreed");
    ask(&world, "r1", json!({"approvals": [{"step": "allowed", "by": "ada"}]})).await;
    ends(&world, "r1", RunPhase::Succeeded).await;
    let retired = world.get::<Machine>("", "m0").unwrap().status.unwrap();
    let last = retired.transitions.last().unwrap();
    assert_eq!((last.to, last.reason.as_str()), (Phase::Retired, "retired: end of warranty"));
    let node = world.get::<Node>("", "m0").unwrap();
    assert_eq!(node.spec.unwrap().unschedulable, Some(true));
    let grants = world.list::<Disruption>();
    assert!(grants.iter().all(|grant| grant.spec.released), "{grants:?}");
    world.machine("m0").hang_runtime();
    tokio::time::sleep(seconds(3600)).await;
    assert_eq!(world.phase("m0"), Some(Phase::Retired));
    let runs: Vec<String> = world.list::<Run>().into_iter().map(|run| run.spec.workflow).collect();
    assert_eq!(runs.iter().filter(|workflow| *workflow != "install-role").collect::<Vec<_>>(), ["retire"]);
    start(&world, "r2", "retire", &[("reason", "again")]).await;
    let again = ends(&world, "r2", RunPhase::Cancelled).await.status.unwrap();
    assert_eq!(again.message, "the machine is Retired");
}

#[tokio::test(start_paused = true)]
async fn disks_are_erased_on_an_emptied_machine_by_name_and_with_leave_of_its_own() {
    let world = world_with_workflows(44).await;
    let parameters = [("reason", "end of warranty"), ("disks", "S1,S2")];
    start(&world, "r1", "retire-erased", &parameters).await;
    ask(&world, "r1", json!({"approvals": [{"step": "allowed", "by": "ada"}]})).await;
    ends(&world, "r1", RunPhase::Succeeded).await;
    assert_eq!(world.phase("m0"), Some(Phase::Retired));
    let orders: Vec<Order> =
        world.list::<Order>().into_iter().filter(|order| order.spec.run == "r1").collect();
    assert_eq!(orders.len(), 1);
    assert_eq!(
        (orders[0].spec.verb, &orders[0].spec.arguments.disks),
        (Verb::EraseDisks, &vec!["S1,S2".to_owned()])
    );
    let leave = world.get::<Disruption>("", "r1.destroy").unwrap();
    assert_eq!((leave.spec.act, leave.spec.phase), (Some(Destruction::Erase), Some(Phase::Disrupted)));
    let given = leave.status.unwrap();
    let begun = orders[0].status.as_ref().unwrap().started_at.unwrap();
    assert!(given.granted_at.unwrap() <= begun && leave.spec.released, "{given:?}");
}

#[tokio::test(start_paused = true)]
async fn a15_nothing_is_erased_where_the_machine_serves_or_nobody_agreed() {
    let world = world_with_workflows(45).await;
    let steps = json!([
        {"name": "allowed", "action": "approve", "deadline": "1h"},
        {"name": "grant", "action": "disrupt", "deadline": "1h"},
        {"name": "probation", "action": "probation", "attempts": 3, "deadline": "2m"},
        {"name": "healthy", "action": "healthy", "deadline": "1m"},
        {"name": "erase", "action": "order", "order": {"verb": "EraseDisks", "arguments": {"disks": ["S1"]}}, "deadline": "1h"},
    ]);
    let finally = json!([{"name": "release", "action": "release", "deadline": "1m"}]);
    write(&world, "late", json!({"purpose": "person", "steps": steps, "finally": finally})).await;
    start(&world, "r1", "late", &[]).await;
    ask(&world, "r1", json!({"approvals": [{"step": "allowed", "by": "ada"}]})).await;
    let status = ends(&world, "r1", RunPhase::Failed).await.status.unwrap();
    assert!(
        status.message.contains("the machine is Healthy: nothing is destroyed on one that"),
        "{}",
        status.message
    );
    let unasked = json!({"purpose": "person", "steps": steps.as_array().unwrap()[1..], "finally": finally});
    write(&world, "unasked", unasked).await;
    let judged = world
        .wait("a verdict", seconds(60), |world| {
            let there = world.get::<Workflow>("", "unasked").ok_or("it is not there")?;
            let conditions = there.status.unwrap_or_default().conditions;
            condition::find(&conditions, ACCEPTED).cloned().ok_or("no verdict".to_owned())
        })
        .await;
    assert_eq!((judged.status, judged.reason.as_str()), (Status::False, "NoApproval"));
    assert!(judged.message.starts_with("spec.steps[3]: this destroys for good"), "{}", judged.message);
    assert!(world.list::<Order>().iter().all(|order| order.spec.verb != Verb::EraseDisks));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ended_long_ago_goes_with_its_orders_and_its_machine_serves_on() {
    let world = World::with(Options { keep_runs: seconds(3600), ..Options::new(31) }).await;
    world.add_machine("m0", "site-a").await;
    healthy(&world, &["m0"]).await;
    let (runs, orders) = (world.list::<Run>(), world.list::<Order>());
    assert!(runs.len() == 1 && !orders.is_empty(), "it was installed: {runs:?}");
    let ended_at =
        runs[0].status.as_ref().and_then(|status| status.ended_at).expect("the installation is over");
    world
        .wait("the run to be removed", seconds(2 * 3600), |world| match world.list::<Run>().len() {
            0 => Ok(()),
            _ => Err("it is there".to_owned()),
        })
        .await;
    let kept = world.now().duration_since(ended_at);
    assert!(kept >= jiff::SignedDuration::from_hours(1), "removed after {kept}");
    world
        .wait("its orders to go with it", seconds(600), |world| match world.list::<Order>().len() {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        })
        .await;
    tokio::time::sleep(seconds(1800)).await;
    assert_eq!(world.phase("m0"), Some(Phase::Healthy));
    assert_eq!(
        (world.list::<Run>().len(), world.list::<Disruption>().len()),
        (0, 0),
        "nothing follows from it"
    );
}
