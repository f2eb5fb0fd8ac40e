//! The table, the node and the DNS on real kernels: each test in network namespaces of its own, with the distribution's
//! `nft`, `ip` and CNI plugins. Needs root.

#[cfg(test)]
mod dns;
#[cfg(test)]
mod follow;
#[cfg(test)]
mod host;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod proxy;
#[cfg(test)]
#[path = "../../src/world.rs"]
mod world;
