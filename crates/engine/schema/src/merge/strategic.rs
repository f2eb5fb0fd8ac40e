//! Strategic merge patch of objects. Behaviour: `apimachinery/pkg/util/strategicpatch`.

use serde_json::{Map, Value};

use super::list::{self, Merged};
use crate::types::{PatchStrategy, Schema, Shape};

pub(super) const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

/// A strategic merge patch that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategicError {
    /// Target or patch is no object.
    #[error("invalid JSON document")]
    NotAnObject,
    /// `$patch` with an unknown value.
    #[error("unknown patch type: {directive} in map: {map}")]
    UnknownDirective {
        /// The value of `$patch`.
        directive: String,
        /// The object it stands in.
        map: String,
    },
    /// A list item without the key that identifies it.
    #[error("map: {map} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item.
        map: String,
        /// The key it lacks.
        key: String,
    },
    /// A value of the wrong type.
    #[error("expected a {expected}, but received a {found}")]
    WrongType {
        /// The type wanted.
        expected: &'static str,
        /// The type found.
        found: &'static str,
    },
    /// A merged list of lists.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// A merged list whose items differ in type.
    #[error("list element types are not identical")]
    MixedList,
    /// `$deleteFromPrimitiveList` without a field.
    #[error("invalid patch format of primitive list")]
    BadPrimitiveList,
    /// `$retainKeys` that is no list or does not name every field of the patch.
    #[error("invalid patch format of retainKeys")]
    BadRetainKeys,
    /// `$setElementOrder` without a field or that is no list.
    #[error("invalid patch format of setElementOrder list")]
    BadElementOrder,
    /// The list in the patch is not ordered as `$setElementOrder` says.
    #[error("The order in patch list:\n{list}\n doesn't match $setElementOrder list:\n{order}\n")]
    OrderMismatch {
        /// The list.
        list: String,
        /// The order.
        order: String,
    },
    /// A list of objects that have no declared key.
    #[error("cannot merge lists without merge key for {field}")]
    NoDeclaredKey {
        /// The field.
        field: String,
    },
    /// `$patch: merge` inside a list.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeInList,
    /// A field of the patch that the type does not have.
    #[error("unable to find api field in struct {definition} for the json field {field:?}")]
    UnknownField {
        /// The type.
        definition: String,
        /// The field.
        field: String,
    },
}

/// Merges `patch` into `target` as the patch strategies of the type's fields say. On error the target may be
/// half merged and must be thrown away.
pub fn strategic(schema: &Schema, target: &mut Value, patch: &Value) -> Result<(), StrategicError> {
    let (Value::Object(original), Value::Object(patch)) = (target, patch) else {
        return Err(StrategicError::NotAnObject);
    };
    merge(Some(schema), original, patch.clone())
}

/// A field's type and strategy; `None` as type where anything goes.
pub(super) struct Known {
    pub(super) schema: Option<Schema>,
    pub(super) patch: PatchStrategy,
}

impl Known {
    fn free(schema: Option<Schema>) -> Self {
        Self { schema, patch: PatchStrategy::default() }
    }

    /// The type of the items of a list field.
    pub(super) fn items(&self) -> Option<Schema> {
        let schema = self.schema.as_ref()?;
        match &schema.node().shape {
            Shape::List { items, .. } => Some(schema.sub(*items)),
            Shape::Any | Shape::Scalar(_) | Shape::Map { .. } | Shape::Object { .. } => None,
        }
    }
}

fn look_up(schema: Option<&Schema>, field: &str) -> Result<Known, StrategicError> {
    let Some(schema) = schema else { return Ok(Known::free(None)) };
    match &schema.node().shape {
        Shape::Object { fields, definition, preserve_unknown, .. } => match fields.get(field) {
            Some(known) => Ok(Known { schema: Some(schema.sub(known.node)), patch: known.patch.clone() }),
            None if *preserve_unknown => Ok(Known::free(None)),
            None => Err(StrategicError::UnknownField {
                definition: definition.as_deref().unwrap_or("object").to_owned(),
                field: field.to_owned(),
            }),
        },
        Shape::Map { values, .. } => Ok(Known::free(Some(schema.sub(*values)))),
        Shape::Any | Shape::Scalar(_) | Shape::List { .. } => Ok(Known::free(None)),
    }
}

pub(super) fn merge(
    schema: Option<&Schema>,
    original: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
) -> Result<(), StrategicError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                *original = patch;
                return Ok(());
            }
            Some("delete") => {
                original.clear();
                return Ok(());
            }
            Some(_) | None => return Err(unknown_directive(directive, &patch)),
        }
    }
    retain_keys(original, &mut patch)?;
    ordered_lists(schema, original, &mut patch)?;
    for (key, value) in patch {
        let (field, deletes) = match parallel(&key, DELETE_FROM_LIST) {
            Some(field) => (field.ok_or(StrategicError::BadPrimitiveList)?, true),
            None => (key.as_str(), false),
        };
        one_field(schema, original, field, value, deletes)?;
    }
    Ok(())
}

pub(super) fn unknown_directive(directive: &Value, map: &Map<String, Value>) -> StrategicError {
    let text = directive.as_str().map_or_else(|| directive.to_string(), str::to_owned);
    StrategicError::UnknownDirective { directive: text, map: Value::Object(map.clone()).to_string() }
}

/// The field of a parallel list (`$prefix/field`): `None` for other keys, `Some(None)` where the field is missing.
fn parallel<'a>(key: &'a str, prefix: &str) -> Option<Option<&'a str>> {
    key.starts_with(prefix).then(|| key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')))
}

fn one_field(
    schema: Option<&Schema>,
    original: &mut Map<String, Value>,
    field: &str,
    mut value: Value,
    deletes: bool,
) -> Result<(), StrategicError> {
    if value.is_null() {
        original.remove(field);
        return Ok(());
    }
    match (original.get_mut(field), value) {
        (Some(Value::Object(before)), Value::Object(change)) => {
            let known = look_up(schema, field)?;
            if known.patch.replace {
                *before = change;
                return Ok(());
            }
            merge(known.schema.as_ref(), before, change)
        }
        (Some(Value::Array(before)), Value::Array(change)) => {
            let known = look_up(schema, field)?;
            if known.patch.merge || deletes {
                let deletion = if deletes { list::Mode::Delete } else { list::Mode::Merge };
                *before = list::merge(&known, field, std::mem::take(before), change, deletion)?.list;
            } else {
                *before = change;
            }
            Ok(())
        }
        _ if deletes => Ok(()),
        (_, other) => {
            value = other;
            drop_nulls(&mut value);
            match without_directives(value) {
                Some(value) => original.insert(field.to_owned(), value),
                None => original.remove(field),
            };
            Ok(())
        }
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, inner| !inner.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The value without objects that are directives; `None` if it is one itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => {
            let kept = map.into_iter().filter_map(|(key, inner)| Some((key, without_directives(inner)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        leaf @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => Some(leaf),
    }
}

fn retain_keys(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), StrategicError> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = directive else { return Err(StrategicError::BadRetainKeys) };
    let keeps = |field: &str| keys.iter().any(|key| key.as_str() == Some(field));
    for (field, value) in patch.iter() {
        let free = value.is_null() || field.starts_with(DELETE_FROM_LIST) || field.starts_with(ELEMENT_ORDER);
        if !free && !keeps(field) {
            return Err(StrategicError::BadRetainKeys);
        }
    }
    original.retain(|field, _| keeps(field));
    Ok(())
}

/// Lists whose order the patch gives: merged and ordered here, and taken out of the patch.
fn ordered_lists(
    schema: Option<&Schema>,
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), StrategicError> {
    let directives: Vec<String> =
        patch.keys().filter(|key| key.starts_with(ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(StrategicError::BadElementOrder);
        };
        let field = parallel(&directive, ELEMENT_ORDER).flatten().ok_or(StrategicError::BadElementOrder)?;
        let before = as_list(original.get(field))?;
        let change = as_list(patch.get(field))?;
        let known = look_up(schema, field)?;
        let key = known.patch.merge_key.as_deref();
        list::check_order(change.as_deref().unwrap_or_default(), &order, key)?;
        let unchanged = |list: Vec<Value>| Merged { list, server: before.clone().unwrap_or_default() };
        let merged = match (before.clone(), change) {
            (None, None) => continue,
            (Some(before), None) => unchanged(before),
            (None, Some(change)) => unchanged(change.into_iter().filter_map(without_directives).collect()),
            (Some(before), Some(change)) if known.patch.merge => {
                list::merge(&known, field, before, change, list::Mode::Merge)?
            }
            (Some(_), Some(change)) => unchanged(change),
        };
        let ordered = list::arrange(merged.list, &order, &merged.server, key)?;
        original.insert(field.to_owned(), Value::Array(ordered));
        patch.remove(field);
    }
    Ok(())
}

fn as_list(value: Option<&Value>) -> Result<Option<Vec<Value>>, StrategicError> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items.clone())),
        Some(other) => {
            Err(StrategicError::WrongType { expected: "[]interface {}", found: list::go_type(other) })
        }
    }
}
