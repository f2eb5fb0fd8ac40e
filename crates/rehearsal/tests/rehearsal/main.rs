//! Fleets that break and are healed, in virtual time.

mod bursts;
mod crashes;
mod disasters;
mod numbers;
