use serde_json::json;

use super::*;
use crate::decode::{self, Encoding, FieldValidation};
use crate::document::vectors;
use crate::{Catalog, Kind};

fn read(kind: &Kind, encoding: Encoding, body: &[u8]) -> Value {
    decode::decode(kind, encoding, body, FieldValidation::Strict).unwrap().value
}

#[test]
fn every_published_kind_is_written_byte_for_byte_as_published() {
    let Some(folder) = vectors::folder() else { return };
    let mut differ = Vec::new();
    for kind in Catalog::builtin().kinds() {
        let Ok(published) = std::fs::read(folder.join(format!("{}.pb", vectors::stem(kind)))) else {
            continue;
        };
        let value = read(kind, Encoding::Protobuf, &published);
        let written = protobuf(&kind.schema, &value).unwrap();
        assert_eq!(read(kind, Encoding::Protobuf, &written), value, "{}", vectors::stem(kind));
        if written != published {
            differ.push(kind.resource());
        }
    }
    assert_eq!(differ, [""; 0]);
}

#[test]
fn a_small_document_comes_back_as_it_went() {
    let catalog = Catalog::builtin();
    for (group, kind, sent) in [
        (
            "apps",
            "Deployment",
            json!({"metadata": {"name": "a"}, "spec": {"replicas": 0, "template": {"spec": {
            "nodeSelector": {"a": ""}, "containers": [{"name": "c", "env": [{"name": "X", "value": ""}]}]}}}}),
        ),
        (
            "",
            "Service",
            json!({"spec": {"ports": [{"port": 1, "targetPort": "web"}, {"port": 2, "targetPort": 0}]}}),
        ),
        ("", "Secret", json!({"data": {"k": "AAEC", "empty": ""}, "immutable": false})),
        (
            "coordination.k8s.io",
            "Lease",
            json!({"spec": {"renewTime": "1969-12-31T23:59:59.5Z", "leaseTransitions": -1}}),
        ),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            json!({"spec": {"versions": [{"name": "v1", "schema": {
            "openAPIV3Schema": {"type": "object", "default": {"a": [1, null]}, "properties": {
                "x": {"items": {"type": "string"}, "additionalProperties": false},
                "y": {"additionalProperties": {"maximum": 1.5}}}}}}]}}),
        ),
    ] {
        let kind = catalog.kind(group, "v1", kind).unwrap();
        let value = decode::value(kind, &sent, FieldValidation::Strict).unwrap().value;
        let body = protobuf(&kind.schema, &value).unwrap();
        assert_eq!(read(kind, Encoding::Protobuf, &body), value);
    }
}

#[test]
fn refuses_a_value_that_is_not_of_its_type() {
    let kind = Catalog::builtin().kind("", "v1", "ConfigMap").unwrap();
    let error = protobuf(&kind.schema, &json!({"data": {"a": 1}})).unwrap_err();
    assert_eq!(error.to_string(), "data is not what its type says");
}
