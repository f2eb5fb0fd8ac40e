//! The doctors: they look, and file Problems. They do nothing else.
//!
//! The local doctor looks at one machine. It runs as its own process, under its own identity in the API, without a
//! capability ([`confine`]). It reads what the kernel shows to everybody and what the agent shows on its read-only
//! sockets; it holds no connection that could act. [`global`] is the other doctor, one for all machines: it sees what none
//! of them sees of itself. What is done about a Problem is decided and done elsewhere.

mod config;
mod confine;
mod detect;
mod diagnosis;
mod doctor;
mod filing;
pub mod global;
mod kernel;
mod klog;
pub mod planner {
    //! From single signs to a state, for whoever has the signs in memory: no I/O, and the time is an argument.

    pub use crate::diagnosis::{Diagnosis, Moment};
    pub use crate::rule::{Opens, Rule, Sign};
}
mod readings;
pub mod replay {
    //! What rules of the kernel log would have filed from lines that were recorded: nothing is filed.

    pub use crate::klog::dump::{Dump, read_dump};
    pub use crate::klog::replay::{Filed, RecordedLine, Rehearsal, replay};
}
mod rule;
mod state;

pub use config::{Config, Local};
pub use confine::{ConfineError, confine, go_near, hand_over, may_enter};
pub use doctor::Doctor;
pub use kernel::Roots;
pub use klog::rules::RuleFault;
pub use klog::scan::Trust;
pub use readings::{ReadingsError, Source};
