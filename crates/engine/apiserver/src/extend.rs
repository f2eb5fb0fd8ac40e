//! What others add to the API: custom resources, and servers of their own that are asked on the way.

mod backend;
pub(crate) mod custom;
pub(crate) mod webhooks;
