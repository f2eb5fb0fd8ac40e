//! A whole doctor against faults that are made: real ones where the machine lets us, injected ones where not.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test says why it cannot run and how long a fault took to be told; the crate is all test code"
)]

mod bench;
mod days;
mod disks;
mod fleet;
mod kernel_log;
mod life;
mod loss;
mod machine;
mod namespace;
mod outage;
