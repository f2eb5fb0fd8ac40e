//! The cluster DNS: every node answers for the cluster's domain by itself, from the same picture the proxy plans from.
//!
//! Served (Kubernetes DNS-Based Service Discovery 1.1.0): addresses of Services and of headless endpoints, SRV of named
//! ports, endpoint and pod names, aliases of ExternalName Services, reverse names. There is no IPv6: AAAA of a name
//! that exists is an empty answer. Everything else is asked of the servers in the given resolv.conf, without a cache.

pub mod answer;
pub mod server;
pub mod upstream;
pub mod wire;
pub mod zone;
