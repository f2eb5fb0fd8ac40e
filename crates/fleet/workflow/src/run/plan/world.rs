//! What is observed around a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::workflow::{Run, RunChunk};
use muster_api::{Disruption, Machine, MachineRole, Order, Problem, Workflow};
use muster_brake::Holds;

use super::super::NodeView;
use super::super::call::Answer;

/// What is observed around a run, as far as its steps under way need it.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) workflow: Option<Arc<Workflow>>,
    pub(crate) machine: Option<Arc<Machine>>,
    pub(crate) role: Option<Arc<MachineRole>>,
    pub(crate) node: Option<Arc<NodeView>>,
    /// Orders of the steps under way, by name.
    pub(crate) orders: BTreeMap<String, Arc<Order>>,
    /// The run's request for a grant; of a part of a run, that of the whole.
    pub(crate) disruption: Option<Arc<Disruption>>,
    /// The run's request to destroy something on the machine.
    pub(crate) destruction: Option<Arc<Disruption>>,
    /// All problems of the machine.
    pub(crate) problems: Vec<Arc<Problem>>,
    /// What keeps actors away from the machine.
    pub(crate) holds: Holds,
    /// The run this one is a part of.
    pub(crate) parent: Option<Arc<Run>>,
    /// The chunk of steps of that run that is under way.
    pub(crate) parent_chunk: Option<Arc<RunChunk>>,
    /// Runs that are parts of this one, by name.
    pub(crate) children: BTreeMap<String, Arc<Run>>,
    /// The chunk of steps under way.
    pub(crate) chunk: Option<Arc<RunChunk>>,
    /// The pods on the node, where it is being emptied.
    pub(crate) pods: Vec<PodSeen>,
    /// Why pods could not be evicted, by key.
    pub(crate) evictions: BTreeMap<PodKey, String>,
    /// Containers of steps, by the names of their pods.
    pub(crate) containers: BTreeMap<String, ContainerSeen>,
    /// Answers of web services, by key.
    pub(crate) answers: BTreeMap<String, Answer>,
    /// The values of the expressions of the steps under way, by step.
    pub(crate) verdicts: BTreeMap<String, Result<bool, String>>,
    /// Whether it was read from the API just now, rather than taken from what watches had shown.
    pub(crate) fresh: bool,
    pub(crate) now: Timestamp,
}

/// Names a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A pod on a node that is being emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodSeen {
    pub(crate) key: PodKey,
    /// Belongs to a DaemonSet or to the node itself: it stays.
    pub(crate) stays: bool,
    /// Ends already.
    pub(crate) ending: bool,
}

/// How far a step's container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContainerSeen {
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
pub(crate) fn grant_name(run: &Run) -> String {
    match run.status.as_ref().map_or(0, |status| status.round) {
        0 => run.name_any(),
        round => format!("{}.{round}", run.name_any()),
    }
}

/// The name of the request of a run to destroy something, in its present round.
pub(crate) fn destruction_name(run: &Run) -> String {
    format!("{}.destroy", grant_name(run))
}

impl World {
    /// Who has the machine in hand.
    pub(crate) fn holder(&self) -> &str {
        let status = self.machine.as_ref().and_then(|machine| machine.status.as_ref());
        status.map(|status| status.run.as_str()).unwrap_or_default()
    }
}
