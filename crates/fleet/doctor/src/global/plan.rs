//! What the global doctor decides, on plain values: no I/O and no clock, the time is an argument. A simulation of a fleet
//! runs the very same.
//!
//! [`silence::Silence`] knows when each machine was last heard and whose word is due. [`correlation::Correlation`] is fed
//! with what opens and clears, and says which Problems of many there are and which Problems they hold;
//! [`burst::explain`] is its judgement of one burst. [`peers::Peers`] says which machine does less than its like;
//! [`canary::Limits`] when a fault is made up, and whether it was answered in time.

pub mod burst;
pub mod canary;
pub mod correlation;
pub mod peers;
pub mod place;
pub mod record;
pub mod silence;
pub mod standing;
