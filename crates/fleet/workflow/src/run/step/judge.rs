//! Steps that look, and those that let others look: expressions, checks, probation, persons.

use std::time::Duration;

use kube::ResourceExt as _;
use muster_api::machine::Phase;
use muster_api::problem::State;
use muster_api::problem::canary::is_canary;
use muster_api::workflow::{Run, RunPhase, StepStatus};
use muster_base::clock::elapsed;

use super::super::plan::World;
use super::{Progress, done, enter, failed, order};

fn verdict<'a>(step: &StepStatus, world: &'a World) -> Option<&'a Result<bool, String>> {
    world.verdicts.get(&step.step.name)
}

pub(super) fn wait(step: &StepStatus, world: &World) -> Progress {
    let expression = &step.step.expression;
    match verdict(step, world) {
        Some(Ok(true)) => done(format!("it holds that {expression}")),
        Some(Ok(false)) => Progress::Wait(format!("until {expression}")),
        Some(Err(reason)) => Progress::Wait(format!("until {expression}: {reason}")),
        None => Progress::Wait("the expression is being judged".to_owned()),
    }
}

pub(super) fn verify(run: &Run, step: &StepStatus, fence: i64, world: &World) -> Progress {
    let expression = &step.step.expression;
    if expression.is_empty() {
        return match order::checks(run, step, fence, world) {
            Ok(proofs) if proofs.is_empty() => done("the role has no checks"),
            Ok(proofs) => done(proofs.join("; ")),
            Err(unfinished) => unfinished,
        };
    }
    match verdict(step, world) {
        Some(Ok(true)) => done(format!("it holds that {expression}")),
        Some(Ok(false)) => failed(format!("it does not hold that {expression}")),
        Some(Err(reason)) => failed(format!("it cannot be told whether {expression}: {reason}")),
        None => Progress::Wait("the expression is being judged".to_owned()),
    }
}

pub(super) fn approve(run: &Run, step: &StepStatus) -> Progress {
    let name = &step.step.name;
    let may = |by: &str| step.step.approvers.is_empty() || step.step.approvers.iter().any(|one| one == by);
    let words = || run.spec.approvals.iter().filter(|word| word.step == *name && !word.by.is_empty());
    if let Some(word) = words().find(|word| may(&word.by)) {
        return done(format!("approved by {}", word.by));
    }
    let whom = match step.step.approvers.as_slice() {
        [] => "a person".to_owned(),
        some => some.join(" or "),
    };
    let other = words().next_back().map(|word| format!(", not of {}", word.by)).unwrap_or_default();
    Progress::Wait(format!(
        "waits for the word of {whom}{other}: muster run approve {} --step {name}",
        run.name_any()
    ))
}

pub(super) fn probation(run: &Run, step: &StepStatus, fence: i64, world: &World) -> Progress {
    let Some(role) = &world.role else { return failed("the role of the machine is not there any more") };
    let entered = enter(world, Phase::Probation, "proves itself before it serves", step.due_at);
    if !matches!(entered, Progress::Ended(RunPhase::Succeeded, _)) {
        return entered;
    }
    let mut proofs = match order::checks(run, step, fence, world) {
        Ok(proofs) => proofs,
        // Its deadline is that of the whole, from the begin.
        Err(Progress::Under(_, message)) => return Progress::Wait(message),
        Err(unfinished) => return unfinished,
    };
    let mut real = world.problems.iter().filter(|problem| !is_canary(&problem.spec));
    let open = real.find(|problem| {
        problem.status.as_ref().is_some_and(|status| matches!(status.state, State::Open | State::Suspect))
    });
    if let Some(problem) = open {
        return Progress::Wait(format!("problem {} is not clear yet", problem.name_any()));
    }
    let since =
        world.machine.as_ref().and_then(|machine| machine.status.as_ref()).and_then(|status| status.since);
    let passed = since.map_or(Duration::ZERO, |since| elapsed(since, world.now));
    let wanted = role.spec.probation.duration;
    if passed < wanted.0 {
        return Progress::Wait(format!("watched for {wanted}"));
    }
    proofs.push(format!("no problem for {wanted}"));
    done(proofs.join("; "))
}
