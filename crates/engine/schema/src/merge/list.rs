//! Strategic merge of lists: objects by their key, scalars as sets; patch items in the patch's order, others in
//! the server's.

use serde_json::{Map, Value};

use super::strategic::{DIRECTIVE, Known, StrategicError, merge as merge_map, unknown_directive};

/// What a list in a patch is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Its items are merged into the list.
    Merge,
    /// Its items are taken out of the list (`$deleteFromPrimitiveList`).
    Delete,
}

/// Merges `patch` into `original`.
pub(super) fn merge(
    known: &Known,
    field: &str,
    original: Vec<Value>,
    patch: Vec<Value>,
    mode: Mode,
) -> Result<Vec<Value>, StrategicError> {
    let Some(first) = element_type(&original, &patch)? else { return Ok(original) };
    let key = known.patch.merge_key.as_deref();
    if first != "map[string]interface {}" {
        return scalars(original, patch, mode);
    }
    let Some(key) = key else { return Err(StrategicError::NoDeclaredKey { field: field.to_owned() }) };
    let (mut merged, patch) = directives(original, patch, key)?;
    let order = merged.clone();
    let items = known.items();
    for change in &patch {
        let Value::Object(change) = change else { continue };
        let id = change.get(key).ok_or_else(|| no_key(change, key))?;
        match position(&merged, key, id)? {
            Some(at) => {
                if let Value::Object(before) = &mut merged[at] {
                    merge_map(items.as_ref(), before, change.clone())?;
                }
            }
            None => merged.push(Value::Object(change.clone())),
        }
    }
    arrange(merged, &patch, &order, Some(key))
}

fn scalars(original: Vec<Value>, patch: Vec<Value>, mode: Mode) -> Result<Vec<Value>, StrategicError> {
    if mode == Mode::Delete {
        return Ok(original.into_iter().filter(|item| !patch.contains(item)).collect());
    }
    let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
    for item in original.iter().chain(&patch) {
        if !merged.contains(item) {
            merged.push(item.clone());
        }
    }
    arrange(merged, &patch, &original, None)
}

/// Carries out `$patch` items: what is left of the original, and the patch without them.
fn directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), StrategicError> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replaces = false;
    for item in patch {
        let Some((map, directive)) = directive_of(&item) else {
            plain.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let id = map.get(key).ok_or_else(|| no_key(map, key))?;
                while let Some(at) = position(&original, key, id)? {
                    original.remove(at);
                }
            }
            Some("replace") => replaces = true,
            Some("merge") => return Err(StrategicError::MergeInList),
            Some(_) | None => return Err(unknown_directive(directive, map)),
        }
    }
    Ok(if replaces { (plain, Vec::new()) } else { (original, plain) })
}

fn directive_of(item: &Value) -> Option<(&Map<String, Value>, &Value)> {
    let map = item.as_object()?;
    Some((map, map.get(DIRECTIVE)?))
}

fn no_key(map: &Map<String, Value>, key: &str) -> StrategicError {
    StrategicError::NoMergeKey { map: Value::Object(map.clone()).to_string(), key: key.to_owned() }
}

fn position(items: &[Value], key: &str, id: &Value) -> Result<Option<usize>, StrategicError> {
    for (at, item) in items.iter().enumerate() {
        let Value::Object(map) = item else { return Err(not_a_map(item)) };
        if map.get(key) == Some(id) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn not_a_map(found: &Value) -> StrategicError {
    StrategicError::WrongType { expected: "map[string]interface {}", found: go_type(found) }
}

/// The one type of all items; `None` if there are none.
fn element_type(original: &[Value], patch: &[Value]) -> Result<Option<&'static str>, StrategicError> {
    let mut types = original.iter().chain(patch).map(go_type);
    let Some(first) = types.next() else { return Ok(None) };
    if first == "[]interface {}" {
        return Err(StrategicError::ListOfLists);
    }
    if types.any(|other| other != first) {
        return Err(StrategicError::MixedList);
    }
    Ok(Some(first))
}

/// The Go type a JSON value is decoded to.
pub(super) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// What identifies an item.
fn identity<'a>(item: &'a Value, key: Option<&str>) -> Result<&'a Value, StrategicError> {
    let (Some(key), Value::Object(map)) = (key, item) else { return Ok(item) };
    map.get(key).ok_or_else(|| no_key(map, key))
}

/// Orders a merged list: items named in `wanted` in that order, the others as in `server`, woven together so that
/// an item goes before another only if the server had both in that order.
pub(super) fn arrange(
    merged: Vec<Value>,
    wanted: &[Value],
    server: &[Value],
    key: Option<&str>,
) -> Result<Vec<Value>, StrategicError> {
    let rank = |list: &[Value], item: &Value| -> Result<Option<usize>, StrategicError> {
        let id = identity(item, key)?;
        for (at, other) in list.iter().enumerate() {
            if identity(other, key)? == id {
                return Ok(Some(at));
            }
        }
        Ok(None)
    };
    let (mut patched, mut others) = (Vec::new(), Vec::new());
    for item in merged {
        let server_rank = rank(server, &item)?;
        match rank(wanted, &item)? {
            Some(at) => patched.push((at, server_rank, item)),
            None => others.push((server_rank.unwrap_or(usize::MAX), server_rank, item)),
        }
    }
    patched.sort_by_key(|(at, ..)| *at);
    others.sort_by_key(|(at, ..)| *at);
    let mut out = Vec::with_capacity(patched.len() + others.len());
    let (mut patched, mut others) = (patched.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let next = match (others.peek(), patched.peek()) {
            (Some((_, Some(left), _)), Some((_, Some(right), _))) if left < right => others.next(),
            (_, Some(_)) => patched.next(),
            (Some(_), None) => others.next(),
            (None, None) => return Ok(out),
        };
        out.extend(next.map(|(.., item)| item));
    }
}

/// Whether the patch's items stand in the order that its `$setElementOrder` gives.
pub(super) fn check_order(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), StrategicError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let plain: Vec<&Value> =
        patch.iter().filter(|item| !(key.is_some() && directive_of(item).is_some())).collect();
    let mut at = 0;
    for wanted in order {
        let Some(item) = plain.get(at) else { break };
        if identity(item, key)? == identity(wanted, key)? {
            at += 1;
        }
    }
    if at < plain.len() {
        return Err(StrategicError::OrderMismatch {
            list: Value::Array(patch.to_vec()).to_string(),
            order: Value::Array(order.to_vec()).to_string(),
        });
    }
    Ok(())
}
