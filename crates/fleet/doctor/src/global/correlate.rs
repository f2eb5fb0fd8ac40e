//! Problems of many: files what the judgement of bursts says, and keeps it current.

mod children;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_api::Problem;
use muster_api::problem::{CORRELATED, ProblemSpec, ProblemStatus, SuspectKind};
use muster_base::clock::{SharedClock, elapsed};
use muster_base::task::Kind;
use muster_control::{Acted, Cause, Change, Driver, Next, ObjectKey, Outcome, Pass, Queue};
use parking_lot::Mutex;

use super::plan::correlation::{Case, Correlation, class_of, component_of};
use super::plan::record;
use super::world::World;
use super::{Context, Metrics};

const NAME: &str = "correlation";
/// There is one fleet.
const FLEET: &str = "fleet";
/// The shortest rest between two judgements caused by time alone.
const MOMENT: Duration = Duration::from_millis(100);

struct Judge {
    context: Context,
    counts: Metrics,
    correlation: Arc<Mutex<Correlation>>,
    /// Problems that are to be held or let go.
    children: Queue<ObjectKey>,
    /// Parents that are to be written, and when each was written last.
    unwritten: Mutex<BTreeSet<String>>,
    written: Mutex<BTreeMap<String, Timestamp>>,
}

/// Begins once everything was read: what is held is not to be let go because its parent was not seen yet.
pub(super) fn start(context: &Context, counts: &Metrics) {
    let (context, counts) = (context.clone(), counts.clone());
    let (tasks, token) = (context.tasks.clone(), context.tasks.shutdown_token());
    tasks.spawn(Kind::Job, "correlation begins", async move {
        let read = async {
            context.desk.problems.ready().await;
            context.world.machines.ready().await;
            context.world.racks.ready().await;
            context.world.inventories.ready().await;
        };
        if token.run_until_cancelled(read).await.is_some() {
            begin(&context, &counts);
        }
    });
}

fn begin(context: &Context, counts: &Metrics) {
    let mut correlation = Correlation::new(context.config.burst.clone(), context.config.closing.clone());
    for problem in context.desk.problems.filtered(|problem| problem.spec.class.starts_with(CORRELATED)) {
        if let Some((name, parent)) = record::parent(&problem) {
            correlation.load(name, parent);
        }
    }
    let correlation = Arc::new(Mutex::new(correlation));
    context.world.count(&correlation);
    let (queue, held) = (Queue::new(), children::start(context, &correlation));
    let judge = Judge {
        context: context.clone(),
        counts: counts.clone(),
        correlation: Arc::clone(&correlation),
        children: held.clone(),
        unwritten: Mutex::default(),
        written: Mutex::default(),
    };
    let (to, settle) = (queue.clone(), context.config.settle);
    let (world, clock) = (context.world.clone(), SharedClock::clone(&context.clock));
    let place = move |problem: &Problem| case(&world, problem, clock.now());
    context.desk.problems.on_change(move |change| {
        if take(&place, &correlation, &held, change) {
            to.put_off(ObjectKey::cluster(FLEET), settle);
        }
    });
    queue.add(ObjectKey::cluster(FLEET), Cause::Watch);
    Driver::new(NAME, context.metrics.clone()).start(&context.tasks, &queue, judge);
}

/// Takes a change of a problem in; whether it is to be judged.
fn take(
    case: impl Fn(&Problem) -> Option<Case>,
    correlation: &Mutex<Correlation>,
    held: &Queue<ObjectKey>,
    change: &Change<Problem>,
) -> bool {
    let name = &change.key.name;
    let of_many = |problem: &Arc<Problem>| problem.spec.class.starts_with(CORRELATED);
    if change.new.as_ref().or(change.old.as_ref()).is_some_and(of_many) {
        if change.new.is_none() {
            correlation.lock().forget(name);
        }
        return change.new.is_none();
    }
    let case = change.new.as_deref().and_then(case);
    let parent = case.as_ref().map(|case| case.parent.clone()).unwrap_or_default();
    let mut correlation = correlation.lock();
    let is_news = correlation.problem(name, case);
    if correlation.parent_of(name).is_some_and(|wanted| wanted != parent) {
        held.add(change.key.clone(), Cause::Watch);
    }
    is_news
}

fn case(world: &World, problem: &Problem, now: Timestamp) -> Option<Case> {
    record::case(problem, || world.place(&problem.spec.machine), now)
}

impl Judge {
    async fn write(&self, name: &str) -> Result<(), kube::Error> {
        let Some(parent) = self.correlation.lock().parents().get(name).cloned() else { return Ok(()) };
        let (lease, now) = (self.context.desk.lease, self.context.clock.now());
        let spec = ProblemSpec {
            machine: String::new(),
            class: class_of(parent.suspect.kind),
            component: component_of(&parent.suspect),
        };
        let wanted = |before: Option<&ProblemStatus>| Some(record::of_many(&parent, before, lease, now));
        self.context.desk.file(&spec, wanted).await?;
        self.written.lock().insert(name.to_owned(), now);
        Ok(())
    }

    /// Parents that stand and were not written for a while: nobody else vouches for them.
    fn stale(&self, now: Timestamp) -> Vec<String> {
        let correlation = self.correlation.lock();
        let written = self.written.lock();
        let is_fresh = |name: &String| {
            written.get(name).is_some_and(|at| elapsed(*at, now) < self.context.desk.lease / 3)
        };
        let standing = correlation.parents().iter().filter(|(_, parent)| parent.is_open);
        standing.map(|(name, _)| name).filter(|name| !is_fresh(name)).cloned().collect()
    }

    fn count(&self) {
        let correlation = self.correlation.lock();
        for kind in SuspectKind::ALL {
            let standing = correlation.parents().values().filter(|p| p.is_open && p.suspect.kind == kind);
            self.counts.stand(kind, i64::try_from(standing.count()).unwrap_or(i64::MAX));
        }
    }
}

impl Pass for Judge {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, _: &ObjectKey) -> Result<Outcome, kube::Error> {
        let now = self.context.clock.now();
        let judged = self.correlation.lock().judge(now);
        // They wait for what holds them to be written.
        for name in judged.problems {
            self.children.add(ObjectKey::cluster(name), Cause::Watch);
        }
        let stale = self.stale(now);
        self.unwritten.lock().extend(judged.parents.into_iter().chain(stale));
        let waiting = self.unwritten.lock().clone();
        let acted = if waiting.is_empty() { Acted::Nothing } else { Acted::Something };
        for name in waiting {
            self.write(&name).await?;
            self.unwritten.lock().remove(&name);
        }
        self.count();
        let correlation = self.correlation.lock();
        let stands = correlation.parents().values().any(|parent| parent.is_open);
        let quiet = correlation.next().map(|at| elapsed(now, at).max(MOMENT));
        let renewal = stands.then_some(self.context.desk.lease / 3);
        let wait = quiet.into_iter().chain(renewal).min();
        Ok(Outcome { acted, next: wait.map_or(Next::Change, Next::After) })
    }
}
