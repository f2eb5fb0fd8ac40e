//! Leaves in their canonical form: integers that fit, quantities, times, durations, base64.

mod duration;
mod quantity;

use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine};
use serde_json::Value;

pub(crate) use duration::{format as format_duration, parse as parse_duration};
pub(crate) use quantity::canonical as canonical_quantity;

use crate::types::{Format, Scalar};

/// How wide an integer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// 32 bits.
    Int32,
    /// 64 bits.
    Int64,
}

/// Why a leaf is not of its type.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// Another JSON type, or a number that does not fit: what was found.
    Type(String),
    /// A text that does not say what it should: why.
    Text(String),
}

/// The value in canonical form; `null` stays `null`.
pub(crate) fn read(scalar: Scalar, width: Width, value: Value) -> Result<Value, Wrong> {
    if value.is_null() {
        return Ok(value);
    }
    match scalar {
        Scalar::String(format) => {
            let Value::String(text) = value else { return Err(wrong(&value)) };
            string(format, text).map(Value::String)
        }
        Scalar::Boolean if value.is_boolean() => Ok(value),
        Scalar::Number if value.is_number() => Ok(value),
        Scalar::Integer => integer(width, value),
        Scalar::IntOrString if value.is_string() => Ok(value),
        Scalar::IntOrString => integer(Width::Int32, value),
        Scalar::Quantity => match &value {
            Value::String(text) => quantity(text),
            Value::Number(number) => quantity(&number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(wrong(&value)),
        },
        Scalar::Boolean | Scalar::Number => Err(wrong(&value)),
    }
}

fn wrong(value: &Value) -> Wrong {
    Wrong::Type(super::shape::json_type(value).to_owned())
}

fn integer(width: Width, value: Value) -> Result<Value, Wrong> {
    let Value::Number(number) = &value else { return Err(wrong(&value)) };
    let fits = |whole: i64| width == Width::Int64 || i32::try_from(whole).is_ok();
    if number.as_i64().is_some_and(fits) { Ok(value) } else { Err(Wrong::Type(format!("number {number}"))) }
}

fn quantity(text: &str) -> Result<Value, Wrong> {
    canonical_quantity(text).map(Value::String).ok_or_else(|| Wrong::Text(quantity::SYNTAX.to_owned()))
}

fn string(format: Format, text: String) -> Result<String, Wrong> {
    match format {
        Format::Plain => Ok(text),
        Format::Bytes => bytes(text),
        Format::Duration => match parse_duration(&text) {
            Some(nanos) => Ok(format_duration(nanos)),
            None => Err(Wrong::Text(format!("time: invalid duration {text:?}"))),
        },
        Format::Time => time(&text).map(|time| format_time(time.as_nanosecond(), Fraction::None)),
        Format::MicroTime => time(&text).map(|time| format_time(time.as_nanosecond(), Fraction::Micros)),
    }
}

/// Line ends within base64 are allowed, as Go allows them, and dropped.
fn bytes(text: String) -> Result<String, Wrong> {
    let text = if text.contains(['\r', '\n']) { text.replace(['\r', '\n'], "") } else { text };
    let Err(error) = STANDARD.decode(&text) else { return Ok(text) };
    let at = match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
        DecodeError::InvalidLength(length) => length,
        DecodeError::InvalidPadding => text.len(),
    };
    Err(Wrong::Text(format!("illegal base64 data at input byte {at}")))
}

fn time(text: &str) -> Result<jiff::Timestamp, Wrong> {
    let wrong = || {
        Wrong::Text(format!(
            "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": write an RFC 3339 time such as \
             2006-01-02T15:04:05Z"
        ))
    };
    if text.as_bytes().get(10) != Some(&b'T') {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// How much of a second is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fraction {
    /// Whole seconds.
    None,
    /// Six digits.
    Micros,
}

/// RFC 3339 in UTC; what lies outside the years 1 to 9999 is clamped by the caller's source formats.
pub(crate) fn format_time(nanos: i128, fraction: Fraction) -> String {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
    let whole = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    let text = whole.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    match fraction {
        Fraction::None => format!("{text}Z"),
        Fraction::Micros => format!("{text}.{:06}Z", nanos.rem_euclid(1_000_000_000) / 1000),
    }
}

#[cfg(test)]
mod tests;
