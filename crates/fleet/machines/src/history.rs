//! The story of a machine, assembled from its transitions, its Problems and its Runs.

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::{Machine, Problem, workflow::Run};
use serde::Serialize;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// `Machine`, `Problem` or `Run`.
    pub source: &'static str,
    /// Name of the object it is told by.
    pub name: String,
    /// What happened.
    pub what: String,
    /// Why or with what, for people.
    pub detail: String,
}

/// Everything known of `machine`, oldest first.
pub fn assemble(machine: &Machine, problems: &[Problem], runs: &[Run]) -> Vec<Event> {
    let name = machine.name_any();
    let mut events = of_machine(machine);
    for problem in problems.iter().filter(|problem| problem.spec.machine == name) {
        events.extend(of_problem(problem));
    }
    for run in runs.iter().filter(|run| run.spec.machine == name) {
        events.extend(of_run(run));
    }
    events.sort();
    events
}

fn of_machine(machine: &Machine) -> Vec<Event> {
    let transitions = machine.status.as_ref().map_or(&[][..], |status| &status.transitions);
    transitions
        .iter()
        .map(|transition| Event {
            at: transition.at,
            source: "Machine",
            name: machine.name_any(),
            what: match transition.from {
                Some(from) => format!("{} → {}", from.as_str(), transition.to.as_str()),
                None => transition.to.as_str().to_owned(),
            },
            detail: transition.reason.clone(),
        })
        .collect()
}

fn of_problem(problem: &Problem) -> Vec<Event> {
    let Some(status) = &problem.status else { return Vec::new() };
    let evidence = status.evidence.first().map(|evidence| evidence.text.clone()).unwrap_or_default();
    let event = |at: Option<Timestamp>, what: &str, detail: String| {
        at.map(|at| Event {
            at,
            source: "Problem",
            name: problem.name_any(),
            what: format!("{} {what}", problem.spec.class),
            detail,
        })
    };
    [
        event(status.first_seen, "suspected", String::new()),
        event(status.opened_at, "opened", evidence),
        event(status.cleared_at, "cleared", String::new()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_run(run: &Run) -> Vec<Event> {
    let Some(status) = &run.status else { return Vec::new() };
    let event = |at: Option<Timestamp>, what: String, detail: &str| {
        at.map(|at| Event { at, source: "Run", name: run.name_any(), what, detail: detail.to_owned() })
    };
    let mut events: Vec<Option<Event>> =
        vec![event(status.started_at, "started".to_owned(), &run.spec.workflow)];
    for step in &status.steps {
        let name = &step.step.name;
        events.push(event(
            step.started_at,
            format!("step {name} started"),
            &format!("attempt {}", step.attempt),
        ));
        events.push(event(step.ended_at, format!("step {name} {}", step.phase.as_str()), &step.message));
    }
    events.push(event(status.ended_at, status.phase.as_str().to_owned(), &status.message));
    events.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use muster_api::machine::{MachineSpec, MachineStatus, Phase, Transition};
    use muster_api::problem::{Evidence, ProblemSpec, ProblemStatus};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn tells_machine_and_problem_in_the_order_of_time_and_leaves_others_out() {
        let mut machine = Machine::new("m1", MachineSpec { site: "a".into(), ..MachineSpec::default() });
        let transition = Transition {
            at: at(9),
            from: None,
            to: Phase::Registered,
            reason: "taken in".into(),
            run: String::new(),
        };
        machine.status = Some(MachineStatus { transitions: vec![transition], ..MachineStatus::default() });
        let problem = |of: &str| {
            let spec =
                ProblemSpec { machine: of.into(), class: "runtime.hung".into(), ..ProblemSpec::default() };
            let mut problem = Problem::new(&format!("{of}.runtime.hung"), spec);
            problem.status = Some(ProblemStatus {
                first_seen: Some(at(1)),
                opened_at: Some(at(20)),
                evidence: vec![Evidence { at: at(20), text: "no answer in 2s".into() }],
                ..ProblemStatus::default()
            });
            problem
        };
        let story: Vec<String> = assemble(&machine, &[problem("m1"), problem("m2")], &[])
            .into_iter()
            .map(|event| format!("{} {} {}", event.name, event.what, event.detail))
            .collect();
        assert_eq!(
            story,
            [
                "m1.runtime.hung runtime.hung suspected ",
                "m1 Registered taken in",
                "m1.runtime.hung runtime.hung opened no answer in 2s",
            ]
        );
    }
}
