use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::types::{
    Definitions, Field, Format, ListKind, MapKind, Node, NodeId, PatchStrategy, Scalar, Schema, Shape,
};

/// A pod-like type: containers by name with ports by containerPort, volumes by name with retainKeys, finalizers as
/// a set, args replaced, labels a map, strategy with retainKeys.
fn sample() -> Schema {
    let mut nodes = Vec::new();
    let mut add = |shape| {
        nodes.push(Node::new(shape));
        NodeId(nodes.len() as u32 - 1)
    };
    let text = add(Shape::Scalar(Scalar::String(Format::Plain)));
    let number = add(Shape::Scalar(Scalar::Integer));
    let texts = add(Shape::List { items: text, kind: ListKind::Atomic });
    let labels = add(Shape::Map { values: text, kind: MapKind::Granular });
    let plain = |node| (node, PatchStrategy::default());
    let by = |node, key: &str| {
        (node, PatchStrategy { merge: true, retain_keys: false, replace: false, merge_key: Some(key.into()) })
    };
    let port = add(object(&[("containerPort", plain(number)), ("name", plain(text))]));
    let ports = add(Shape::List { items: port, kind: ListKind::Atomic });
    let container = add(object(&[
        ("name", plain(text)),
        ("image", plain(text)),
        ("args", plain(texts)),
        ("ports", by(ports, "containerPort")),
    ]));
    let containers = add(Shape::List { items: container, kind: ListKind::Atomic });
    let set = (texts, PatchStrategy { merge: true, retain_keys: false, replace: false, merge_key: None });
    let root = add(object(&[
        ("containers", by(containers, "name")),
        ("finalizers", set),
        ("labels", plain(labels)),
        ("args", plain(texts)),
        ("kind", plain(text)),
    ]));
    Schema::new(Arc::new(Definitions { nodes, names: BTreeMap::new() }), root)
}

fn object(fields: &[(&str, (NodeId, PatchStrategy))]) -> Shape {
    let field = |(node, patch): &(NodeId, PatchStrategy)| Field {
        node: *node,
        required: false,
        patch: patch.clone(),
        wire: None,
        description: None,
    };
    Shape::Object {
        fields: fields.iter().map(|(name, known)| ((*name).into(), field(known))).collect(),
        definition: Some("io.k8s.Sample".into()),
        preserve_unknown: false,
        embedded: false,
        kind: MapKind::Granular,
    }
}

#[track_caller]
fn check(mut target: Value, patch: Value, expected: Value) {
    strategic(&sample(), &mut target, &patch).unwrap();
    assert_eq!(target, expected);
}

#[track_caller]
fn refuse(mut target: Value, patch: Value, expected: &str) {
    assert_eq!(strategic(&sample(), &mut target, &patch).unwrap_err().to_string(), expected);
}

#[test]
fn lists_merge_by_key_and_the_patch_items_keep_the_patch_order() {
    check(
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}),
        json!({"containers": [{"name": "c"}, {"name": "b", "image": "2"}]}),
        json!({"containers": [{"name": "c"}, {"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}),
    );
    check(
        json!({"containers": [{"name": "a", "ports": [{"containerPort": 1}]}]}),
        json!({"containers": [{"name": "a", "ports": [{"containerPort": 2}, {"containerPort": 1, "name": "x"}]}]}),
        json!({"containers": [{"name": "a", "ports": [{"containerPort": 2}, {"containerPort": 1, "name": "x"}]}]}),
    );
    check(
        json!({"args": ["a"], "containers": [{"name": "a", "args": ["x"]}]}),
        json!({"args": ["b"], "containers": [{"name": "a", "args": null}]}),
        json!({"args": ["b"], "containers": [{"name": "a"}]}),
    );
}

#[test]
fn directives_delete_and_replace() {
    check(
        json!({"containers": [{"name": "a"}, {"name": "b"}]}),
        json!({"containers": [{"$patch": "delete", "name": "a"}]}),
        json!({"containers": [{"name": "b"}]}),
    );
    check(
        json!({"containers": [{"name": "a"}, {"name": "b"}]}),
        json!({"containers": [{"name": "c"}, {"$patch": "replace"}]}),
        json!({"containers": [{"name": "c"}]}),
    );
    check(
        json!({"labels": {"a": "1"}, "kind": "x"}),
        json!({"labels": {"$patch": "replace", "b": "2"}}),
        json!({"labels": {"b": "2"}, "kind": "x"}),
    );
    check(json!({"labels": {"a": "1"}}), json!({"labels": {"$patch": "delete"}}), json!({"labels": {}}));
    check(json!({}), json!({"labels": {"$patch": "delete"}}), json!({}));
    check(
        json!({"kind": "x"}),
        json!({"$retainKeys": ["labels"], "labels": {"a": "1"}}),
        json!({"labels": {"a": "1"}}),
    );
}

#[test]
fn scalar_lists_are_sets() {
    check(
        json!({"finalizers": ["a", "b"]}),
        json!({"finalizers": ["b", "c"]}),
        json!({"finalizers": ["a", "b", "c"]}),
    );
    check(
        json!({"finalizers": ["a", "b"]}),
        json!({"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}),
        json!({"finalizers": ["c", "b"]}),
    );
    check(json!({}), json!({"$deleteFromPrimitiveList/finalizers": ["a"]}), json!({}));
}

#[test]
fn the_order_directive_orders_and_keeps_unknown_items_where_the_server_had_them() {
    check(
        json!({"containers": [{"name": "a"}, {"name": "x"}, {"name": "b"}]}),
        json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
        json!({"containers": [{"name": "x"}, {"name": "b"}, {"name": "a"}]}),
    );
    check(
        json!({"finalizers": ["a", "b"]}),
        json!({"$setElementOrder/finalizers": ["c", "b"], "finalizers": ["c"]}),
        json!({"finalizers": ["c", "a", "b"]}),
    );
    refuse(
        json!({"finalizers": ["a"]}),
        json!({"$setElementOrder/finalizers": ["b", "a"], "finalizers": ["a", "b"]}),
        "The order in patch list:\n[\"a\",\"b\"]\n doesn't match $setElementOrder list:\n[\"b\",\"a\"]\n",
    );
}

#[test]
fn nulls_remove_and_never_arrive() {
    check(
        json!({"kind": "x"}),
        json!({"kind": null, "labels": {"a": null, "b": "1"}}),
        json!({"labels": {"b": "1"}}),
    );
}

#[test]
fn wrong_patches_are_refused_in_upstream_words() {
    refuse(
        json!({"containers": [{"name": "a"}]}),
        json!({"containers": [{"image": "x"}]}),
        "map: {\"image\":\"x\"} does not contain declared merge key: name",
    );
    refuse(json!({}), json!({"$patch": "frob"}), "unknown patch type: frob in map: {\"$patch\":\"frob\"}");
    refuse(
        json!({"containers": [{"name": "a"}]}),
        json!({"containers": ["a"]}),
        "list element types are not identical",
    );
    refuse(json!({}), json!({"$retainKeys": ["a"], "kind": "x"}), "invalid patch format of retainKeys");
    refuse(json!({}), json!({"$setElementOrder": []}), "invalid patch format of setElementOrder list");
    refuse(
        json!({"other": {}}),
        json!({"other": {"a": 1}}),
        "unable to find api field in struct io.k8s.Sample for the json field \"other\"",
    );
    refuse(json!([]), json!({}), "invalid JSON document");
}

#[test]
fn a_json_patch_is_applied_whole_or_not_at_all() {
    let mut target = json!({"a": 1});
    json_patch(
        &mut target,
        &json!([{"op": "add", "path": "/b", "value": [1]}, {"op": "add", "path": "/b/-", "value": 2}]),
    )
    .unwrap();
    assert_eq!(target, json!({"a": 1, "b": [1, 2]}));
    let failing = json!([{"op": "remove", "path": "/b"}, {"op": "test", "path": "/a", "value": 2}]);
    let error = json_patch(&mut target, &failing).unwrap_err();
    assert!(matches!(error, JsonPatchError::Apply { .. }), "{error}");
    assert_eq!(target, json!({"a": 1, "b": [1, 2]}));
    let error = json_patch(&mut target, &json!([{"op": "frob"}])).unwrap_err();
    assert!(matches!(error, JsonPatchError::Decode { .. }), "{error}");
}

#[test]
fn a_json_patch_of_too_many_operations_is_refused_unread() {
    let many: Vec<Value> = (0..10_001).map(|_| json!({"op": "test", "path": "/a", "value": 1})).collect();
    let error = json_patch(&mut json!({"a": 1}), &Value::Array(many)).unwrap_err();
    assert_eq!(error.to_string(), "The allowed maximum operations in a JSON patch is 10000, got 10001");
}

#[test]
fn a_merge_patch_merges_objects_and_replaces_the_rest() {
    let mut target = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
    json_merge(&mut target, &json!({"a": {"b": null, "d": 3}, "l": [3]}));
    assert_eq!(target, json!({"a": {"c": 2, "d": 3}, "l": [3]}));
}
