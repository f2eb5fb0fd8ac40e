//! A ReplicaSet keeps a number of equal pods.
pub(crate) mod pass;
pub mod plan;
