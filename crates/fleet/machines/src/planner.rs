//! The planner of the disruption ledger, for whoever has the world in memory: no I/O, and the time is an argument.

pub use crate::ledger::plan::{Decision, Fresh, Plan, Timing, World, plan as decide};
