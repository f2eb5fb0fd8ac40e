//! EndpointSlices: what stands behind each Service.
pub mod plan;
