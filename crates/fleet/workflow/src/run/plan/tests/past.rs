use muster_api::repair::{RepairRef, RungAction};

use super::super::end::RATES_OVER;
use super::*;

const HOUR: i64 = 3600;

/// A repair that went well, is no longer asked for by its problem, and is kept for a day.
fn ended() -> Story {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    story.world.keep = Some(Duration::from_secs(24 * 3600));
    story.world.followed_by = RATES_OVER;
    let (deadline, success_after) = [1800, 3600].map(|time| GoDuration(Duration::from_secs(time))).into();
    let of = ("runtime", "runtime.hung");
    story.run.spec.repair = Some(RepairRef::new(of, RungAction::RestartService, deadline, success_after));
    story.settle();
    story.set_problem(State::Clear);
    story.pass_seconds(10);
    assert_eq!(story.status().phase, RunPhase::Succeeded);
    story.done.clear();
    story
}

fn at_hour(story: &mut Story, hour: i64) -> Plan {
    let ended_at = story.status().ended_at.unwrap();
    story.world.now = ended_at.checked_add(jiff::SignedDuration::from_secs(hour * HOUR)).unwrap();
    plan(&story.run, &story.world)
}

fn is_removed(plan: &Plan) -> bool {
    assert!(plan.status.is_none());
    plan.effects == [Effect::Remove]
}

#[test]
fn a_run_is_removed_when_it_has_been_over_for_as_long_as_runs_are_kept_and_not_before() {
    let mut story = ended();
    let plan = at_hour(&mut story, 23);
    assert_eq!((plan.effects.len(), plan.look_again), (0, Some(Duration::from_secs(3600))));
    assert!(is_removed(&at_hour(&mut story, 24)));
    story.world.keep = None;
    assert_eq!(at_hour(&mut story, 999_999), Plan::default());
}

#[test]
fn a_run_stays_that_somebody_may_still_ask_about() {
    type Change = fn(&mut Story);
    let cases: [(&str, Change); 7] = [
        ("its problem is open again", |story| story.set_problem(State::Open)),
        ("its problem is unknown", |story| story.set_problem(State::Unknown)),
        ("it is one of the last of its class", |story| story.world.followed_by -= 1),
        ("it may yet turn out to have fixed nothing", |story| {
            story.run.spec.repair.as_mut().unwrap().success_after =
                GoDuration(Duration::from_secs(25 * 3600));
        }),
        ("its machine is failed as it left it", |story| set_left(story, Phase::Failed, "r1")),
        ("its machine is in quarantine as it left it", |story| set_left(story, Phase::Quarantined, "r1")),
        ("it has the machine in hand", |story| {
            let mut machine = (**story.world.machine.as_ref().unwrap()).clone();
            machine.status.as_mut().unwrap().run = "r1".into();
            story.world.machine = Some(Arc::new(machine));
        }),
    ];
    for (why, change) in cases {
        let mut story = ended();
        assert!(is_removed(&at_hour(&mut story, 24)), "before: {why}");
        change(&mut story);
        assert!(!is_removed(&at_hour(&mut story, 24)), "{why}");
    }
}

fn set_left(story: &mut Story, phase: Phase, run: &str) {
    let mut machine = (**story.world.machine.as_ref().unwrap()).clone();
    let status = machine.status.as_mut().unwrap();
    status.phase = phase;
    let by = Transition { at: at(0), from: None, to: phase, reason: "test".into(), run: run.into() };
    status.transitions.push(by);
    story.world.machine = Some(Arc::new(machine));
}

#[test]
fn a_machine_that_another_run_gave_up_or_that_is_gone_keeps_no_run() {
    let mut story = ended();
    set_left(&mut story, Phase::Failed, "r2");
    assert!(is_removed(&at_hour(&mut story, 24)));
    (story.world.machine, story.world.problems) = (None, Vec::new());
    assert!(is_removed(&at_hour(&mut story, 24)));
}

#[test]
fn what_a_person_asks_for_comes_before_the_removal() {
    let mut story = ended();
    story.run.spec.undo = true;
    let plan = at_hour(&mut story, 24);
    assert!(plan.effects.is_empty() && plan.status.is_some(), "{plan:?}");
}
