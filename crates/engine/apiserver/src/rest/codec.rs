//! Bodies in and documents checked: the one place that calls the schema's functions.

use muster_schema::FieldError;
use serde_json::Value;

use super::Call;
use crate::request::{BodyFormat, body_format};
use crate::server::Served;
use crate::status::Refusal;

/// Reads an object of a kind: parsed, unknown fields treated as the request says.
pub(crate) fn decode(served: &Served, call: &mut Call) -> Result<Value, Refusal> {
    let value = parse(call)?;
    let gvk = &served.kind.gvk;
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("");
    check_type(&gvk.api_version(), &gvk.kind, text("apiVersion"), text("kind"))?;
    Ok(value)
}

fn check_type(version: &str, kind: &str, found_version: &str, found_kind: &str) -> Result<(), Refusal> {
    if found_version != version {
        return Err(Refusal::bad_request(format!(
            "the API version in the data ({found_version}) does not match the expected API version ({version})"
        )));
    }
    if found_kind != kind {
        return Err(Refusal::bad_request(format!(
            "the kind in the data ({found_kind}) does not match the expected kind ({kind})"
        )));
    }
    Ok(())
}

/// Reads a document that is no stored kind (`DeleteOptions`, reviews, `Eviction`); an empty body is an empty document.
pub(crate) fn decode_message(call: &mut Call, _message: &str) -> Result<Value, Refusal> {
    if call.body.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    parse(call)
}

fn parse(call: &Call) -> Result<Value, Refusal> {
    let refuse = |error: &dyn std::fmt::Display| {
        Refusal::bad_request(format!("the object provided is unrecognized: {error}"))
    };
    match body_format(call.content_type.as_deref())? {
        BodyFormat::Json => serde_json::from_slice(&call.body).map_err(|error| refuse(&error)),
        BodyFormat::Yaml => serde_saphyr::from_slice(&call.body).map_err(|error| refuse(&error)),
        BodyFormat::Protobuf => Err(Refusal::unsupported_media_type(&["application/json"])),
    }
}

/// Fills in defaults.
pub(crate) fn default(_served: &Served, _value: &mut Value) {}

/// Every field that is wrong; `old` on updates.
pub(crate) fn validate(_served: &Served, _new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    Vec::new()
}

/// Checks a document that a patch made as if it had been sent; with it the warnings.
pub(crate) fn recheck(
    _served: &Served,
    value: Value,
    _validation: crate::request::FieldValidation,
) -> Result<(Value, Vec<String>), Refusal> {
    Ok((value, Vec::new()))
}
