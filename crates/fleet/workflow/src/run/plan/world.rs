//! What is observed around a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::repair::Ticket;
use muster_api::workflow::{Run, RunChunk};
use muster_api::{Disruption, Machine, MachineRole, Order, Problem, Workflow};
use muster_brake::Holds;

use super::super::NodeView;
use super::super::call::Answer;

/// What is observed around a run, as far as its steps under way need it.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub workflow: Option<Arc<Workflow>>,
    pub machine: Option<Arc<Machine>>,
    pub role: Option<Arc<MachineRole>>,
    pub node: Option<Arc<NodeView>>,
    /// Orders of the steps under way, by name.
    pub orders: BTreeMap<String, Arc<Order>>,
    /// The run's request for a grant; of a part of a run, that of the whole.
    pub disruption: Option<Arc<Disruption>>,
    /// The run's request to destroy something on the machine.
    pub destruction: Option<Arc<Disruption>>,
    /// All problems of the machine.
    pub problems: Vec<Arc<Problem>>,
    /// What keeps actors away from the machine.
    pub holds: Holds,
    /// The run this one is a part of.
    pub parent: Option<Arc<Run>>,
    /// The chunk of steps of that run that is under way.
    pub parent_chunk: Option<Arc<RunChunk>>,
    /// Runs that are parts of this one, by name.
    pub children: BTreeMap<String, Arc<Run>>,
    /// The chunk of steps under way.
    pub chunk: Option<Arc<RunChunk>>,
    /// The pods on the node, where it is being emptied.
    pub pods: Vec<PodSeen>,
    /// Why pods could not be evicted, by key.
    pub evictions: BTreeMap<PodKey, String>,
    /// Containers of steps, by the names of their pods.
    pub containers: BTreeMap<String, ContainerSeen>,
    /// Where a person is told.
    pub ticket: Option<Ticket>,
    /// Who was told of the same opening of the problem by other runs.
    pub told: Vec<String>,
    /// Answers of web services, by key.
    pub answers: BTreeMap<String, Answer>,
    /// The values of the expressions of the steps under way, by step.
    pub verdicts: BTreeMap<String, Result<bool, String>>,
    /// How long a run is kept once it has ended; else for ever.
    pub keep: Option<Duration>,
    /// Repairs of the same class that ended later, where the run is older than that.
    pub followed_by: usize,
    /// Whether it was read from the API just now, rather than taken from what watches had shown.
    pub fresh: bool,
    pub now: Timestamp,
}

/// Names a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodKey {
    pub namespace: String,
    pub name: String,
}

/// A pod on a node that is being emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    pub key: PodKey,
    /// Belongs to a DaemonSet or to the node itself: it stays.
    pub stays: bool,
    /// Ends already.
    pub ending: bool,
}

/// How far a step's container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerSeen {
    /// It does not run yet, and why.
    Waiting(String),
    /// It runs since.
    Running(Timestamp),
    /// It has ended.
    Ended {
        /// Exit code; `None` where the node ended it.
        code: Option<i32>,
        /// The last it wrote, or why it was ended.
        tail: String,
    },
}

/// The name of the grant of a run in its present round.
pub fn grant_name(run: &Run) -> String {
    match run.status.as_ref().map_or(0, |status| status.round) {
        0 => run.name_any(),
        round => format!("{}.{round}", run.name_any()),
    }
}

/// The name of the request of a run to destroy something, in its present round.
pub fn destruction_name(run: &Run) -> String {
    format!("{}.destroy", grant_name(run))
}

impl World {
    /// Who has the machine in hand.
    pub fn holder(&self) -> &str {
        let status = self.machine.as_ref().and_then(|machine| machine.status.as_ref());
        status.map(|status| status.run.as_str()).unwrap_or_default()
    }
}
