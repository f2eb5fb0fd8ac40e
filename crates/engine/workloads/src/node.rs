//! Nodes: silence noticed, taints kept, pods moved off, address ranges given out, orphaned pods removed.
pub mod addresses;
pub mod certificate;
pub mod eviction;
pub mod lifecycle;
pub mod orphans;
pub(crate) mod pass;
