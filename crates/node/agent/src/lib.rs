//! The node agent: pods through CRI, and whatever a machine must do on order.

pub mod containerd;
pub mod runtime;
