//! The repair of a fleet, rehearsed: the very planners of the doctors, the workflow manager and the disruption ledger
//! over machines that are imagined, in virtual time, with the truth known.
//!
//! Nothing here decides. Every part of the control plane looks at the objects, asks its planner and does what that says;
//! it may die after any effect. Beneath it machines break as a [`Mix`] says. One seed gives one rehearsal.
//!
//! Deliberately not here: the API, disks and networks. How the parts do on those is tested on those.

mod dice;
mod doctors;
mod ground;
mod hands;
mod many;
mod mix;
mod outcome;
mod plane;
mod play;
mod store;
mod weather;

/// The standard fault mix, with its sources.
pub const STANDARD_MIX: &str = include_str!("../mixes/standard.yaml");

pub use mix::{Bursts, Fault, Mix, MixError, Transient, Truth};
pub use outcome::Outcome;
pub use play::{Disaster, Options, Struck, rehearse};
