//! The controllers that make a Kubernetes API a cluster: Deployments, ReplicaSets, DaemonSets, EndpointSlices,
//! namespaces, nodes, disruption budgets, garbage collection.
//!
//! Each is a pure `plan` and a thin pass around it, driven by shared informers over slim views. Each has an identity of
//! its own, allowed exactly what [`rules`] lists. They run against any Kubernetes API; [`Workloads`] builds them all.
//!
//! Not here: StatefulSets, Jobs, CronJobs, horizontal scaling, volumes, the old Endpoints kind.
//! A DaemonSet with `maxSurge` is not rolled but told so; its past revisions are not kept.
pub mod apps;
pub mod budget;
mod expectations;
pub mod garbage;
mod index;
mod kit;
pub mod namespace;
pub mod node;
pub mod rules;
pub mod service;
pub mod view;
mod workloads;

pub use kit::WriteError;
pub use node::certificate;
pub use workloads::{Config, Workloads};
