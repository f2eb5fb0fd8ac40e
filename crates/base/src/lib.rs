//! What every crate of Muster stands on: time, task spawning, error chains, quantities, back-off, ports.
//!
//! Deliberately not here: anything that knows Kubernetes, HTTP or a disk format.

pub mod backoff;
pub mod clock;
pub mod error;
pub mod port;
pub mod quantity;
pub mod task;
