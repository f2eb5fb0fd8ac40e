//! Placement: which pod runs on which node.
//!
//! The decision is [`plan::plan`], synchronous and without any I/O: it reads a [`snapshot::Snapshot`] that each event
//! changes in place, and books what it decides. Filters and scores follow the Kubernetes API: requests, host ports,
//! node selectors and affinity, taints, pod (anti-)affinity, topology spread, priority order. [`Scheduler`] is the thin
//! part around it: watches in, bindings and reports out.
//!
//! Not here: preemption. A pod that finds no room waits, whatever its priority, and its condition says why.
//! Volumes do not steer placement yet.

pub mod node;
pub mod plan;
pub mod pod;
pub mod refusal;
pub mod resources;
pub mod rules;
pub mod snapshot;
pub mod view;

mod inbox;
mod queue;
mod scheduler;
mod state;

pub use scheduler::{Config, Scheduler};
