//! The kernel log: records in, findings out.

pub(crate) mod dump;
pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod rules;
pub(crate) mod scan;
mod set;
pub(crate) mod stream;

/// Name of the detector.
pub(crate) const SOURCE: &str = "kernel-log";
