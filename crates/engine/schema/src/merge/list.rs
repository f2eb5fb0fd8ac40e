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

/// A merged list, and the list that the server's order is taken from.
pub(super) struct Merged {
    pub(super) list: Vec<Value>,
    pub(super) server: Vec<Value>,
}

/// The server's list while a patch works on it. Upstream edits the slice whose order it later reads: an item added
/// after a removal comes to stand in the place that became free, and so is ordered as if the server had had it.
struct Slots {
    items: Vec<Value>,
    live: usize,
    visible: usize,
}

impl Slots {
    fn new(items: Vec<Value>) -> Self {
        Self { live: items.len(), visible: items.len(), items }
    }

    fn live(&self) -> &[Value] {
        &self.items[..self.live]
    }

    fn remove(&mut self, at: usize) {
        for index in at + 1..self.live {
            self.items[index - 1] = self.items[index].clone();
        }
        self.live -= 1;
    }

    fn push(&mut self, item: Value) {
        match self.items.get_mut(self.live) {
            Some(slot) => *slot = item,
            None => self.items.push(item),
        }
        self.live += 1;
    }

    fn finish(self) -> Merged {
        let server = self.items[..self.visible].to_vec();
        let mut list = self.items;
        list.truncate(self.live);
        Merged { list, server }
    }
}

/// Merges `patch` into `original`.
pub(super) fn merge(
    known: &Known,
    field: &str,
    original: Vec<Value>,
    patch: Vec<Value>,
    mode: Mode,
) -> Result<Merged, StrategicError> {
    let Some(first) = element_type(&original, &patch)? else { return Ok(Slots::new(original).finish()) };
    let key = known.patch.merge_key.as_deref();
    if first != "map[string]interface {}" {
        return scalars(original, patch, mode);
    }
    let Some(key) = key else { return Err(StrategicError::NoDeclaredKey { field: field.to_owned() }) };
    let mut slots = Slots::new(original);
    let (patch, replaces) = directives(&mut slots, patch, key)?;
    if replaces {
        let list = arrange(patch.clone(), &[], &patch, Some(key))?;
        return Ok(Merged { list, server: slots.finish().server });
    }
    let order = slots.live().to_vec();
    let items = known.items();
    for change in &patch {
        let Value::Object(change) = change else { continue };
        let id = change.get(key).ok_or_else(|| no_key(change, key))?;
        match position(slots.live(), key, id)? {
            Some(at) => {
                if let Value::Object(before) = &mut slots.items[at] {
                    merge_map(items.as_ref(), before, change.clone())?;
                }
            }
            None => slots.push(Value::Object(change.clone())),
        }
    }
    let Merged { list, server } = slots.finish();
    Ok(Merged { list: arrange(list, &patch, &order, Some(key))?, server })
}

fn scalars(original: Vec<Value>, patch: Vec<Value>, mode: Mode) -> Result<Merged, StrategicError> {
    if mode == Mode::Delete {
        let list = original.iter().filter(|item| !patch.contains(item)).cloned().collect();
        return Ok(Merged { list, server: original });
    }
    let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
    for item in original.iter().chain(&patch) {
        if !merged.contains(item) {
            merged.push(item.clone());
        }
    }
    Ok(Merged { list: arrange(merged, &patch, &original, None)?, server: original })
}

/// Carries out `$patch` items on the original: the patch without them, and whether it replaces the whole list.
fn directives(slots: &mut Slots, patch: Vec<Value>, key: &str) -> Result<(Vec<Value>, bool), StrategicError> {
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
                while let Some(at) = position(slots.live(), key, id)? {
                    slots.remove(at);
                }
            }
            Some("replace") => replaces = true,
            Some("merge") => return Err(StrategicError::MergeInList),
            Some(_) | None => return Err(unknown_directive(directive, map)),
        }
    }
    Ok((plain, replaces))
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
    let deleted = |item: &&Value| key.is_some() && item["$patch"] == "delete";
    let plain: Vec<&Value> = patch.iter().filter(|item| !deleted(item)).collect();
    let (mut at, mut wanted) = (0, order.iter());
    while let Some(item) = plain.get(at).filter(|_| !wanted.as_slice().is_empty()) {
        if directive_of(item).is_some() {
            at += 1;
        } else if let Some(next) = wanted.next()
            && identity(item, key)? == identity(next, key)?
        {
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
