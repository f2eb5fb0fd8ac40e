//! A ReplicaSet keeps a number of equal pods.
pub mod plan;
