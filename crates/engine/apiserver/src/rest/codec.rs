//! Bodies in and documents checked: the one place that calls the schema's functions.

use muster_schema::FieldError;
use muster_schema::decode::{self, DecodeError, Encoding};
use serde_json::Value;

use super::Call;
use crate::request::{BodyFormat, FieldValidation, body_format};
use crate::server::Served;
use crate::status::{Reason, Refusal};

/// Reads an object of a kind; unknown and repeated fields are treated as the request says.
pub(crate) fn decode(served: &Served, call: &mut Call) -> Result<Value, Refusal> {
    let encoding = encoding(call)?;
    decode_as(served, call, encoding)
}

/// The same, whatever the request says about its body.
pub(crate) fn decode_as(served: &Served, call: &mut Call, encoding: Encoding) -> Result<Value, Refusal> {
    let validation = call.query.field_validation()?;
    let decoded = decode::decode(&served.kind, encoding, &call.body, validation)
        .map_err(|error| refusal(&error, error.status_message(&served.kind)))?;
    call.warnings.extend(decoded.warnings);
    let mut value = decoded.value;
    muster_schema::prune::prune(&served.kind, &mut value);
    Ok(value)
}

/// Reads a document that is no stored kind (`DeleteOptions`, reviews, `Eviction`); an empty body is an empty document.
pub(crate) fn decode_message(call: &mut Call, message: &str) -> Result<Value, Refusal> {
    if call.body.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let decoded = decode::generic(&call.body, encoding(call)?, message, FieldValidation::Warn)
        .map_err(|error| refusal(&error, error.to_string()))?;
    call.warnings.extend(decoded.warnings);
    Ok(decoded.value)
}

/// Checks a document that a patch made as if it had been sent; with it the warnings.
pub(crate) fn recheck(
    served: &Served,
    value: &Value,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), Refusal> {
    let decoded = decode::value(&served.kind, value, validation)
        .map_err(|error| refusal(&error, error.status_message(&served.kind)))?;
    Ok((decoded.value, decoded.warnings))
}

fn encoding(call: &Call) -> Result<Encoding, Refusal> {
    Ok(match body_format(call.content_type.as_deref())? {
        BodyFormat::Json => Encoding::Json,
        BodyFormat::Yaml => Encoding::Yaml,
        BodyFormat::Protobuf => Encoding::Protobuf,
    })
}

fn refusal(error: &DecodeError, message: String) -> Refusal {
    if let DecodeError::TooLarge { .. } = error {
        return Refusal::new(Reason::RequestEntityTooLarge, message);
    }
    Refusal::bad_request(message)
}

/// Fills in defaults.
pub(crate) fn default(served: &Served, value: &mut Value) {
    muster_schema::default::apply(&served.kind, value);
}

/// Every field that is wrong; `old` on updates.
pub(crate) fn validate(served: &Served, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    muster_schema::validate::validate(&served.kind, new, old)
}
