//! Deployments, ReplicaSets, DaemonSets, Services, namespaces, garbage collection.
pub mod apps;
pub mod node;
pub mod service;
pub mod view;
