//! What every crate of Muster stands on: time, task spawning, error chains, quantities, back-off.
//!
//! Deliberately not here: anything that knows Kubernetes, HTTP or a disk format.

pub mod backoff;
pub mod clock;
pub mod error;
pub mod quantity;
pub mod task;
