//! A whole control plane in one process: the real API server on a store in memory, the real controllers and scheduler,
//! and machines that are imagined below the agent's runtime. Time is tokio's paused clock, so hours pass in milliseconds.
//!
//! ```no_run
//! # async fn story() {
//! use muster_sim::{World, Phase};
//! let world = World::build(7).await;
//! let machine = world.add_machine("m1", "site-a").await;
//! world.wait_phase("m1", Phase::Healthy).await;
//! machine.hang_runtime();
//! # }
//! ```
//!
//! Runs inside `#[tokio::test(start_paused = true)]`. Faults come from a seed: loss, delay and conflict on the way to
//! the API ([`Faults`]), hung or dead runtimes, dead agents, and the death of all controllers after any write. The same
//! seed gives the same timetable and the same dice; the order of tasks woken at one instant is not fixed by it.
//!
//! Deliberately not here: kernels, networks, disks. What a machine really does is tested on real ones.

mod clock;
mod controllers;
mod dice;
mod faults;
mod history;
mod machine;
mod rights;
mod timetable;
mod wire;
mod world;

pub use clock::VirtualClock;
pub use controllers::Controllers;
pub use faults::{Faults, Rates, Watches};
pub use history::{Seen, Watched};
pub use machine::{Effect, Machine};
pub use muster_api::machine::Phase;
pub use timetable::{Fault, Timetable};
pub use world::{Options, World};
