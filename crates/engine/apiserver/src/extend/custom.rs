//! CustomResourceDefinitions: served from the moment they are stored, removed with all their objects.

mod cleanup;
mod serve;
mod status;

pub(crate) use cleanup::start;
pub(crate) use serve::serve;
pub(crate) use status::{admit, check_open};

/// Where the definitions are stored.
pub(crate) const RESOURCE: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Holds a definition until its objects are gone.
pub(crate) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
