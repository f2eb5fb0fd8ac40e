use std::sync::Arc;

use bytes::Bytes;
use muster_store::{Key, Payload};
use serde_json::json;

use super::*;

fn document() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "p", "namespace": "default", "uid": "u-1", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "2026-11-23T06:00:00Z", "labels": {"b": "2", "a": "\"quoted\""},
            "ownerReferences": [{"uid": "o-1"}],
        },
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running"},
    })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_read_is_the_document_at_the_revision_asked_for() {
    let object = Object::build(&document(), built_in_columns("pods")).unwrap();
    let mut expected = document();
    expected["metadata"]["resourceVersion"] = json!("42");
    assert_eq!(object.document(&stamp("v1", "Pod"), 42), expected);
    let mut metadata = Vec::new();
    object.write_metadata(&stamp("meta.k8s.io/v1", "PartialObjectMetadata"), 42, &mut metadata);
    let metadata: Value = serde_json::from_str(&text(metadata)).unwrap();
    assert_eq!(metadata["metadata"], expected["metadata"]);
    assert_eq!((metadata["kind"].as_str(), metadata.get("spec")), (Some("PartialObjectMetadata"), None));
}

#[test]
fn the_header_holds_what_filters_ask_for() {
    let object = Object::build(&document(), built_in_columns("pods")).unwrap();
    let header = object.header();
    assert_eq!(
        (header.label("a"), header.label("b"), header.label("c")),
        (Some("\"quoted\""), Some("2"), None)
    );
    assert_eq!((header.field("spec.nodeName"), header.field("status.phase")), (Some("n1"), Some("Running")));
    assert_eq!((header.field("spec.hostNetwork"), header.field("spec.unknown")), (Some("false"), None));
    assert_eq!((&*header.uid, header.generation, header.created_seconds), ("u-1", 2, 1_795_413_600));
    assert_eq!((&*header.owners, header.deletion), (&[Box::from("o-1")][..], Deletion::None));
}

#[test]
fn what_is_written_to_disk_is_read_back_the_same() {
    let object = Object::build(&document(), built_in_columns("pods")).unwrap();
    let mut bytes = Vec::new();
    object.encode(&mut bytes);
    let again = Object::decode(&Key::new("pods", "default", "p"), bytes.into()).unwrap();
    assert_eq!(again.header(), object.header());
    assert!(again.same_content(&object));
    assert_eq!(again.stored_document(9), object.stored_document(9));
}

#[test]
fn bytes_that_are_no_object_are_refused() {
    let key = Key::new("pods", "default", "p");
    for bytes in ["", "{}", "{}\n{}", "not json\n{}"] {
        assert!(Object::decode(&key, Bytes::from(bytes)).is_err(), "{bytes}");
    }
    assert_eq!(Object::build(&json!([]), &[]).unwrap_err(), BuildError::NotAnObject);
    let missing = Object::build(&json!({"kind": "Pod", "apiVersion": "v1"}), &[]).unwrap_err();
    assert_eq!(missing, BuildError::Field { path: "metadata" });
}

#[test]
fn stamps_are_shared() {
    assert!(Arc::ptr_eq(&stamp("v1", "Pod"), &stamp("v1", "Pod")));
}

fn machine() -> Value {
    json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "Machine",
        "metadata": {
            "name": "m1", "uid": "0b2f1de5-6f0e-4f57-9ee6-6a1a9c9b1c3d", "generation": 1,
            "creationTimestamp": "2026-11-23T06:00:00Z", "labels": {"team": "infra"},
            "deletionTimestamp": "2026-11-24T06:00:00Z",
        },
        "spec": {
            "site": "fra1", "rack": "fra1-r12", "serial": "SN-1", "role": "worker",
            "bmc": {"address": "redfish://10.0.0.1/redfish/v1/Systems/1", "secretRef": "bmc-fra1"},
        },
    })
}

#[test]
fn a_machine_is_stored_in_less_than_its_text_and_read_as_it_was() {
    let object = Object::build(&machine(), &[]).unwrap();
    let mut bytes = Vec::new();
    object.encode(&mut bytes);
    let text = machine().to_string().len();
    assert!(bytes.len() < text * 3 / 5, "{} of {text}", bytes.len());
    let again = Object::decode(&Key::new("machines.muster.dev", "", "m1"), bytes.into()).unwrap();
    assert_eq!((again.header(), again.size_bytes()), (object.header(), object.size_bytes()));
    let mut expected = machine();
    expected["metadata"]["resourceVersion"] = json!("7");
    assert_eq!(again.stored_document(7), expected);
    let mut metadata = Vec::new();
    again.write_metadata(&stamp("meta.k8s.io/v1", "PartialObjectMetadata"), 7, &mut metadata);
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    assert_eq!((&metadata["metadata"], metadata.get("spec")), (&expected["metadata"], None));
}

#[test]
fn what_was_written_before_objects_were_packed_is_still_read() {
    let line = r#"{"uid":"u-1","labels":[["a","\"quoted\""],["b","2"]],"owners":["o-1"],"fields":[["spec.nodeName","n1"]],"created":1795413600,"generation":2,"deletion":false,"metadata_end":20}"#;
    let document = r#"{"apiVersion":"muster.dev/v1alpha1","kind":"Machine","metadata":{"resourceVersion":"","name":"machine1"},"spec":{"site":"s"}}"#;
    let bytes = format!("{line}\n{document}");
    let object = Object::decode(&Key::new("machines.muster.dev", "", "machine1"), bytes.into()).unwrap();
    let header = object.header();
    assert_eq!((header.label("a"), header.field("spec.nodeName")), (Some("\"quoted\""), Some("n1")));
    assert_eq!((&*header.uid, header.generation, &*header.owners), ("u-1", 2, &[Box::from("o-1")][..]));
    assert_eq!(object.stored_document(3)["spec"], json!({"site": "s"}));
    let mut metadata = Vec::new();
    object.write_metadata(&stamp("v1", "P"), 3, &mut metadata);
    assert_eq!(
        text(metadata),
        r#"{"apiVersion":"v1","kind":"P","metadata":{"resourceVersion":"3","name":"machine1"}}"#
    );
}

#[test]
fn every_cut_of_a_stored_object_is_refused_or_told_apart() {
    let object = Object::build(&document(), built_in_columns("pods")).unwrap();
    let mut bytes = Vec::new();
    object.encode(&mut bytes);
    let key = Key::new("pods", "default", "p");
    for length in 0..bytes.len() {
        assert!(Object::decode(&key, Bytes::copy_from_slice(&bytes[..length])).is_err(), "{length}");
    }
}
