//! The network of a node: CNI configuration, service proxy, cluster DNS.
//!
//! [`Network::build`] makes what the node must have, [`Network::run`] keeps the nftables table and the DNS at what the
//! API's Services and EndpointSlices say, [`Network::remove`] takes all of it back. No part of it stands in the data
//! path but the DNS: with Muster gone, pods talk and Services answer as they last did.
//!
//! Deliberately not here: routes between nodes (the site's network or an overlay), network policies, IPv6.

#[cfg(test)]
extern crate self as muster_network;

pub mod cni;
mod command;
pub mod config;
pub mod directory;
pub mod dns;
pub mod host;
mod network;
pub mod owned;
pub mod proxy;
pub mod view;
#[cfg(test)]
mod world;

pub use command::CommandError;
pub use config::{Config, DnsConfig};
pub use network::{BuildError, Handle, Network, PassError, RemoveError};
