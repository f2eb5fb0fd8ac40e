//! A hung runtime, from the sign to the cure.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use muster_api::disruption::DisruptionPhase;
use muster_api::machine::MachineSpec;
use muster_api::problem::State;
use muster_api::workflow::RunPhase;
use muster_api::{CORDONED_BY, Disruption, Machine, Order, Problem};
use muster_sim::{Phase, Watches, World};
use serde_json::json;

use crate::support::{
    REPAIR, clean_repair, effects_of, healthy, names, phases, repaired, repairs_of, seconds, steps,
};

const RUN: &str = "repair-m0.runtime.hung.containerd-1";

#[tokio::test(start_paused = true)]
async fn a5_a_hung_runtime_is_found_granted_cordoned_restarted_proved_and_returned_to_service() {
    let world = World::build(2).await;
    for name in names(3) {
        world.add_machine(&name, "site-a").await;
    }
    healthy(&world, &["m0", "m1", "m2"]).await;
    let before = world.effects().len();
    let begin = world.now();
    world.machine("m0").hang_runtime();
    repaired(&world, "m0", 1, seconds(300)).await;
    let run = repairs_of(&world, "m0").remove(0);
    assert_eq!(run.metadata.name.as_deref(), Some(RUN));
    assert_eq!(run.status.as_ref().unwrap().phase, RunPhase::Succeeded);
    assert_eq!(steps(&run), REPAIR);
    assert_eq!(effects_of(&world, RUN), clean_repair());
    assert_eq!(world.effects().len(), before + 2, "nothing else was done on any machine");
    assert_eq!(phases(&world, "m0")[5..], [Phase::Disrupted, Phase::Probation, Phase::Healthy]);
    for other in ["m1", "m2"] {
        assert_eq!(phases(&world, other).len(), 5, "{other} was left alone");
    }
    its_problem_tells_when_it_opened_and_cleared(&world, begin);
    the_node_was_cordoned_by_this_run_alone_and_let_go(&world);
    the_grant_was_taken_once_and_given_back(&world);
    every_order_went_through_its_phases_once(&world);
}

fn its_problem_tells_when_it_opened_and_cleared(world: &World, begin: jiff::Timestamp) {
    let mut states: Vec<State> = Vec::new();
    for seen in world.history::<Problem>() {
        assert_eq!(seen.object.spec.class, "runtime.hung", "nothing but the fault is filed");
        let state = seen.object.status.map(|status| status.state);
        if let Some(state) = state.filter(|state| states.last() != Some(state)) {
            states.push(state);
        }
    }
    assert_eq!(states, [State::Suspect, State::Open, State::Clear]);
    let problem: Problem = world.get("", "m0.runtime.hung.containerd").expect("the problem is kept");
    let opened = problem.status.and_then(|status| status.opened_at).expect("it opened").duration_since(begin);
    assert!(opened <= SignedDuration::from_secs(15), "filed after {opened}");
}

fn the_node_was_cordoned_by_this_run_alone_and_let_go(world: &World) {
    let mut cordons: Vec<(bool, Option<String>)> = Vec::new();
    for seen in
        world.history::<Node>().into_iter().filter(|seen| seen.object.metadata.name.as_deref() == Some("m0"))
    {
        let cordoned = seen.object.spec.unwrap_or_default().unschedulable.unwrap_or_default();
        let owner = seen.object.metadata.annotations.unwrap_or_default().remove(CORDONED_BY);
        if cordons.last() != Some(&(cordoned, owner.clone())) {
            cordons.push((cordoned, owner));
        }
    }
    assert_eq!(cordons, [(false, None), (true, Some(RUN.to_owned())), (false, None)]);
}

fn the_grant_was_taken_once_and_given_back(world: &World) {
    let mut phases: Vec<DisruptionPhase> = Vec::new();
    for seen in world.history::<Disruption>() {
        assert_eq!(seen.object.metadata.name.as_deref(), Some(RUN));
        if let Some(status) = seen.object.status.filter(|status| phases.last() != Some(&status.phase)) {
            phases.push(status.phase);
        }
    }
    assert_eq!(phases, [DisruptionPhase::Granted, DisruptionPhase::Released]);
}

fn every_order_went_through_its_phases_once(world: &World) {
    let mut told = Vec::new();
    for seen in world.history::<Order>().into_iter().filter(|seen| seen.object.spec.run == RUN) {
        let phase = seen.object.status.map(|status| status.phase).unwrap_or_default();
        told.push(format!("{} {}", seen.object.spec.step, phase.as_str()));
    }
    let expected = ["Pending", "Accepted", "Done"];
    let expected: Vec<String> = ["restart-runtime", "probation"]
        .iter()
        .flat_map(|step| expected.iter().map(move |phase| format!("{step} {phase}")))
        .collect();
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn a11_a_restart_that_does_not_help_fails_the_machine_and_the_rung_is_done_once_more() {
    let world = World::build(3).await;
    world.add_machine("m0", "site-a").await;
    healthy(&world, &["m0"]).await;
    world.machine("m0").resist_restarts(3);
    world.machine("m0").hang_runtime();
    world.wait_phase("m0", Phase::Failed).await;
    let machine: Machine = world.get("", "m0").unwrap();
    let message = machine.status.unwrap().message;
    assert_eq!(
        message,
        format!("run {RUN} ended at step restart-runtime: containerd does not answer after the restart")
    );
    world.wait_phase("m0", Phase::Healthy).await;
    tokio::time::sleep(seconds(3600)).await;
    let [first, second] = repairs_of(&world, "m0").try_into().expect("each doing is a run");
    assert_eq!(first.status.as_ref().unwrap().phase, RunPhase::Failed);
    assert_eq!(steps(&first)[2], ("restart-runtime", RunPhase::Failed, 3));
    assert_eq!(second.metadata.name, Some(format!("{RUN}-2")));
    assert_eq!(
        (second.status.as_ref().unwrap().phase, steps(&second)),
        (RunPhase::Succeeded, REPAIR.to_vec())
    );
}

#[tokio::test(start_paused = true)]
async fn a11_what_nothing_helps_ends_with_a_person_and_the_machine_says_why() {
    let world = World::build(3).await;
    world.add_machine("m0", "site-a").await;
    healthy(&world, &["m0"]).await;
    world.machine("m0").resist_restarts(30);
    world.machine("m0").hang_runtime();
    world.wait_phase("m0", Phase::Quarantined).await;
    tokio::time::sleep(seconds(3600)).await;
    let runs = repairs_of(&world, "m0");
    let workflows: Vec<&str> = runs.iter().map(|run| run.spec.workflow.as_str()).collect();
    assert_eq!(workflows, ["restart-runtime", "restart-runtime", "reboot", "quarantine"]);
    // The boot itself went as it should, and only showed that it helps nothing.
    assert_eq!(steps(&runs[2])[2], ("reboot", RunPhase::Succeeded, 1));
    let why = &runs[3].spec.repair.as_ref().unwrap().why;
    assert_eq!(why, "powerCycle: the machine has no management controller");
    assert_eq!(world.phase("m0"), Some(Phase::Quarantined));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_to_be_left_alone_is_untouched_says_why_and_is_healed_when_the_time_is_over() {
    let world = World::build(4).await;
    world.add_machine("m0", "site-a").await;
    healthy(&world, &["m0"]).await;
    let before = world.effects();
    let until = world.now() + SignedDuration::from_mins(20);
    let hands_off =
        json!({"spec": {"handsOff": {"until": until, "by": "night shift", "reason": "being measured"}}});
    Api::<Machine>::all(world.admin())
        .patch("m0", &PatchParams::default(), &Patch::Merge(hands_off))
        .await
        .unwrap();
    world.machine("m0").hang_runtime();
    tokio::time::sleep(seconds(15 * 60)).await;
    assert_eq!(world.effects(), before);
    assert_eq!(world.phase("m0"), Some(Phase::Healthy));
    let node: Node = world.get("", "m0").unwrap();
    assert_eq!(node.spec.unwrap().unschedulable, None);
    let run = repairs_of(&world, "m0").remove(0);
    let reason = format!("hands off until {until} by night shift: being measured");
    assert_eq!(run.status.unwrap().message, format!("grant: no grant yet: {reason}"));
    assert_eq!(world.get::<Disruption>("", RUN).unwrap().status.unwrap().reason, reason);
    repaired(&world, "m0", 1, seconds(600)).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_machine_that_is_to_be_left_alone_is_not_installed_before_the_time_is_over() {
    let world = World::build(5).await;
    let until = world.now() + SignedDuration::from_mins(20);
    let hands_off =
        muster_api::machine::HandsOff { until, by: "night shift".into(), reason: "being cabled".into() };
    let spec = MachineSpec {
        site: "site-a".into(),
        role: "worker".into(),
        hands_off: Some(hands_off),
        ..MachineSpec::default()
    };
    world.add_machine_as("m0", spec).await;
    tokio::time::sleep(seconds(15 * 60)).await;
    assert_eq!(world.effects(), []);
    assert_eq!(world.phase("m0"), Some(Phase::Inspecting));
    let machine: Machine = world.get("", "m0").unwrap();
    let message = machine.status.unwrap().message;
    assert_eq!(message, format!("hands off until {until} by night shift: being cabled"));
    healthy(&world, &["m0"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_reaches_the_agent_too_late_is_refused_and_only_the_later_attempt_is_done() {
    let world = World::build(6).await;
    world.add_machine("m0", "site-a").await;
    healthy(&world, &["m0"]).await;
    world.agent_faults().set_watches(Watches::Denied);
    world.machine("m0").hang_runtime();
    world
        .wait("the second attempt", seconds(300), |world| match repairs_of(world, "m0").first() {
            Some(run)
                if run.status.as_ref().is_some_and(|status| status.steps.iter().any(|s| s.attempt == 2)) =>
            {
                Ok(())
            }
            other => Err(format!("{:?}", other.map(|run| &run.status))),
        })
        .await;
    world.agent_faults().set_watches(Watches::Intact);
    repaired(&world, "m0", 1, seconds(300)).await;
    let restarts: Vec<String> = world
        .list::<Order>()
        .into_iter()
        .filter(|order| order.spec.step == "restart-runtime")
        .map(|order| format!("{} {}", order.spec.attempt, order.status.unwrap().phase.as_str()))
        .collect();
    assert_eq!(restarts, ["1 Refused", "2 Done"]);
    let done: Vec<u32> = world
        .machine("m0")
        .effects()
        .into_iter()
        .filter(|effect| effect.step == "restart-runtime")
        .map(|effect| effect.attempt)
        .collect();
    assert_eq!(done, [2]);
}
