//! CNI, service proxy, cluster DNS.

pub mod cni;
pub mod command;
pub mod config;
pub mod directory;
pub mod dns;
pub mod host;
pub mod owned;
pub mod proxy;
pub mod view;
#[cfg(test)]
mod world;
