//! The next rung for one problem.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::problem::EpisodeKey;
use muster_api::repair::{Mode, RepairRef, Rung, RungAction};
use muster_api::workflow::{Run, RunSpec};
use muster_api::{GoDuration, MACHINE_LABEL, Machine, Problem, RepairPolicy, Workflow};
use muster_base::clock::elapsed;

use super::climb::{self, Tried};
use super::rates::{Count, Rates};
use super::shield::{self, Held, Kind};

/// A run that could not begin is asked for again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// What a person is given to come.
const QUARANTINE_DEADLINE: Duration = Duration::from_secs(3600);

/// One problem of one machine, and what is known about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) problem: &'a Problem,
    pub(crate) policy: &'a RepairPolicy,
    /// What was tried for the problem, in the order in which it began.
    pub(crate) tried: &'a [Tried],
    pub(crate) rates: &'a Rates,
    pub(crate) kind: Kind<'a>,
    /// Problems of many machines.
    pub(crate) parents: &'a [Arc<Problem>],
    /// The one of them of which this may be tried.
    pub(crate) tried_of: Option<&'a str>,
    /// Those that may be run.
    pub(crate) workflows: &'a [&'a Arc<Workflow>],
    /// Its role says what it may be installed from anew.
    pub(crate) has_image: bool,
    pub(crate) now: Timestamp,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// This run.
    Start(Box<Run>),
    /// Nothing: that is why.
    Held(Held),
}

fn held(reason: &'static str, text: String, until: Option<Timestamp>) -> Next {
    Next::Held(Held { reason, text, until })
}

/// Decides what is done about an open problem.
pub(crate) fn next(case: &Case<'_>) -> Next {
    let status = case.problem.status.clone().unwrap_or_default();
    if let Some(held) =
        shield::shields(case.machine, case.problem, (case.parents, case.tried_of), case.kind, case.now)
    {
        return Next::Held(held);
    }
    let opened = status.opened_at.or(status.first_seen).unwrap_or(case.now);
    let episode = EpisodeKey::of(case.problem);
    let of_this = || case.tried.iter().filter(|one| one.episode == episode);
    if let Some(run) = case.tried.iter().find(|one| one.is_under_way()) {
        return held("UnderWay", format!("run {} is at it", run.run), None);
    }
    if let Some(run) = of_this().find(|one| one.stopped) {
        return held("Stopped", format!("a person gave run {} up", run.run), None);
    }
    let given = |one: &&Tried| one.counts() && one.rung.action == RungAction::Quarantine;
    if let Some(run) = of_this().find(given) {
        return held("WithPerson", format!("a person has it since run {}", run.run), None);
    }
    let again_at = of_this()
        .next_back()
        .filter(|last| !last.counts())
        .and_then(|last| last.ended?.checked_add(ASK_AGAIN).ok())
        .filter(|at| case.now < *at);
    if again_at.is_some() {
        return held("AskedAgain", "its last run could not begin".to_owned(), again_at);
    }
    match choose(case, opened, episode) {
        Choice::Watch(until) => {
            held("Observed", "it is watched whether it clears by itself".to_owned(), Some(until))
        }
        Choice::Rung(rung, why) => begin(case, &rung, why, of_this().count()),
    }
}

enum Choice {
    /// Nothing before.
    Watch(Timestamp),
    /// This one, and why none before it.
    Rung(Box<Rung>, Vec<String>),
}

fn choose(case: &Case<'_>, opened: Timestamp, episode: EpisodeKey) -> Choice {
    let spec = &case.policy.spec;
    let quarantine = || {
        let last = spec.rungs.last().filter(|rung| rung.action == RungAction::Quarantine).cloned();
        Box::new(last.unwrap_or_else(|| Rung::new(RungAction::Quarantine, QUARANTINE_DEADLINE)))
    };
    if let Some(why) = enough(case, episode) {
        return Choice::Rung(quarantine(), vec![why]);
    }
    let climb = climb::climb(case.tried, opened, spec.success_after());
    let mut why = Vec::new();
    for rung in spec.rungs.iter().skip(first(climb, &spec.rungs)) {
        match rung.action {
            RungAction::Observe => {
                let until = opened.checked_add(rung.deadline.0).unwrap_or(opened);
                if case.now < until {
                    return Choice::Watch(until);
                }
            }
            RungAction::Quarantine => break,
            action @ (RungAction::RestartService
            | RungAction::CleanUp
            | RungAction::ResetDevice
            | RungAction::Reboot
            | RungAction::PowerCycle
            | RungAction::Reimage) => match impossible(case, rung).or_else(|| useless(case, action)) {
                Some(reason) => why.push(reason),
                None => return Choice::Rung(Box::new(rung.clone()), why),
            },
        }
    }
    Choice::Rung(quarantine(), why)
}

/// The lowest rung that may still be done: the highest that was done, while its limit lasts, else the one above it.
fn first(climb: &[Tried], rungs: &[Rung]) -> usize {
    let done = |action| climb.iter().filter(|one| one.counts() && one.rung.action == action).count();
    let highest = rungs.iter().enumerate().rev().find_map(|(index, rung)| {
        let done = done(rung.action);
        (0 < done).then_some((index, done, rung.limit as usize))
    });
    match highest {
        Some((index, done, limit)) if done < limit => index,
        Some((index, ..)) => index + 1,
        None => 0,
    }
}

/// Whether the class was repaired so often on this machine that a person has to look.
fn enough(case: &Case<'_>, episode: EpisodeKey) -> Option<String> {
    let limit = case.policy.spec.person_after();
    let recent = |one: &&Tried| one.counts() && elapsed(one.began, case.now) <= limit.within.0;
    let others = case.tried.iter().filter(recent).map(|one| one.episode).filter(|other| *other != episode);
    let repairs = others.collect::<BTreeSet<_>>().len() as u32 + 1;
    (limit.repairs <= repairs).then(|| {
        format!("this would be repair {repairs} of {} within {}", case.problem.spec.class, limit.within)
    })
}

/// Why a rung cannot be done on this machine.
fn impossible(case: &Case<'_>, rung: &Rung) -> Option<String> {
    let name = rung.workflow().unwrap_or_default();
    if runnable(case.workflows, name).is_none() {
        return Some(format!("{}: there is no Workflow {name:?} that can be run", rung.action.as_str()));
    }
    if !rung.workflow.is_empty() {
        return None;
    }
    let says = |what: &str| Some(format!("{}: {what}", rung.action.as_str()));
    let by_controller = matches!(rung.action, RungAction::PowerCycle | RungAction::Reimage);
    if by_controller && case.machine.spec.bmc.is_none() {
        return says("the machine has no management controller");
    }
    if rung.action == RungAction::Reimage && !case.has_image && !rung.parameters.contains_key("media") {
        return says("its role names no image");
    }
    None
}

/// Why a rung is not worth doing.
fn useless(case: &Case<'_>, action: RungAction) -> Option<String> {
    let skip = case.policy.spec.skip();
    let class = &case.problem.spec.class;
    let (count, same) = case.rates.of(class, action, (case.kind.model, case.kind.image), skip.samples);
    let bad = skip.samples <= count.tried && at_most(count) * 100.0 < f64::from(skip.below_percent);
    let whom = if same { " on this kind of machine" } else { "" };
    bad.then(|| format!("{} fixed {} of {}{whom}: skipped", action.as_str(), count.fixed, count.tried))
}

/// The share that is fixed at most, as far as so few doings can tell: the upper end of the 95 % score interval (Wilson,
/// JASA 22, 1927). A rung that had bad luck at first is not given up.
fn at_most(count: Count) -> f64 {
    const Z: f64 = 1.96;
    let (tried, fixed) = (f64::from(count.tried), f64::from(count.fixed));
    let share = fixed / tried;
    let middle = share + Z * Z / (2.0 * tried);
    let spread = Z * (share * (1.0 - share) / tried + Z * Z / (4.0 * tried * tried)).sqrt();
    (middle + spread) / (1.0 + Z * Z / tried)
}

fn runnable<'a>(workflows: &[&'a Arc<Workflow>], name: &str) -> Option<&'a Arc<Workflow>> {
    workflows.iter().find(|workflow| workflow.metadata.name.as_deref() == Some(name)).copied()
}

fn begin(case: &Case<'_>, rung: &Rung, why: Vec<String>, before: usize) -> Next {
    let (action, class) = (rung.action, &case.problem.spec.class);
    let name = rung.workflow().unwrap_or_default();
    let Some(workflow) = runnable(case.workflows, name) else {
        let text = format!("{}: there is no Workflow {name:?} that can be run", action.as_str());
        return held("NoWorkflow", text, None);
    };
    let why = why.join("; ");
    let mode = case.policy.spec.mode;
    if mode == Mode::Observe {
        let because = if why.is_empty() { String::new() } else { format!(" ({why})") };
        return held("WouldAct", format!("would {} by workflow {name}{because}", action.as_str()), None);
    }
    let mut parameters = rung.parameters.clone();
    let takes = |name: &str| workflow.spec.parameters.iter().any(|parameter| parameter.name == name);
    if takes("component") && !parameters.contains_key("component") {
        parameters.insert("component".to_owned(), case.problem.spec.component.clone());
    }
    let machine = case.machine.name_any();
    let name_of = |before: usize| {
        let first = format!("repair-{}-{}", case.problem.name_any(), EpisodeKey::of(case.problem).number);
        if before == 0 { first } else { format!("{first}-{}", before + 1) }
    };
    let success_after = GoDuration(case.policy.spec.success_after());
    // A former life of the problem may have had an episode of that number.
    let is_free = |run: &String| case.tried.iter().all(|one| one.run != *run);
    let run = (before..).map(name_of).find(is_free).expect("more numbers than runs");
    let spec = RunSpec {
        workflow: name.to_owned(),
        machine: machine.clone(),
        repair: Some(RepairRef {
            confirm: mode == Mode::Approve,
            verify: rung.verify.clone(),
            model: case.kind.model.to_owned(),
            image: case.kind.image.to_owned(),
            why,
            ..RepairRef::new((&case.policy.name_any(), class), action, rung.deadline, success_after)
        }),
        parameters,
        ..RunSpec::answering(case.problem)
    };
    let mut run = Run::new(&run, spec);
    run.labels_mut().insert(MACHINE_LABEL.to_owned(), machine);
    Next::Start(Box::new(run))
}

#[cfg(test)]
mod tests;
