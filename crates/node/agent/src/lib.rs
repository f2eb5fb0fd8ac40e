//! The node agent: pods through CRI, and whatever a machine must do on order.
//!
//! [`Agent::build`] takes a [`Config`], a client of any Kubernetes API, a clock and a registry of metrics; [`Agent::run`]
//! starts its tasks. Containers outlive the agent, and the runtime it supervises: both are found again after a restart.
//!
//! Deliberately not here: deciding about faults (a hanging runtime is restarted on order only), writing the CNI
//! configuration (the network crate owns it), placing pods (the scheduler does).

mod agent;
pub mod cgroup;
mod config;
pub mod containerd;
pub mod image;
pub mod inventory;
pub mod logs;
pub mod node;
pub mod orders;
pub mod pod;
pub mod runtime;
mod volume;

pub use agent::{Agent, BuildError, Handle, RemoveError, SocketError, StartError, remove};
pub use config::{Config, Fleet, LogServer, Reboot, RuntimeChoice, Start};
pub use node::join;
