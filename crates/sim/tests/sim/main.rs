//! The life of machines, told by the seed.

mod chaos;
mod crashes;
mod intake;
mod ledger;
mod pods;
mod repair;
mod support;
mod watches;
