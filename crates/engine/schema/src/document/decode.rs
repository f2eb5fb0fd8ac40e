//! Request bodies to documents: JSON, YAML and protobuf, checked against the type while they are read.
//!
//! A built-in document comes out as the reference implementation would write it again: unknown fields and `null`
//! are gone, zero values stand exactly where they are always written, quantities and times are canonical. A custom
//! resource comes out as sent; it is pruned, defaulted and validated by its own schema afterwards.

mod context;
mod error;
pub(crate) mod leaf;
pub(crate) mod proto;
mod seed;
mod shape;
mod yaml;

use serde::de::DeserializeSeed;
use serde_json::Value;

use crate::catalog::Catalog;
use crate::kind::Kind;
use crate::types::Schema;
use context::Context;
pub use error::DecodeError;
pub(crate) use shape::{finish, zero};

/// Largest body that is read, in bytes; the limit of the reference implementation.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

/// What is done about unknown and duplicate fields (`fieldValidation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped without a word.
    Ignore,
    /// They are dropped and told as warnings.
    Warn,
    /// They are an error.
    Strict,
}

/// A document that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The document, with `apiVersion` and `kind`.
    pub value: Value,
    /// One text per unknown or duplicate field, where those are only warned of.
    pub warnings: Vec<String>,
}

/// Reads an object of a kind.
pub fn decode(
    kind: &Kind,
    encoding: Encoding,
    body: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    let mut decoded = read(&kind.schema, encoding, body, validation)?;
    check_type(&mut decoded.value, &kind.gvk.api_version(), &kind.gvk.kind)?;
    Ok(decoded)
}

/// Checks a document that is already parsed (the outcome of a patch) as if it had been sent.
pub fn value(kind: &Kind, value: &Value, validation: FieldValidation) -> Result<Decoded, DecodeError> {
    let mut context = Context::default();
    let outcome = seed::Seed::root(&kind.schema, &mut context).deserialize(value);
    let mut decoded = context.conclude(outcome, validation)?;
    check_type(&mut decoded.value, &kind.gvk.api_version(), &kind.gvk.kind)?;
    Ok(decoded)
}

/// Reads a message that is never stored (`DeleteOptions`, `authentication.k8s.io/v1/TokenRequest`); `name` is what
/// [`Catalog::message`] takes. Where the name has an `apiVersion`, that and the kind are checked and filled in.
pub fn generic(
    body: &[u8],
    encoding: Encoding,
    name: &str,
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    let schema = Catalog::builtin()
        .message(name)
        .ok_or_else(|| DecodeError::UnknownMessage { name: name.to_owned() })?;
    let mut decoded = read(&schema, encoding, body, validation)?;
    if let Some((api_version, kind)) = name.rsplit_once('/') {
        check_type(&mut decoded.value, api_version, kind)?;
    }
    Ok(decoded)
}

fn read(
    schema: &Schema,
    encoding: Encoding,
    body: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(DecodeError::TooLarge { limit_bytes: BODY_BYTES_MAX });
    }
    let decoded = match encoding {
        Encoding::Json => json(schema, body, validation)?,
        Encoding::Yaml => yaml::read(schema, body, validation)?,
        Encoding::Protobuf => Decoded {
            value: proto::decode(schema, body).map_err(DecodeError::Protobuf)?,
            warnings: Vec::new(),
        },
    };
    if decoded.value.is_object() { Ok(decoded) } else { Err(DecodeError::NotAnObject) }
}

fn json(schema: &Schema, body: &[u8], validation: FieldValidation) -> Result<Decoded, DecodeError> {
    let mut context = Context::default();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let outcome = seed::Seed::root(schema, &mut context).deserialize(&mut reader);
    let outcome = outcome.and_then(|value| reader.end().map(|()| value));
    context.conclude(outcome, validation)
}

/// Compares `apiVersion` and `kind` with what the request's path says; absent ones are filled in.
fn check_type(value: &mut Value, api_version: &str, kind: &str) -> Result<(), DecodeError> {
    let found = |field: &str| value[field].as_str().unwrap_or("").to_owned();
    let (found_version, found_kind) = (found("apiVersion"), found("kind"));
    if !found_version.is_empty() && found_version != api_version {
        return Err(DecodeError::WrongVersion { found: found_version, expected: api_version.to_owned() });
    }
    if !found_kind.is_empty() && found_kind != kind {
        return Err(DecodeError::WrongKind { found: found_kind, expected: kind.to_owned() });
    }
    value["apiVersion"] = api_version.into();
    value["kind"] = kind.into();
    Ok(())
}

#[cfg(test)]
mod tests;
