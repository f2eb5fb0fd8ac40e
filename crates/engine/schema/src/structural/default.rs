//! Values for absent fields, as the type says.

use serde_json::Value;

use crate::types::{NodeId, Schema, Shape};

/// Fills absent fields that have a default and drops nulls where null is no value. Fields of an absent object are
/// not filled unless the object itself has a default.
pub fn default(schema: &Schema, value: &mut Value) {
    node(schema, schema.root(), value);
}

fn node(schema: &Schema, id: NodeId, value: &mut Value) {
    match (&schema.at(id).shape, value) {
        (Shape::List { items, .. }, Value::Array(list)) => {
            let (nullable, fallback) = (schema.at(*items).nullable, &schema.at(*items).default);
            for item in list {
                if let (true, false, Some(fallback)) = (item.is_null(), nullable, fallback) {
                    *item = fallback.clone();
                }
                node(schema, *items, item);
            }
        }
        (Shape::Map { values, .. }, Value::Object(map)) => {
            let inner = schema.at(*values);
            map.retain(|_, item| !item.is_null() || inner.nullable || inner.default.is_some());
            for item in map.values_mut() {
                if let (true, false, Some(fallback)) = (item.is_null(), inner.nullable, &inner.default) {
                    *item = fallback.clone();
                }
                node(schema, *values, item);
            }
        }
        (Shape::Object { fields, .. }, Value::Object(map)) => {
            for (name, field) in fields {
                let inner = schema.at(field.node);
                if map.get(&**name).is_some_and(Value::is_null) && !inner.nullable {
                    map.remove(&**name);
                }
                if let (None, Some(fallback)) = (map.get(&**name), &inner.default) {
                    map.insert(name.to_string(), fallback.clone());
                }
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
