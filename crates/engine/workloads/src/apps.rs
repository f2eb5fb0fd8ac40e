//! Deployments, ReplicaSets and DaemonSets: sets of equal pods.
pub mod amount;
pub mod claim;
pub mod condition;
pub mod daemonset;
pub mod deployment;
pub mod replicaset;
