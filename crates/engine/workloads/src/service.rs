//! EndpointSlices: what stands behind each Service.
pub(crate) mod pass;
pub mod plan;
