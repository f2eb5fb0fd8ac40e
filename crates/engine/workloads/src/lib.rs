//! Deployments, ReplicaSets, DaemonSets, Services, namespaces, garbage collection.
pub mod apps;
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
pub use workloads::{Config, Workloads};
