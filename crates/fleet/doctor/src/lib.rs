//! The local doctor: looks at one machine and files Problems. It does nothing else.
//!
//! It runs as its own process, under its own identity in the API, without a capability ([`confine`]). It reads what the
//! agent shows on a read-only socket; it holds no connection that could act. What is done about a Problem is decided
//! and done elsewhere.
//!
//! [`global`] is the other doctor, one for all machines: it sees what none of them sees of itself.

mod config;
mod confine;
mod diagnosis;
mod doctor;
pub mod global;
pub mod planner {
    //! From single signs to a state, for whoever has the signs in memory: no I/O, and the time is an argument.

    pub use crate::diagnosis::{Diagnosis, Rule, Sign};
}
mod readings;
mod report;

pub use config::Config;
pub use confine::{ConfineError, confine};
pub use doctor::Doctor;
pub use readings::{ReadingsError, Source};
