//! What others add to the API: custom resources, and servers of their own that are asked on the way.

pub(crate) mod aggregation;
pub(crate) mod backend;
pub(crate) mod custom;
pub(crate) mod webhooks;
