//! The life of machines, told by the seed.

mod chaos;
mod crashes;
mod global;
mod guards;
mod intake;
mod ledger;
mod pause;
mod pods;
mod provision;
mod repair;
mod runs;
mod support;
mod watches;
