//! Answers Problems that name no machine. The finding itself is the doctor's alone.

use jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::{Condition, Machine, Problem};
use muster_control::{Cause, Driver, Informer, ObjectKey, Outcome, Pass, Queue, Sweep};

use crate::Context;

struct Reception {
    context: Context,
    problems: Informer<Problem>,
    machines: Informer<Machine>,
}

pub(crate) fn start(context: &Context) {
    let reception = Reception {
        context: context.clone(),
        problems: context.informers.of(),
        machines: context.informers.of(),
    };
    let queue = Queue::new();
    let to = queue.clone();
    reception.problems.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
    let (to, problems) = (queue.clone(), reception.problems.clone());
    reception.machines.on_change(move |change| {
        for problem in problems.filtered(|problem| problem.spec.machine == change.key.name) {
            to.add(ObjectKey::of(&*problem), Cause::Watch);
        }
    });
    Sweep::new("problems", context.config.sweep_every, context.metrics.clone())
        .refreshing(&reception.machines)
        .over(&reception.problems, &queue)
        .start(&context.tasks);
    Driver::new("problems", context.metrics.clone()).start(&context.tasks, &queue, reception);
}

/// What is answered to a problem.
fn verdict(problem: &Problem, known: bool, now: Timestamp) -> Condition {
    let machine = &problem.spec.machine;
    let (status, reason, message) = if known {
        let text = if machine.is_empty() { "it is of many machines" } else { "the machine is known" };
        (Status::True, "Valid", text.to_owned())
    } else {
        (
            Status::False,
            "UnknownMachine",
            format!("spec.machine: there is no Machine {machine:?}; nothing is done"),
        )
    };
    Condition {
        r#type: ACCEPTED.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: now,
        observed_generation: problem.metadata.generation,
    }
}

fn differs(problem: &Problem, wanted: &Condition) -> bool {
    let conditions = problem.status.as_ref().map_or(&[][..], |status| &status.conditions);
    condition::find(conditions, ACCEPTED)
        .is_none_or(|there| (there.status, &there.message) != (wanted.status, &wanted.message))
}

impl Pass for Reception {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.machines.ready().await;
        let Some(problem) = self.problems.get(key) else { return Ok(Outcome::IDLE) };
        let of_many = problem.spec.machine.is_empty();
        let known = of_many || self.machines.get(&ObjectKey::cluster(&problem.spec.machine)).is_some();
        let wanted = verdict(&problem, known, self.context.clock.now());
        if !differs(&problem, &wanted) {
            return Ok(Outcome::IDLE);
        }
        let mut answered = (*problem).clone();
        condition::set(&mut answered.status.get_or_insert_default().conditions, wanted);
        Api::<Problem>::all(self.context.client.clone())
            .replace_status(&key.name, &PostParams::default(), &answered)
            .await?;
        Ok(Outcome::ACTED)
    }
}

#[cfg(test)]
mod tests {
    use muster_api::problem::ProblemSpec;

    use super::*;

    #[test]
    fn a_problem_of_an_unknown_machine_is_refused_with_the_field() {
        let spec =
            ProblemSpec { machine: "ghost".into(), class: "runtime.hung".into(), ..ProblemSpec::default() };
        let mut problem = Problem::new("ghost.runtime.hung", spec);
        let refusal = verdict(&problem, false, Timestamp::UNIX_EPOCH);
        assert_eq!(refusal.message, "spec.machine: there is no Machine \"ghost\"; nothing is done");
        assert!(differs(&problem, &refusal));
        condition::set(&mut problem.status.get_or_insert_default().conditions, refusal.clone());
        assert!(!differs(&problem, &refusal), "a second look changes nothing");
        assert!(differs(&problem, &verdict(&problem, true, Timestamp::UNIX_EPOCH)));
    }
}
