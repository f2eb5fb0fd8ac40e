//! Values that are messages on the wire and leaves in a document.

use serde_json::Value;

use super::reader::{Reader, Wired};
use super::{ProtobufError, Result};
use crate::decode::leaf::{self, Fraction};

/// The varints of a message, by field number.
pub(super) fn sub(name: &str, wired: Wired<'_>) -> Result<Vec<(u32, i64)>> {
    let mut reader = Reader::new(wired.bytes(name)?);
    let mut found = Vec::new();
    while let Some((number, wired)) = reader.next()? {
        if let Wired::Varint(value) = wired {
            found.push((number, value.cast_signed()));
        }
    }
    Ok(found)
}

/// Seconds of the year 1, which stands for no time.
const NO_TIME: i64 = -62_135_596_800;

/// No time is an empty message too.
pub(super) fn time(name: &str, wired: Wired<'_>, fraction: Fraction) -> Result<Value> {
    if wired.bytes(name)?.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    for (number, value) in sub(name, wired)? {
        match number {
            1 => seconds = value,
            2 => nanos = value,
            _ => {}
        }
    }
    if seconds == NO_TIME {
        return Ok(Value::Null);
    }
    Ok(leaf::format_time(i128::from(seconds) * 1_000_000_000 + i128::from(nanos), fraction).into())
}

pub(super) fn int_or_string(name: &str, wired: Wired<'_>) -> Result<Value> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    let mut reader = Reader::new(wired.bytes(name)?);
    while let Some((field, wired)) = reader.next()? {
        match field {
            1 => is_text = wired.varint(name)? == 1,
            2 => number = wired.varint(name)?.cast_signed(),
            3 => text = wired.text(name)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

pub(super) fn wrapped_text(name: &str, wired: Wired<'_>) -> Result<String> {
    let mut text = String::new();
    let mut reader = Reader::new(wired.bytes(name)?);
    while let Some((number, wired)) = reader.next()? {
        if number == 1 {
            text = wired.text(name)?;
        }
    }
    Ok(text)
}

/// `RawExtension`, `FieldsV1`, `JSON`: JSON as bytes in field 1.
pub(super) fn raw(name: &str, wired: Wired<'_>) -> Result<Value> {
    let mut bytes = &[][..];
    let mut reader = Reader::new(wired.bytes(name)?);
    while let Some((number, wired)) = reader.next()? {
        if number == 1 {
            bytes = wired.bytes(name)?;
        }
    }
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(bytes).map_err(|_| ProtobufError::Json { field: name.to_owned() })
}
