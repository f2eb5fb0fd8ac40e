use std::sync::Arc;

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
    assert_eq!((header.owners.as_slice(), header.deletion), (&[Box::from("o-1")][..], Deletion::None));
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
