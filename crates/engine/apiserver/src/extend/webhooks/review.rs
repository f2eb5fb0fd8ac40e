//! The question and its answer: `AdmissionReview`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_schema::Gvk;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Attempt;
use crate::authn::Identity;

/// A version of `AdmissionReview` that both sides know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V1Beta1,
}

impl Version {
    /// The first known one in a webhook's order of preference.
    pub(super) fn first(names: &[String]) -> Option<Self> {
        names.iter().find_map(|name| match name.as_str() {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        })
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

/// In which version of its kind the object is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    pub(super) kind: &'a Gvk,
    /// Group, version and plural name.
    pub(super) resource: (&'a str, &'a str, &'a str),
    pub(super) object: Option<&'a Value>,
    pub(super) old: Option<&'a Value>,
}

fn kind(gvk: &Gvk) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

fn resource((group, version, resource): (&str, &str, &str)) -> Value {
    json!({"group": group, "version": version, "resource": resource})
}

/// `request` of the review, without the documents: what match conditions see too.
pub(super) fn request(
    attempt: &Attempt<'_>,
    who: &Identity,
    shown: &Shown<'_>,
    asked: (&Gvk, (&str, &str, &str)),
    dry_run: bool,
) -> Map<String, Value> {
    let (asked_kind, asked_resource) = asked;
    let mut out = Map::new();
    out.insert("kind".into(), kind(shown.kind));
    out.insert("resource".into(), resource(shown.resource));
    out.insert("requestKind".into(), kind(asked_kind));
    out.insert("requestResource".into(), resource(asked_resource));
    let subresource = &attempt.target.subresource;
    if !subresource.is_empty() {
        out.insert("subResource".into(), json!(subresource));
        out.insert("requestSubResource".into(), json!(subresource));
    }
    for (key, text) in [("name", attempt.name), ("namespace", attempt.namespace())] {
        if !text.is_empty() {
            out.insert(key.into(), json!(text));
        }
    }
    out.insert("operation".into(), json!(attempt.operation.word()));
    out.insert("userInfo".into(), who.document());
    out.insert("dryRun".into(), json!(dry_run));
    out.insert("options".into(), attempt.options.clone());
    out
}

#[derive(Serialize)]
struct Review<'a> {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    request: Request<'a>,
}

#[derive(Serialize)]
struct Request<'a> {
    uid: &'a str,
    #[serde(flatten)]
    rest: &'a Map<String, Value>,
    object: Option<&'a Value>,
    #[serde(rename = "oldObject")]
    old: Option<&'a Value>,
}

/// The question as bytes.
pub(super) fn encode(
    version: Version,
    uid: &str,
    request: &Map<String, Value>,
    shown: &Shown<'_>,
) -> Vec<u8> {
    let request = Request { uid, rest: request, object: shown.object, old: shown.old };
    let review = Review { kind: "AdmissionReview", api_version: version.api_version(), request };
    serde_json::to_vec(&review).expect("a review is JSON")
}

/// The answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answered {
    kind: String,
    api_version: String,
    response: Option<Response>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Response {
    uid: String,
    allowed: bool,
    status: Option<Value>,
    patch: Option<String>,
    patch_type: Option<String>,
    audit_annotations: Map<String, Value>,
    warnings: Vec<String>,
}

/// What a webhook decided.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Verdict {
    pub(super) allowed: bool,
    pub(super) status: Option<Value>,
    pub(super) patch: Option<Patch>,
    pub(super) annotations: Vec<(String, String)>,
    pub(super) warnings: Vec<String>,
}

/// A change of the object: the encoded operations, and of which form they are.
#[derive(Debug, PartialEq)]
pub(super) struct Patch {
    pub(super) form: String,
    pub(super) bytes: Vec<u8>,
}

/// Reads an answer; what is wrong with it, in upstream's words.
pub(super) fn decode(version: Version, uid: &str, mutating: bool, bytes: &[u8]) -> Result<Verdict, String> {
    let answered: Answered = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let Some(response) = answered.response else { return Err("webhook response was absent".to_owned()) };
    if version == Version::V1 {
        if response.uid != uid {
            return Err(format!("expected response.uid={uid:?}, got {:?}", response.uid));
        }
        let found = (answered.api_version.as_str(), answered.kind.as_str());
        if found != (version.api_version(), "AdmissionReview") {
            let (api_version, kind) = found;
            return Err(format!(
                "expected webhook response of {}, Kind=AdmissionReview, got {api_version}, Kind={kind}",
                version.api_version()
            ));
        }
    }
    let patch = patch(version, mutating, response.patch, response.patch_type)?;
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(Verdict {
        allowed: response.allowed,
        status: response.status,
        patch,
        annotations: response.audit_annotations.into_iter().map(|(key, value)| (key, text(value))).collect(),
        warnings: response.warnings,
    })
}

fn patch(
    version: Version,
    mutating: bool,
    patch: Option<String>,
    form: Option<String>,
) -> Result<Option<Patch>, String> {
    let patch = patch.filter(|text| !text.is_empty());
    let refuse = |text: &str| Err(text.to_owned());
    let form = match (mutating, &patch, form) {
        (false, Some(_), _) if version == Version::V1 => {
            return refuse("validating webhook may not return response.patch");
        }
        (false, None, Some(_)) if version == Version::V1 => {
            return refuse("validating webhook may not return response.patchType");
        }
        (false, _, _) | (true, None, None) => return Ok(None),
        (true, Some(_), None) if version == Version::V1 => {
            return refuse("webhook returned response.patch but not response.patchType");
        }
        (true, None, Some(_)) => return refuse("webhook returned response.patchType but not response.patch"),
        (true, Some(_), None) => "JSONPatch".to_owned(),
        (true, Some(_), Some(form)) if form.is_empty() => {
            return refuse("webhook returned invalid response.patchType of \"\"");
        }
        (true, Some(_), Some(form)) => form,
    };
    let bytes =
        STANDARD.decode(patch.unwrap_or_default()).map_err(|error| format!("response.patch: {error}"))?;
    Ok(Some(Patch { form, bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mutating: bool, response: Value, expected: Result<bool, &str>) {
        let mut review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"});
        if !response.is_null() {
            review["response"] = response;
        }
        let decoded = decode(Version::V1, "u", mutating, review.to_string().as_bytes());
        assert_eq!(decoded.map(|verdict| verdict.allowed), expected.map_err(str::to_owned), "{review}");
    }

    #[test]
    fn an_answer_must_be_to_the_question_and_fit_its_stage() {
        check(true, Value::Null, Err("webhook response was absent"));
        check(true, json!({"uid": "x", "allowed": true}), Err(r#"expected response.uid="u", got "x""#));
        check(true, json!({"uid": "u", "allowed": true}), Ok(true));
        check(false, json!({"uid": "u"}), Ok(false));
        let patch = STANDARD.encode("[]");
        let patched = json!({"uid": "u", "allowed": true, "patch": patch, "patchType": "JSONPatch"});
        check(true, patched.clone(), Ok(true));
        check(false, patched, Err("validating webhook may not return response.patch"));
        let untyped = json!({"uid": "u", "allowed": true, "patch": patch});
        check(true, untyped, Err("webhook returned response.patch but not response.patchType"));
        let empty = json!({"uid": "u", "allowed": true, "patchType": "JSONPatch"});
        check(true, empty, Err("webhook returned response.patchType but not response.patch"));
    }

    #[test]
    fn an_answer_of_another_version_is_refused() {
        let review = json!({"kind": "Status", "apiVersion": "v1", "response": {"uid": "u", "allowed": true}});
        let refused = decode(Version::V1, "u", false, review.to_string().as_bytes()).unwrap_err();
        assert_eq!(
            refused,
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got v1, Kind=Status"
        );
    }
}
