//! Which repair a problem calls for: the policy of its class says the rungs, what was tried before says which is next,
//! and what was measured says which would not help.

pub(crate) mod climb;
pub(crate) mod ladder;
pub(crate) mod metrics;
pub(crate) mod policy;
pub(crate) mod rates;
pub(crate) mod rung;
pub(crate) mod shield;
