//! PodDisruptionBudgets: how many pods may be taken down on purpose just now. The API server's eviction spends it.
pub(crate) mod pass;
pub mod plan;
