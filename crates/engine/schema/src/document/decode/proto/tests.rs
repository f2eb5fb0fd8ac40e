//! Checked against the documents that `k8s.io/api` publishes of every kind, in JSON and in protobuf.

use super::*;
use crate::Catalog;
use crate::decode::{self, Encoding, FieldValidation};
use crate::document::vectors::{self, stem};

#[test]
fn every_published_kind_is_the_same_document_in_json_yaml_and_protobuf() {
    let Some(folder) = vectors::folder() else { return };
    let mut compared = 0;
    for kind in Catalog::builtin().kinds() {
        let Ok(json) = std::fs::read(folder.join(format!("{}.json", stem(kind)))) else {
            // Published by other modules, which carry no documents.
            assert!(kind.gvk.group.starts_with("api"), "no document of {}", stem(kind));
            continue;
        };
        let published: Value = serde_json::from_slice(&json).unwrap();
        let read = |encoding, body: &[u8]| {
            let decoded = decode::decode(kind, encoding, body, FieldValidation::Strict);
            decoded.unwrap_or_else(|error| panic!("{} {encoding:?}: {error}", stem(kind))).value
        };
        let protobuf = std::fs::read(folder.join(format!("{}.pb", stem(kind)))).unwrap();
        let yaml = std::fs::read(folder.join(format!("{}.yaml", stem(kind)))).unwrap();
        similar(&stem(kind), &published, &read(Encoding::Json, &json));
        similar(&stem(kind), &published, &read(Encoding::Protobuf, &protobuf));
        similar(&stem(kind), &published, &read(Encoding::Yaml, &yaml));
        compared += 1;
    }
    assert_eq!(compared, 56);
}

#[test]
fn messages_that_are_never_stored_are_read_from_protobuf_too() {
    let Some(folder) = vectors::folder() else { return };
    for (file, name) in [
        ("core.v1.DeleteOptions", "v1/DeleteOptions"),
        ("core.v1.Status", "v1/Status"),
        ("core.v1.Binding", "v1/Binding"),
        ("policy.v1.Eviction", "policy/v1/Eviction"),
        ("autoscaling.v1.Scale", "autoscaling/v1/Scale"),
        ("authentication.k8s.io.v1.TokenRequest", "authentication.k8s.io/v1/TokenRequest"),
        ("authentication.k8s.io.v1.TokenReview", "authentication.k8s.io/v1/TokenReview"),
        ("authorization.k8s.io.v1.SubjectAccessReview", "authorization.k8s.io/v1/SubjectAccessReview"),
        ("authorization.k8s.io.v1.SelfSubjectRulesReview", "authorization.k8s.io/v1/SelfSubjectRulesReview"),
    ] {
        let published: Value =
            serde_json::from_slice(&std::fs::read(folder.join(format!("{file}.json"))).unwrap()).unwrap();
        let body = std::fs::read(folder.join(format!("{file}.pb"))).unwrap();
        let decoded = decode::generic(&body, Encoding::Protobuf, name, FieldValidation::Strict);
        similar(file, &published, &decoded.unwrap_or_else(|error| panic!("{file}: {error}")).value);
    }
}

/// Equal, but that published `null` may be absent.
#[track_caller]
fn similar(what: &str, published: &Value, ours: &Value) {
    if let Some(path) = difference("", published, ours) {
        panic!("{what} differs at {path}");
    }
}

fn difference(path: &str, published: &Value, ours: &Value) -> Option<String> {
    match (published, ours) {
        (Value::Object(left), Value::Object(right)) => {
            let extra = right.keys().find(|name| !left.contains_key(*name));
            if let Some(name) = extra {
                return Some(format!("{path}.{name}: not published: {}", right[name]));
            }
            left.iter().find_map(|(name, value)| {
                difference(&format!("{path}.{name}"), value, right.get(name).unwrap_or(&Value::Null))
            })
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .enumerate()
            .find_map(|(index, (left, right))| difference(&format!("{path}[{index}]"), left, right)),
        (left, right) => (left != right).then(|| format!("{path}: {left} is published, ours is {right}")),
    }
}

#[test]
fn refuses_bytes_that_are_no_message() {
    let pod = Catalog::builtin().kind("", "v1", "Pod").unwrap();
    let error = |body: &[u8]| decode(&pod.schema, body).unwrap_err().to_string();
    assert_eq!(
        error(b"{}"),
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    );
    assert_eq!(error(b"k8s\0\x12\x05abc"), "proto: unexpected end of data");
    assert_eq!(error(b"k8s\0\x12\x02\x08\x01"), "proto: wrong wireType = 0 for field metadata");
    assert_eq!(error(b"k8s\0\x12\x05\x0a\x03\x0a\x01\xff"), "proto: field name is not UTF-8");
    assert_eq!(error(b"k8s\0\x0b"), "proto: wrong wireType = 3 for field 1");
}

#[test]
fn never_panics_on_damaged_bytes() {
    let Some(folder) = vectors::folder() else { return };
    let body = std::fs::read(folder.join("core.v1.Pod.pb")).unwrap();
    let pod = Catalog::builtin().kind("", "v1", "Pod").unwrap();
    let mut refused = 0;
    for at in (4..body.len()).step_by(7) {
        let mut damaged = body.clone();
        damaged[at] ^= 0xff;
        refused += usize::from(decode(&pod.schema, &damaged).is_err());
        refused += usize::from(decode(&pod.schema, &body[..at]).is_err());
    }
    assert!(refused > body.len() / 14, "{refused} of {}", body.len());
}
