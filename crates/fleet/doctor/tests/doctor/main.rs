//! A whole doctor against faults that are made: real ones where the machine lets us, injected ones where not.

mod bench;
mod disks;
mod fleet;
mod kernel_log;
mod machine;
mod outage;
