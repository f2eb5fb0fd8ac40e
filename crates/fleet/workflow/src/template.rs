//! Answers whether a Workflow can be run.

use kube::Api;
use kube::api::PostParams;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::{Condition, Workflow};
use muster_control::{Cause, Driver, Informer, ObjectKey, Outcome, Pass, Queue, Sweep};

use crate::{Context, graph};

struct Template {
    context: Context,
    workflows: Informer<Workflow>,
}

pub(crate) fn start(context: &Context) {
    let template = Template { context: context.clone(), workflows: context.informers.of() };
    let queue = Queue::new();
    let to = queue.clone();
    template.workflows.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
    Sweep::new("workflows", context.config.sweep_every, context.metrics.clone())
        .over(&template.workflows, &queue)
        .start(&context.tasks);
    Driver::new("workflows", context.metrics.clone()).start(&context.tasks, &queue, template);
}

impl Pass for Template {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        let Some(workflow) = self.workflows.get(key) else { return Ok(Outcome::IDLE) };
        let (status, reason, message) = match graph::check(&workflow.spec) {
            Ok(()) => (Status::True, "Valid", "every step can be reached".to_owned()),
            Err(error) => (Status::False, "InvalidGraph", error.to_string()),
        };
        let mut wanted = workflow.status.clone().unwrap_or_default();
        let verdict = Condition {
            r#type: ACCEPTED.to_owned(),
            status,
            reason: reason.to_owned(),
            message,
            last_transition_time: self.context.clock.now(),
            observed_generation: workflow.metadata.generation,
        };
        condition::set(&mut wanted.conditions, verdict);
        if workflow.status.as_ref() == Some(&wanted) {
            return Ok(Outcome::IDLE);
        }
        let written = Workflow { status: Some(wanted), ..(*workflow).clone() };
        Api::<Workflow>::all(self.context.client.clone())
            .replace_status(&key.name, &PostParams::default(), &written)
            .await?;
        Ok(Outcome::ACTED)
    }
}
