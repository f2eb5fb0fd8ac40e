//! What is done to one document: it is read, completed, pruned, judged, written.

pub mod decode;
pub mod default;
pub mod encode;
pub mod prune;
pub mod validate;
#[cfg(test)]
mod vectors;
