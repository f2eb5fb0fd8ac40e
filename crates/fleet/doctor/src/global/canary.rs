//! Makes a harmless fault up once an hour in each site, and sees it answered by a run and cleared. When that takes too
//! long, something between the doctors and the machines stands still, and it is told before a real fault waits there.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::machine::Phase;
use muster_api::problem::canary::{self, CANARY};
use muster_api::problem::{ProblemSpec, ProblemStatus};
use muster_api::workflow::RunPhase;
use muster_api::{Machine, Problem, Run, Site};
use muster_control::{Cause, Driver, Index, Informer, ObjectKey, Outcome, Pass, Queue};

use super::plan::canary::{Limits, Next, stands};
use super::plan::record;
use super::{Context, Metrics};

const NAME: &str = "canary";

struct Keeper {
    context: Context,
    counts: Metrics,
    limits: Limits,
    begun: Timestamp,
    sites: Informer<Site>,
    runs: Informer<Run>,
    /// By site.
    canaries: Index<Problem>,
}

/// Keys are names of sites.
pub(super) fn start(context: &Context, counts: &Metrics, limits: Limits) {
    let of_site =
        |problem: &Problem| canary::is_canary(&problem.spec).then(|| problem.spec.component.clone());
    let keeper = Keeper {
        context: context.clone(),
        counts: counts.clone(),
        limits,
        begun: context.clock.now(),
        sites: context.informers.of(),
        runs: context.informers.of(),
        canaries: context.desk.problems.index(of_site),
    };
    let queue = Queue::new();
    let to = queue.clone();
    keeper.sites.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
    let to = queue.clone();
    context.desk.problems.on_change(move |change| {
        if let Some(site) = change.new.as_deref().and_then(of_site) {
            to.add(ObjectKey::cluster(&site), Cause::Watch);
        }
    });
    let (to, problems) = (queue.clone(), context.desk.problems.clone());
    keeper.runs.on_change(move |change| {
        let run = change.new.as_ref().filter(|run| run.spec.workflow == CANARY);
        let problem = run.and_then(|run| problems.get(&ObjectKey::cluster(&run.spec.problem)));
        if let Some(site) = problem.as_deref().and_then(of_site) {
            to.add(ObjectKey::cluster(&site), Cause::Watch);
        }
    });
    Driver::new(NAME, context.metrics.clone()).start(&context.tasks, &queue, keeper);
}

fn status(problem: &Problem) -> ProblemStatus {
    problem.status.clone().unwrap_or_default()
}

impl Keeper {
    fn run_of(&self, problem: &Problem) -> Option<(String, RunPhase, String)> {
        let run = self.runs.get(&ObjectKey::cluster(canary::answer(problem)))?;
        let status = run.status.clone().unwrap_or_default();
        Some((run.name_any(), status.phase, status.message))
    }

    /// Serves, is in nobody's hand, and nothing is wrong with it: the same one as last time, if it can be.
    fn machine(&self, site: &str, before: &[Arc<Problem>]) -> Option<String> {
        let now = self.context.clock.now();
        let fits = |machine: &Machine| {
            let status = machine.status.as_ref();
            let serves = status.is_some_and(|status| status.phase == Phase::Healthy && status.run.is_empty());
            let hands_off = machine.spec.hands_off.as_ref().is_some_and(|hands| now < hands.until);
            machine.spec.site == site && serves && !hands_off
        };
        let (machines, problems) = (&self.context.world.machines, &self.context.desk.problems);
        let ill = |machine: &Machine| {
            let name = machine.name_any();
            let of_it = |problem: &Problem| {
                problem.spec.machine == name
                    && !canary::is_canary(&problem.spec)
                    && problem.status.as_ref().is_some_and(stands)
            };
            !problems.filtered(of_it).is_empty()
        };
        let known = before.iter().max_by_key(|problem| status(problem).opened_at);
        let known = known.and_then(|problem| machines.get(&ObjectKey::cluster(&problem.spec.machine)));
        if let Some(machine) = known.filter(|machine| fits(machine) && !ill(machine)) {
            return Some(machine.name_any());
        }
        let mut others = machines.filtered(fits);
        others.sort_by_key(|machine| machine.name_any());
        others.iter().find(|machine| !ill(machine)).map(|machine| machine.name_any())
    }

    async fn file(&self, site: &str, before: &[Arc<Problem>]) -> Result<Outcome, kube::Error> {
        let Some(machine) = self.machine(site, before) else {
            return Ok(Outcome::IDLE.again_after(self.limits.within));
        };
        let spec = ProblemSpec { machine, component: site.to_owned(), class: CANARY.to_owned() };
        let text = "made up, to see that what is filed is answered; nothing is wrong".to_owned();
        let now = self.context.clock.now();
        let lease = self.limits.every * 2;
        self.context.desk.file(&spec, |before| Some(record::seen(before, text, lease, now))).await?;
        Ok(Outcome::ACTED.again_after(self.limits.within))
    }

    async fn clear(&self, problem: &Problem) -> Result<Outcome, kube::Error> {
        let now = self.context.clock.now();
        self.context.desk.file(&problem.spec, |before| record::gone(before, now)).await?;
        Ok(Outcome::ACTED)
    }

    /// Told in the log, in a counter, and in the Problem, which stays open.
    async fn late(&self, site: &str, problem: &Problem) -> Result<Outcome, kube::Error> {
        let run = match self.run_of(problem) {
            None => "no run was started for it".to_owned(),
            Some((name, phase, message)) => format!("run {name} is {phase:?}: {message}"),
        };
        let text = format!("not answered within {} s: {run}", self.limits.within.as_secs());
        tracing::warn!(site, problem = problem.name_any(), run, "a made-up fault was not answered in time");
        self.counts.canary_late(site);
        let (now, lease) = (self.context.clock.now(), self.limits.every * 2);
        self.context.desk.file(&problem.spec, |before| Some(record::seen(before, text, lease, now))).await?;
        Ok(Outcome::ACTED.again_after(self.limits.within))
    }
}

impl Pass for Keeper {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.context.world.machines.ready().await;
        self.context.desk.problems.ready().await;
        self.runs.ready().await;
        if self.sites.get(key).is_none() {
            return Ok(Outcome::IDLE);
        }
        let site = key.name.as_str();
        let all = self.canaries.get(site);
        let open = all.iter().find(|problem| problem.status.as_ref().is_some_and(stands));
        let standing = open.map(|problem| (status(problem), self.run_of(problem).map(|(_, phase, _)| phase)));
        let standing = standing.as_ref().map(|(status, run)| (status, *run));
        let last = all.iter().filter_map(|problem| status(problem).opened_at).max();
        let now = self.context.clock.now();
        match (self.limits.next(site, standing, (last, self.begun), now), open) {
            (Next::File, _) => self.file(site, &all).await,
            (Next::Clear(took), Some(problem)) => {
                let outcome = self.clear(problem).await?;
                self.counts.canary_answered(site, took, now);
                Ok(outcome)
            }
            (Next::GiveUp, Some(problem)) => self.clear(problem).await,
            (Next::Late, Some(problem)) => self.late(site, problem).await,
            (Next::Wait(left), _) => Ok(Outcome::IDLE.again_after(left)),
            (Next::Clear(_) | Next::GiveUp | Next::Late, None) => Ok(Outcome::IDLE),
        }
    }
}
