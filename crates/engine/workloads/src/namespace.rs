//! Namespaces: what every one of them holds from its first moment, and how one ends.
pub mod defaults;
pub mod deletion;
pub(crate) mod discovery;
pub(crate) mod pass;
