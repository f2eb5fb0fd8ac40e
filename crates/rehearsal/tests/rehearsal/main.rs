//! Fleets that break and are healed, in virtual time.

mod crashes;
mod disasters;
mod numbers;
