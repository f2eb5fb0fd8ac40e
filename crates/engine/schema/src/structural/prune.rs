//! Removal of fields that the type does not know.

use serde_json::{Map, Value};

use crate::types::{NodeId, Schema, Shape};

const TYPE_AND_METADATA: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Drops every field that `schema` does not declare, except below nodes that keep unknown fields and the type and
/// metadata of whole objects.
pub fn prune(schema: &Schema, value: &mut Value) {
    node(schema, schema.root(), value);
}

fn node(schema: &Schema, id: NodeId, value: &mut Value) {
    match (&schema.at(id).shape, value) {
        (Shape::List { items, .. }, Value::Array(list)) => {
            list.iter_mut().for_each(|item| node(schema, *items, item));
        }
        (Shape::Map { values, .. }, Value::Object(map)) => {
            map.values_mut().for_each(|item| node(schema, *values, item));
        }
        (Shape::Object { fields, preserve_unknown, embedded, .. }, Value::Object(map)) => {
            if !preserve_unknown {
                drop_unknown(map, |name| {
                    fields.contains_key(name) || (*embedded && TYPE_AND_METADATA.contains(&name))
                });
            }
            for (name, field) in fields {
                if let Some(item) = map.get_mut(&**name) {
                    node(schema, field.node, item);
                }
            }
        }
        (
            Shape::Any | Shape::Scalar(_) | Shape::List { .. } | Shape::Map { .. } | Shape::Object { .. },
            _,
        ) => {}
    }
}

fn drop_unknown(map: &mut Map<String, Value>, known: impl Fn(&str) -> bool) {
    map.retain(|name, _| known(name));
}
