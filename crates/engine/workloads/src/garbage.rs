//! Garbage collection: objects whose owners are gone, and deletions that wait for dependents (or for letting them go).
//!
//! Every resource the server lists, watches and deletes is watched by metadata alone; new custom resources are picked
//! up. That an owner is absent is never believed from the cache: it is asked for, and its uid compared.
pub mod graph;
pub(crate) mod pass;
pub mod plan;
pub(crate) mod watch;
