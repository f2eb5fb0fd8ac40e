//! Machines whose signs of life stopped.
//!
//! The sign is the heartbeat of the machine's node, a Lease that every agent renews, ours and the kubelet. It is judged
//! by this process's own clock, from the moment a renewal was seen: the clocks of machines may be wrong.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::Api;
use muster_api::problem::{ProblemStatus, State};
use muster_api::{Machine, Problem};
use muster_base::clock::elapsed;
use muster_base::task::Kind;
use muster_control::{
    Cause, Change, Driver, Informer, Informers, ObjectKey, Outcome, Pass, Queue, Selection, Sweep,
};
use parking_lot::Mutex;

use super::plan::burst::SILENT;
use super::plan::record;
use super::plan::silence::{Look, Silence};
use super::plan::standing::{Expected, expected};
use super::view::{HEARTBEATS, Lease, Node};
use super::{Context, desk};

const NAME: &str = "silence";
const WORKERS: usize = 8;
/// Rest between two looks at whose time has come.
const TICK: Duration = Duration::from_secs(1);
/// Machines taken up in one go.
const PORTION: usize = 1024;
/// How long the API may take to tell of one machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum SilentError {
    #[error("cannot read the heartbeat of node {node}")]
    Heartbeat {
        node: String,
        #[source]
        source: kube::Error,
    },
    #[error("nothing was told of node {0} in time")]
    TooLate(String),
    #[error("cannot file the silence of machine {machine}")]
    File {
        machine: String,
        #[source]
        source: kube::Error,
    },
}

/// What a question was answered with.
enum Answer {
    Lives,
    Silent(String),
}

struct Listener {
    context: Context,
    silence: Arc<Mutex<Silence>>,
    leases: Informer<Lease>,
    lease_api: Api<Lease>,
    node_api: Api<Node>,
    /// The API did not answer when it was asked last: what was not heard since proves nothing.
    deaf: AtomicBool,
}

pub(super) fn start(context: &Context, sweep: Sweep) -> Sweep {
    let informers: &Informers = &context.informers;
    let fields = format!("metadata.namespace={HEARTBEATS}");
    let leases = informers.selected(Selection { fields, ..Selection::default() });
    let listener = Listener {
        context: context.clone(),
        silence: Arc::new(Mutex::new(Silence::new(context.config.silence))),
        leases: leases.clone(),
        lease_api: Api::namespaced(informers.client(), HEARTBEATS),
        node_api: Api::all(informers.client()),
        deaf: AtomicBool::new(false),
    };
    let queue = Queue::new();
    listener.wire(&queue);
    tick(context, &listener.silence, &queue);
    Driver::new(NAME, context.metrics.clone()).workers(WORKERS).start(&context.tasks, &queue, listener);
    sweep.refreshing(&leases)
}

/// Has those looked at whose time has come.
fn tick(context: &Context, silence: &Arc<Mutex<Silence>>, queue: &Queue<ObjectKey>) {
    let (steady, silence, queue) = (context.steady, Arc::clone(silence), queue.clone());
    let token = context.tasks.shutdown_token();
    context.tasks.spawn(Kind::Service, "silence clock", async move {
        while token.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            loop {
                let due = silence.lock().due(steady.now(), PORTION);
                for machine in due {
                    queue.add(ObjectKey::cluster(&*machine), Cause::Timer);
                }
                if silence.lock().next().is_none_or(|next| steady.now() < next) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    });
}

fn node_of(machine: &Machine) -> &str {
    machine.status.as_ref().map(|status| status.node.as_str()).unwrap_or_default()
}

/// Whether the change may change what is expected of the machine.
fn matters(change: &Change<Machine>) -> bool {
    let seen = |machine: &Option<Arc<Machine>>| {
        machine.as_ref().map(|machine| {
            let status = machine.status.as_ref().map(|s| (s.phase, s.node.clone(), s.run.is_empty()));
            (machine.spec.maintenance.clone(), status)
        })
    };
    seen(&change.old) != seen(&change.new)
}

impl Listener {
    fn wire(&self, queue: &Queue<ObjectKey>) {
        // Nodes that are not called as their machines.
        let renamed: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let steady = self.context.steady;
        let (silence, names, to) = (Arc::clone(&self.silence), Arc::clone(&renamed), queue.clone());
        self.context.world.machines.on_change(move |change| {
            let name = &change.key.name;
            let node = change.new.as_deref().map(node_of).unwrap_or_default();
            if !node.is_empty() && node != name {
                names.lock().insert(node.to_owned(), name.clone());
            }
            if change.new.is_none() {
                silence.lock().forget(name);
            } else if change.old.is_none() && !node.is_empty() {
                silence.lock().expect(name, steady.now());
            } else if matters(change) {
                to.add(change.key.clone(), Cause::Watch);
            }
        });
        let silence = Arc::clone(&self.silence);
        self.context.desk.problems.on_change(move |change| {
            let filed = change.new.as_ref().filter(|problem| problem.spec.class == SILENT);
            if let Some(problem) = filed.filter(|problem| is_filed(problem) && change.old.is_none()) {
                silence.lock().expect_silent(&problem.spec.machine, steady.now());
            }
        });
        let silence = Arc::clone(&self.silence);
        self.leases.on_change(move |change| {
            let (Some(old), Some(new)) = (&change.old, &change.new) else { return };
            if old.renewed() != new.renewed() {
                let node = &change.key.name;
                let machine = renamed.lock().get(node).cloned();
                silence.lock().heard(machine.as_ref().unwrap_or(node), steady.now());
            }
        });
    }

    /// Asks the API itself: the watch may be behind.
    async fn ask(&self, node: &str) -> Result<Answer, SilentError> {
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.read(node)).await;
        let answer = match asked {
            Ok(Ok(answer)) => answer,
            Ok(Err(source)) => {
                self.deaf.store(true, Ordering::Relaxed);
                return Err(SilentError::Heartbeat { node: node.to_owned(), source });
            }
            Err(_) => {
                self.deaf.store(true, Ordering::Relaxed);
                return Err(SilentError::TooLate(node.to_owned()));
            }
        };
        if self.deaf.swap(false, Ordering::Relaxed) {
            self.silence.lock().nobody_could_be_heard(self.context.steady.now());
        }
        Ok(answer)
    }

    async fn read(&self, node: &str) -> Result<Answer, kube::Error> {
        let key = ObjectKey::namespaced(HEARTBEATS, node);
        let before = self.leases.get(&key).map(|lease| lease.renewed());
        if let Some(lease) = self.lease_api.get_opt(node).await? {
            let renewed = lease.renewed();
            self.leases.saw(lease);
            let last = renewed.map_or("never".to_owned(), |at| at.to_string());
            let silent = Answer::Silent(format!("the heartbeat of node {node} was renewed last at {last}"));
            return Ok(if before == Some(renewed) { silent } else { Answer::Lives });
        }
        let speaks = self.node_api.get_opt(node).await?.is_some_and(|node| node.speaks());
        let silent = Answer::Silent(format!("node {node} has no heartbeat and tells nothing of itself"));
        Ok(if speaks { Answer::Lives } else { silent })
    }

    async fn silent(&self, machine: &Machine, text: String) -> Result<Outcome, SilentError> {
        let name = machine.metadata.name.clone().unwrap_or_default();
        let boot_id = machine.status.as_ref().map(|status| status.boot_id.clone()).unwrap_or_default();
        let (lease, now) = (self.context.desk.lease, self.context.clock.now());
        let seen = |before: Option<&ProblemStatus>| {
            Some(ProblemStatus { boot_id, ..record::seen(before, text, lease, now) })
        };
        let filed = self.context.desk.file(&desk::spec(&name, SILENT), seen).await;
        filed.map_err(|source| SilentError::File { machine: name.clone(), source })?;
        self.silence.lock().silent(&name, self.context.steady.now());
        Ok(Outcome::ACTED)
    }

    async fn clear(&self, name: &str) -> Result<Outcome, SilentError> {
        let now = self.context.clock.now();
        let gone = |before: Option<&ProblemStatus>| record::gone(before, now);
        let filed = self.context.desk.file(&desk::spec(name, SILENT), gone).await;
        filed.map_err(|source| SilentError::File { machine: name.to_owned(), source })?;
        self.silence.lock().cleared(name);
        Ok(Outcome::ACTED)
    }
}

fn is_filed(problem: &Problem) -> bool {
    problem.status.as_ref().is_some_and(|status| matches!(status.state, State::Open | State::Unknown))
}

impl Pass for Listener {
    type Key = ObjectKey;
    type Error = SilentError;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, SilentError> {
        self.leases.ready().await;
        self.context.desk.problems.ready().await;
        let Some(machine) = self.context.world.machines.get(key) else { return Ok(Outcome::IDLE) };
        let (now, steady) = (self.context.clock.now(), self.context.steady.now());
        let grace = self.context.config.maintenance_grace;
        let look = {
            let mut silence = self.silence.lock();
            let is_said = silence.is_said(&key.name);
            match expected(&machine.spec, machine.status.as_ref(), grace, now) {
                Expected::Nothing if !is_said => silence.forget(&key.name),
                Expected::Excused(until) if !is_said => {
                    silence.expect(&key.name, steady);
                    let wait = until.map_or(self.context.config.silence.after, |until| elapsed(now, until));
                    let at = steady.checked_add(wait).unwrap_or(steady);
                    silence.rest_until(&key.name, at);
                    return Ok(Outcome::IDLE);
                }
                Expected::Nothing | Expected::Excused(_) => {}
                Expected::Speaks => silence.expect(&key.name, steady),
            }
            silence.look(&key.name, steady)
        };
        match look {
            Look::Nothing => Ok(Outcome::IDLE),
            Look::Clear => self.clear(&key.name).await,
            Look::Ask => {
                let answer = self.ask(node_of(&machine)).await?;
                let steady = self.context.steady.now();
                let still = self.silence.lock().look(&key.name, steady) == Look::Ask;
                match answer {
                    Answer::Silent(text) if still => self.silent(&machine, text).await,
                    Answer::Silent(_) => Ok(Outcome::IDLE),
                    Answer::Lives => {
                        self.silence.lock().heard(&key.name, steady);
                        Ok(Outcome::IDLE)
                    }
                }
            }
        }
    }
}
