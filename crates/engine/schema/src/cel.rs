//! CEL rules of custom resources (`x-kubernetes-validations`) and conditions of webhooks, on `kube-cel`.
//!
//! The CEL crate has no cost accounting, so work is bounded beforehand: what a rule may at most do follows from the
//! nesting of its comprehensions and the largest list or map in the value.

mod compiled;
pub mod condition;
mod cost;
mod evaluate;
mod reference;
mod value;

pub use compiled::{CompileError, Compiled};
pub use evaluate::validate;
pub(crate) use reference::{unknown_reference, wrong_message};

#[cfg(test)]
mod tests;
