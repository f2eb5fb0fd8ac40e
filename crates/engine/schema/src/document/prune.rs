//! Removal of fields a kind does not know.

use serde_json::Value;

use crate::kind::Kind;
use crate::structural;
use crate::types::Shape;

/// Drops unknown fields of a custom resource. A built-in document has lost them while it was
/// [decoded](crate::decode), so it stays as it is.
pub fn prune(kind: &Kind, value: &mut Value) {
    if let Shape::Object { definition: None, .. } = &kind.schema.node().shape {
        structural::prune(&kind.schema, value);
    }
}
