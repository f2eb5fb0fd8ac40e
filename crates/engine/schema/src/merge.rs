//! Patches: RFC 7396 merge patch, RFC 6902 JSON patch, and strategic merge patch.

mod list;
mod strategic;

use serde_json::Value;

pub use strategic::{StrategicError, strategic};

/// Operations a JSON patch may have, as upstream limits it.
pub const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;

/// A JSON patch that cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum JsonPatchError {
    /// The document is no JSON patch (answered 400).
    #[error("{source}")]
    Decode {
        /// What the decoder found.
        source: serde_json::Error,
    },
    /// Too many operations (answered 413).
    #[error("The allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {found}")]
    TooManyOperations {
        /// Operations in the patch.
        found: usize,
    },
    /// An operation failed, a `test` for instance; the target is unchanged (answered 422).
    #[error("{source}")]
    Apply {
        /// Which operation, and why.
        source: json_patch::PatchError,
    },
}

/// Applies a merge patch (RFC 7396): objects are merged, `null` removes, anything else replaces.
pub fn json_merge(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

/// Applies a JSON patch (RFC 6902), all of it or nothing.
pub fn json_patch(target: &mut Value, patch: &Value) -> Result<(), JsonPatchError> {
    if let Some(found) = patch.as_array().map(Vec::len).filter(|found| *found > JSON_PATCH_OPERATIONS_MAX) {
        return Err(JsonPatchError::TooManyOperations { found });
    }
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|source| JsonPatchError::Decode { source })?;
    json_patch::patch(target, &operations.0).map_err(|source| JsonPatchError::Apply { source })
}

#[cfg(test)]
mod tests;
