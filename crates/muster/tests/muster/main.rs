//! The real binary: whole stories on real containers, crashes, refusals.

#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]
#![allow(
    clippy::print_stdout,
    reason = "what a test prints is shown with its failure, and skipped ones are counted"
)]

mod bmc;
mod commands;
mod crash;
mod faketime;
mod foreign;
mod harness;
mod history;
mod import;
mod join;
mod kubectl;
mod log;
mod qemu;
mod refusals;
mod rights;
mod runtime;
mod soak;
mod story;
mod tickets;
mod transcript;
