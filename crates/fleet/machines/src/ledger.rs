//! The disruption ledger: the one place that gives leave to take a machine out of service.
//!
//! One worker of the one leader decides; should two processes believe they lead, the book of the ledger lets only one of
//! them grant (see [`round`]).

mod books;
pub(crate) mod plan;
mod round;

use std::time::Duration;

use muster_api::{Disruption, DisruptionBudget, Machine, Pause, Run};
use muster_base::clock::{SharedClock, elapsed};
use muster_control::{
    Acted, Cause, Change, Driver, Informer, Next, ObjectKey, Outcome, Pass, Queue, Sweep, Watched,
};

use crate::Context;
use books::ApiBooks;
pub(crate) use plan::Timing;

/// There is one ledger.
const LEDGER: &str = "ledger";
/// The shortest rest between two looks caused by time alone.
const MOMENT: Duration = Duration::from_millis(100);

struct Desk {
    books: ApiBooks,
    timing: Timing,
    sweep_every: Duration,
}

pub(crate) fn start(context: &Context) {
    let informers = &context.informers;
    let books = ApiBooks {
        client: context.client.clone(),
        clock: SharedClock::clone(&context.clock),
        machines: informers.of(),
        runs: informers.of(),
        sites: informers.of(),
    };
    let queue = Queue::new();
    let (requests, budgets): (Informer<Disruption>, Informer<DisruptionBudget>) =
        (informers.of(), informers.of());
    let pauses: Informer<Pause> = informers.of();
    on(&requests, &queue, |_| true);
    on(&budgets, &queue, |change| spec_of(&change.old) != spec_of(&change.new));
    on(&pauses, &queue, |_| true);
    on(&books.machines, &queue, matters);
    on(&books.runs, &queue, |change| is_over(&change.old) != is_over(&change.new));
    on(&books.sites, &queue, |change| change.old.is_none() || change.new.is_none());
    Sweep::new(LEDGER, context.config.sweep_every, context.metrics.clone())
        .refreshing(&books.machines)
        .refreshing(&books.runs)
        .refreshing(&books.sites)
        .refreshing(&requests)
        .refreshing(&budgets)
        .refreshing(&pauses)
        .start(&context.tasks);
    let desk =
        Desk { books, timing: context.config.ledger_timing(), sweep_every: context.config.sweep_every };
    Driver::new(LEDGER, context.metrics.clone()).start(&context.tasks, &queue, desk);
}

/// Has the ledger looked at when a change of that kind matters to it.
fn on<K: Watched>(
    informer: &Informer<K>,
    queue: &Queue<ObjectKey>,
    matters: impl Fn(&Change<K>) -> bool + Send + Sync + 'static,
) {
    let to = queue.clone();
    informer.on_change(move |change| {
        if matters(change) {
            to.add(ObjectKey::cluster(LEDGER), Cause::Watch);
        }
    });
}

fn spec_of(
    budget: &Option<std::sync::Arc<DisruptionBudget>>,
) -> Option<&muster_api::budget::DisruptionBudgetSpec> {
    budget.as_ref().map(|budget| &budget.spec)
}

fn is_over(run: &Option<std::sync::Arc<Run>>) -> bool {
    run.as_ref().is_none_or(|run| run.status.as_ref().is_some_and(|status| status.phase.is_final()))
}

/// What a machine reports of itself moves no budget; where it stands and whether it serves does.
fn matters(change: &Change<Machine>) -> bool {
    let seen = |machine: &Option<std::sync::Arc<Machine>>| {
        machine.as_ref().map(|machine| {
            let (spec, phase) = (&machine.spec, machine.status.as_ref().map(|status| status.phase));
            let place = (spec.site.clone(), spec.rack.clone(), spec.role.clone());
            (plan::standing(machine), phase, place, spec.hands_off.clone())
        })
    };
    seen(&change.old) != seen(&change.new)
}

impl Pass for Desk {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, _: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.books.machines.ready().await;
        self.books.runs.ready().await;
        self.books.sites.ready().await;
        let told = round::round(&self.books, self.timing).await?;
        let acted = if told.acted { Acted::Something } else { Acted::Nothing };
        let now = self.books.clock.now();
        let wait = match told.look_again_at {
            _ if told.again => MOMENT,
            Some(at) => elapsed(now, at).clamp(MOMENT, self.sweep_every),
            None => self.sweep_every,
        };
        Ok(Outcome { acted, next: Next::After(wait) })
    }
}
