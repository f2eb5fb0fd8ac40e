//! Patch: JSON, merge and strategic merge. Server-side apply is refused by name.

use http::StatusCode;
use muster_schema::merge;
use serde_json::Value;

use super::{Call, Target, change, codec, meta};
use crate::server::{ApiServer, Origin, Reply, object};
use crate::status::{Reason, Refusal};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Merge,
    Strategic,
}

const FORMS: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

pub(super) async fn patch(server: &ApiServer, call: &mut Call, target: &Target) -> Result<Reply, Refusal> {
    let format = call.accept.object()?;
    let form = form(call, target)?;
    let patch = read(call)?;
    let served = std::sync::Arc::clone(&target.served);
    let validation = call.query.field_validation()?;
    let mut warnings = Vec::new();
    let changed = change(server, call, target, |old| {
        let mut new = old.clone();
        apply(&served, form, &mut new, &patch)?;
        if [("/metadata/name", &target.name), ("/metadata/namespace", &target.namespace)]
            .iter()
            .any(|(path, wanted)| meta::text(&new, path) != wanted.as_str())
        {
            return Err(Refusal::bad_request(
                "the name and namespace of an object cannot be changed by a patch",
            ));
        }
        let (checked, found) = codec::recheck(&served, &new, validation)?;
        warnings = found;
        Ok(checked)
    })
    .await?;
    call.warnings.append(&mut warnings);
    let now = server.inner().clock.now();
    Ok(object(StatusCode::OK, &target.served, changed.entry(), format, now))
}

fn form(call: &Call, target: &Target) -> Result<Form, Refusal> {
    let media = call.content_type.as_deref().unwrap_or("").split(';').next().unwrap_or("").trim();
    match media {
        "application/json-patch+json" => Ok(Form::Json),
        "application/merge-patch+json" => Ok(Form::Merge),
        "application/strategic-merge-patch+json" if target.served.origin == Origin::BuiltIn => {
            Ok(Form::Strategic)
        }
        "application/strategic-merge-patch+json" => Err(Refusal::unsupported_media_type(&FORMS[..2])),
        "application/apply-patch+yaml" | "application/apply-patch+cbor" => Err(Refusal::new(
            Reason::UnsupportedMediaType,
            format!(
                "server-side apply is not served yet: use client-side apply (kubectl apply --server-side=false), \
                 or a patch of one of the media types {}",
                FORMS.join(", ")
            ),
        )),
        _ => Err(Refusal::unsupported_media_type(FORMS)),
    }
}

fn read(call: &Call) -> Result<Value, Refusal> {
    serde_json::from_slice(&call.body)
        .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))
}

fn apply(
    served: &crate::server::Served,
    form: Form,
    target: &mut Value,
    patch: &Value,
) -> Result<(), Refusal> {
    match form {
        Form::Merge => {
            if !patch.is_object() {
                return Err(Refusal::bad_request("a merge patch of an object must be a JSON object"));
            }
            merge::json_merge(target, patch);
            Ok(())
        }
        Form::Strategic => merge::strategic(&served.kind.schema, target, patch)
            .map_err(|error| Refusal::bad_request(error.to_string())),
        Form::Json => merge::json_patch(target, patch).map_err(|error| match error {
            merge::JsonPatchError::Decode { .. } => Refusal::bad_request(error.to_string()),
            merge::JsonPatchError::TooManyOperations { .. } => {
                Refusal::new(Reason::RequestEntityTooLarge, error.to_string())
            }
            merge::JsonPatchError::Apply { .. } => Refusal::new(
                Reason::Invalid,
                format!("the server rejected our request due to an error in our request: {error}"),
            ),
        }),
    }
}
