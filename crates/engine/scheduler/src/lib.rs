//! Placement: which pod runs on which node.
//!
//! The decision is [`plan::plan`], synchronous and without any I/O: it reads a [`snapshot::Snapshot`] that each event
//! changes in place, and books what it decides. Filters and scores follow the Kubernetes API: requests, host ports,
//! node selectors and affinity, taints, pod (anti-)affinity, topology spread, priority order.
//!
//! Not here: preemption. A pod that finds no room waits, whatever its priority, and its condition says why.
//! Volumes do not steer placement yet; a pod with a volume bound to one node is refused by that node's agent.

pub mod filter;
pub mod node;
pub mod plan;
pub mod pod;
pub mod queue;
pub mod refusal;
pub mod resources;
pub mod score;
pub mod snapshot;
pub mod topology;
pub mod view;
