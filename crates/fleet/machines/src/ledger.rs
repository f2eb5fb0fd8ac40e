//! The disruption ledger: the one place that gives leave to take a machine out of service.
//!
//! Every decision is made over a fresh list, by one worker of the one leader, so that no two grants are decided from
//! the same remainder.

mod plan;

use std::time::Duration;

use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use muster_api::{Disruption, DisruptionBudget, Machine};
use muster_base::clock::elapsed;
use muster_control::{
    Acted, Cause, Driver, Informer, Next, ObjectKey, Outcome, Pass, Queue, Sweep, is_conflict,
};

use crate::Context;

/// There is one ledger.
const LEDGER: &str = "ledger";

struct Ledger {
    context: Context,
    machines: Informer<Machine>,
    budgets: Informer<DisruptionBudget>,
}

pub(crate) fn start(context: &Context) {
    let ledger = Ledger {
        context: context.clone(),
        machines: context.informers.of(),
        budgets: context.informers.of(),
    };
    let requests: Informer<Disruption> = context.informers.of();
    let queue = Queue::new();
    let to = queue.clone();
    requests.on_change(move |_| to.add(ObjectKey::cluster(LEDGER), Cause::Watch));
    let to = queue.clone();
    ledger.machines.on_change(move |_| to.add(ObjectKey::cluster(LEDGER), Cause::Watch));
    let to = queue.clone();
    ledger.budgets.on_change(move |_| to.add(ObjectKey::cluster(LEDGER), Cause::Watch));
    ledger.sweep(&requests, &queue);
    Driver::new(LEDGER, context.metrics.clone()).start(&context.tasks, &queue, ledger);
}

impl Pass for Ledger {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, _: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.machines.ready().await;
        self.budgets.ready().await;
        let requests_api: Api<Disruption> = Api::all(self.context.client.clone());
        let requests = requests_api.list(&ListParams::default()).await?.items;
        let machines = self.machines.list();
        let budgets = self.budgets.list();
        let now = self.context.clock.now();
        let plan = plan::plan(&plan::World {
            requests: &requests,
            machines: &machines,
            budgets: &budgets,
            now,
            look_again_every: self.context.config.look_again_every,
        });
        let mut acted = Acted::Nothing;
        for decision in plan.decisions {
            let Some(request) = requests.iter().find(|request| request.name_any() == decision.request) else {
                continue;
            };
            let written = Disruption { status: Some(decision.status), ..request.clone() };
            requests_api.replace_status(&decision.request, &PostParams::default(), &written).await?;
            acted = Acted::Something;
        }
        for (name, status) in plan.budgets {
            acted = Acted::Something;
            self.report(&name, status).await?;
        }
        let next = plan.look_again_at.map_or(Next::Change, |at| Next::After(elapsed(now, at).max(MOMENT)));
        Ok(Outcome { acted, next })
    }
}

/// The shortest rest between two looks caused by time alone.
const MOMENT: Duration = Duration::from_millis(100);

impl Ledger {
    /// The sweep hands over names of requests; each stands for the whole ledger.
    fn sweep(&self, requests: &Informer<Disruption>, queue: &Queue<ObjectKey>) {
        Sweep::new(LEDGER, self.context.config.sweep_every, self.context.metrics.clone())
            .refreshing(&self.machines)
            .refreshing(&self.budgets)
            .over(requests, queue)
            .start(&self.context.tasks);
    }

    async fn report(
        &self,
        name: &str,
        status: muster_api::budget::DisruptionBudgetStatus,
    ) -> Result<(), kube::Error> {
        let Some(budget) = self.budgets.get(&ObjectKey::cluster(name)) else { return Ok(()) };
        let written = DisruptionBudget { status: Some(status), ..(*budget).clone() };
        let api: Api<DisruptionBudget> = Api::all(self.context.client.clone());
        match api.replace_status(name, &PostParams::default(), &written).await {
            Err(error) if !is_conflict(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
