//! What becomes of a Problem of many machines that stands: a person is told, and once it has long not grown one of what it
//! holds is tried.
//!
//! Doctors only file. Who was told stands in conditions of the Problem, one for each way, so that nobody is told twice; what
//! was tried stands in the runs.

pub(crate) mod breaker;
mod ticket;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use muster_api::condition::{self, Status};
use muster_api::problem::{CORRELATED, State};
use muster_api::{Condition, Machine, Problem, RepairPolicy, Run};
use muster_base::clock::elapsed;
use muster_control::{Cause, Driver, Index, Informer, ObjectKey, Outcome, Pass, Queue, Sweep};
use parking_lot::Mutex;

use crate::Context;
use crate::repair::climb::Tried;
use crate::repair::policy;
use crate::run::call::Caller;
use crate::start::Starter;
use breaker::Verdict;

/// Condition of a Problem of many: whether what it holds is tried, and why not.
const HALF_OPEN: &str = "HalfOpen";

struct Warden {
    context: Context,
    problems: Informer<Problem>,
    /// By what holds them.
    held: Index<Problem>,
    machines: Informer<Machine>,
    policies: Informer<RepairPolicy>,
    runs: Informer<Run>,
    starter: Arc<Starter>,
    caller: Caller,
    /// When each telling was begun last.
    begun: Mutex<BTreeMap<String, Timestamp>>,
    queue: Queue<ObjectKey>,
}

fn is_of_many(problem: &Problem) -> bool {
    problem.spec.class.starts_with(CORRELATED)
}

/// What holds a problem.
fn held_by(problem: &Problem) -> Option<&str> {
    problem.status.as_ref().map(|status| status.parent.as_str()).filter(|parent| !parent.is_empty())
}

pub(crate) fn start(context: &Context, starter: Arc<Starter>) {
    let problems = context.informers.of::<Problem>();
    let queue = Queue::new();
    let warden = Arc::new(Warden {
        context: context.clone(),
        held: problems.index(|problem| held_by(problem).map(str::to_owned)),
        problems,
        machines: context.informers.of(),
        policies: context.informers.of(),
        runs: context.informers.of(),
        starter,
        caller: Caller::new(&context.tasks, context.client.clone()),
        begun: Mutex::default(),
        queue: queue.clone(),
    });
    warden.wire();
    Sweep::new("warden", context.config.sweep_every, context.metrics.clone())
        .refreshing(&warden.policies)
        .refreshing(&warden.machines)
        .refreshing(&warden.runs)
        .over_unsettled(&warden.problems, &queue, |problem| !is_of_many(problem))
        .start(&context.tasks);
    Driver::new("warden", context.metrics.clone()).start(&context.tasks, &queue, warden);
}

impl Warden {
    fn wire(&self) {
        let to = self.queue.clone();
        self.problems.on_change(move |change| {
            if change.new.as_deref().is_some_and(is_of_many) {
                to.add(change.key.clone(), Cause::Watch);
                return;
            }
            // That it was seen once more changes nothing but who would be tried first.
            let said = |problem: &Option<Arc<Problem>>| {
                let status = problem.as_ref()?.status.as_ref()?;
                Some((status.state, status.episode, status.parent.clone()))
            };
            let (old, new) = (said(&change.old), said(&change.new));
            if old != new {
                for (_, _, parent) in old.into_iter().chain(new).filter(|(_, _, parent)| !parent.is_empty()) {
                    to.add(ObjectKey::cluster(parent), Cause::Watch);
                }
            }
        });
        let (to, problems) = (self.queue.clone(), self.problems.clone());
        self.runs.on_change(move |change| {
            let run = change.new.as_ref().or(change.old.as_ref()).filter(|run| run.spec.repair.is_some());
            let problem = run.and_then(|run| problems.get(&ObjectKey::cluster(&run.spec.problem)));
            if let Some(parent) = problem.as_deref().and_then(held_by) {
                to.add(ObjectKey::cluster(parent), Cause::Watch);
            }
        });
        let (to, problems) = (self.queue.clone(), self.problems.clone());
        self.policies.on_change(move |change| {
            let spec = |policy: &Option<Arc<RepairPolicy>>| policy.as_ref().map(|one| one.spec.clone());
            if spec(&change.old) != spec(&change.new) {
                for problem in problems.filtered(is_of_many) {
                    to.add(ObjectKey::of(&*problem), Cause::Watch);
                }
            }
        });
    }

    fn site(&self, machine: &str) -> String {
        let machine = self.machines.get(&ObjectKey::cluster(machine));
        machine.map(|machine| machine.spec.site.clone()).unwrap_or_default()
    }

    fn judge(&self, parent: &Problem, held: &[Arc<Problem>]) -> Verdict {
        let tried: Vec<Vec<Tried>> = held.iter().map(|one| self.starter.tried(&one.name_any())).collect();
        let members: Vec<breaker::Member<'_>> =
            held.iter().zip(&tried).map(|(problem, tried)| breaker::Member { problem, tried }).collect();
        let policies = self.policies.list();
        let policy =
            held.iter().find_map(|one| policy::of(&policies, &one.spec.class, &self.site(&one.spec.machine)));
        let name = parent.name_any();
        breaker::judge(&breaker::Case {
            parent,
            members: &members,
            after: policy.and_then(|policy| policy.spec.try_held_after()),
            may: &|problem| self.starter.would_repair(problem, &name),
            now: self.context.clock.now(),
        })
    }

    fn tell(&self, parent: &Problem, held: &[Arc<Problem>], verdict: &Verdict) -> ticket::Plan {
        let begun = self.begun.lock();
        let answer = |key: &str| Some((self.caller.answer(key)?, *begun.get(key)?));
        ticket::plan(&ticket::World {
            parent,
            held,
            site: &|machine| self.site(machine),
            policies: &self.policies.list(),
            failed: match verdict {
                Verdict::Failed(why) => Some(why),
                Verdict::Never(_) | Verdict::NotBefore(_) | Verdict::Try { .. } => None,
            },
            answer: &answer,
            now: self.context.clock.now(),
        })
    }

    /// Somebody else may have written meanwhile; then it is looked at again.
    async fn write(&self, parent: &Problem, told: Vec<Condition>) -> Result<(), kube::Error> {
        let mut written = parent.clone();
        let conditions = &mut written.status.get_or_insert_default().conditions;
        told.into_iter().for_each(|one| condition::set(conditions, one));
        let api = Api::<Problem>::all(self.context.client.clone());
        let stands = api.replace_status(&parent.name_any(), &PostParams::default(), &written).await?;
        self.problems.saw(stands);
        Ok(())
    }
}

impl Pass for Warden {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.problems.ready().await;
        self.machines.ready().await;
        self.policies.ready().await;
        self.runs.ready().await;
        let Some(parent) = self.problems.get(key).filter(|problem| is_of_many(problem)) else {
            self.starter.allow(&key.name, &BTreeSet::new());
            return Ok(Outcome::IDLE);
        };
        let (held, now) = (self.held.get(&key.name), self.context.clock.now());
        let verdict = self.judge(&parent, &held);
        let mut plan = self.tell(&parent, &held, &verdict);
        plan.conditions.extend(said(&parent, &verdict, now));
        let acted = !(plan.conditions.is_empty() && plan.tellings.is_empty());
        if !plan.conditions.is_empty() {
            self.write(&parent, plan.conditions).await?;
        }
        for (way, telling) in plan.tellings {
            self.begun.lock().insert(way, now);
            self.caller.tell(telling, key.clone(), &self.queue);
        }
        let mut next = plan.look_again;
        match &verdict {
            Verdict::Try { problems, .. } => self.starter.allow(&key.name, problems),
            Verdict::Never(_) | Verdict::Failed(_) => self.starter.allow(&key.name, &BTreeSet::new()),
            Verdict::NotBefore(from) => {
                self.starter.allow(&key.name, &BTreeSet::new());
                let left = elapsed(now, *from);
                next = Some(next.map_or(left, |sooner| sooner.min(left)));
            }
        }
        let outcome = if acted { Outcome::ACTED } else { Outcome::IDLE };
        Ok(next.map_or(outcome, |left| outcome.again_after(left)))
    }
}

/// What stands of the breaker, for people, where it differs; of what does not stand any more nothing is said.
fn said(parent: &Problem, verdict: &Verdict, now: Timestamp) -> Option<Condition> {
    let status = parent.status.as_ref().filter(|status| status.state == State::Open)?;
    let (half, reason, text) = match verdict {
        Verdict::Never(why) => (Status::False, "Never", format!("nothing is tried: {why}")),
        Verdict::NotBefore(from) => {
            (Status::False, "NotYet", format!("one is tried if it has not grown until {from}"))
        }
        Verdict::Failed(why) => (Status::False, "Failed", format!("{why}; a person decides")),
        Verdict::Try { well, .. } => {
            (Status::True, "Tried", format!("{well} were repaired well; {} at a time are tried", well + 1))
        }
    };
    let wanted = ticket::says(HALF_OPEN, half, reason, text, now);
    let stands = condition::find(&status.conditions, HALF_OPEN);
    stands.is_none_or(|there| (there.status, &there.message) != (half, &wanted.message)).then_some(wanted)
}
