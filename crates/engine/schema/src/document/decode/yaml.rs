//! YAML bodies: the same reader over a YAML parser, with the rules of YAML 1.1 for booleans.

use serde::de::DeserializeSeed;
use serde_saphyr::{DuplicateKeyPolicy, Options};

use super::context::Context;
use super::error::DecodeError;
use super::seed::Seed;
use super::{Decoded, FieldValidation};
use crate::types::Schema;

/// The parser's own limits hold: 64 levels; twice as many overflow the stack of an unoptimised build.
fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! { duplicate_keys: duplicate_keys, with_snippet: false }
}

pub(super) fn read(
    schema: &Schema,
    body: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    let mut context = Context::default();
    let pass = options(DuplicateKeyPolicy::PassThrough);
    let outcome = serde_saphyr::with_deserializer_from_slice_with_options(body, pass, |reader| {
        Seed::root(schema, &mut context).deserialize(reader)
    });
    if validation != FieldValidation::Ignore
        && let Some(name) = context.take_duplicates()
    {
        let line = duplicate_line(body).map_or_else(String::new, |line| format!("line {line}: "));
        context.note_first(format!("yaml: unmarshal errors:\n  {line}key {name:?} already set in map"));
    }
    context.conclude(outcome, validation)
}

/// Line of the first repeated key; only wanted for a message, so the text is parsed again.
fn duplicate_line(body: &[u8]) -> Option<u64> {
    let outcome: Result<serde_json::Value, serde_saphyr::Error> =
        serde_saphyr::from_slice_with_options(body, options(DuplicateKeyPolicy::Error));
    outcome.err()?.location().map(|location| location.line())
}
