use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::pattern::Pattern;
use crate::types::{Bound, Definitions, Field, Format, Limits, MapKind, Node, PatchStrategy};

struct Arena(Definitions);

impl Arena {
    fn add(&mut self, node: Node) -> NodeId {
        self.0.nodes.push(node);
        NodeId(self.0.nodes.len() as u32 - 1)
    }

    fn leaf(&mut self, scalar: Scalar) -> NodeId {
        self.add(Node::new(Shape::Scalar(scalar)))
    }

    fn object(&mut self, fields: &[(&str, NodeId, bool)]) -> NodeId {
        self.add(Node::new(object(fields)))
    }
}

fn object(fields: &[(&str, NodeId, bool)]) -> Shape {
    let field = |node, required| Field {
        node,
        required,
        patch: PatchStrategy::default(),
        wire: None,
        description: None,
    };
    let fields: BTreeMap<_, _> =
        fields.iter().map(|(name, node, required)| ((*name).into(), field(*node, *required))).collect();
    Shape::Object {
        fields,
        definition: None,
        preserve_unknown: false,
        embedded: false,
        kind: MapKind::Granular,
    }
}

/// `{spec: {replicas!: int 0..10, name: string, ports: map-list by port, tags: set, labels: map, free: any}}`
fn sample() -> Schema {
    let mut arena = Arena(Definitions::default());
    let mut replicas = Node::new(Shape::Scalar(Scalar::Integer));
    replicas.limits = Some(Box::new(Limits {
        minimum: Some((0.0, Bound::Inclusive)),
        maximum: Some((10.0, Bound::Exclusive)),
        ..Limits::default()
    }));
    let replicas = arena.add(replicas);
    let mut name = Node::new(Shape::Scalar(Scalar::String(Format::Plain)));
    name.limits = Some(Box::new(Limits {
        pattern: Some(Pattern::compile("^[a-z]+$").unwrap()),
        max_length: Some(5),
        ..Limits::default()
    }));
    name.default = Some(json!("abc"));
    let name = arena.add(name);
    let port = arena.leaf(Scalar::IntOrString);
    let text = arena.leaf(Scalar::String(Format::Plain));
    let item = arena.object(&[("port", port, true), ("note", text, false)]);
    let ports = arena.add(Node::new(Shape::List { items: item, kind: ListKind::Map(vec!["port".into()]) }));
    let tags = arena.add(Node::new(Shape::List { items: text, kind: ListKind::Set }));
    let labels = arena.add(Node::new(Shape::Map { values: text, kind: MapKind::Granular }));
    let free = arena.add(Node::new(Shape::Any));
    let spec = arena.object(&[
        ("replicas", replicas, true),
        ("name", name, false),
        ("ports", ports, false),
        ("tags", tags, false),
        ("labels", labels, false),
        ("free", free, false),
    ]);
    let root = arena.object(&[("spec", spec, false)]);
    Schema::new(Arc::new(arena.0), root)
}

#[track_caller]
fn check(value: Value, expected: &[&str]) {
    let found: Vec<String> = validate(&sample(), &value, "").iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_wrong_place_is_named_with_upstream_words() {
    check(json!({"spec": {"replicas": 3, "name": "abc", "free": {"x": [1, null]}}}), &[]);
    check(
        json!({"spec": {"replicas": -1}}),
        &["spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0"],
    );
    check(
        json!({"spec": {"replicas": 10}}),
        &["spec.replicas: Invalid value: 10: spec.replicas in body should be less than 10"],
    );
    check(
        json!({"spec": {"replicas": "3"}}),
        &[
            "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\"",
        ],
    );
    check(json!({"spec": {}}), &["spec.replicas: Required value"]);
    check(
        json!({"spec": {"replicas": 1, "name": "A"}}),
        &["spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'"],
    );
    check(
        json!({"spec": {"replicas": 1, "name": "abcdef"}}),
        &["spec.name: Too long: may not be more than 5 bytes"],
    );
    check(
        json!({"spec": {"replicas": 1, "labels": {"a": 1}}}),
        &[
            "spec.labels.a: Invalid value: \"integer\": spec.labels.a in body must be of type string: \"integer\"",
        ],
    );
    check(
        json!({"spec": null}),
        &["spec: Invalid value: \"null\": spec in body must be of type object: \"null\""],
    );
}

#[test]
fn list_items_are_unique_by_value_or_key_and_told_once() {
    check(
        json!({"spec": {"replicas": 1, "tags": ["a", "b", "a", "a"]}}),
        &["spec.tags[2]: Duplicate value: \"a\""],
    );
    check(
        json!({"spec": {"replicas": 1, "ports": [{"port": 80}, {"port": "80"}, {"port": 80, "note": "x"}]}}),
        &["spec.ports[2]: Duplicate value: {\"port\":80}"],
    );
}

#[test]
fn what_did_not_change_is_not_judged_again() {
    let old = json!({"spec": {"replicas": -1, "ports": [{"port": 1, "note": 7}]}});
    let new = json!({"spec": {"replicas": -1, "name": "A", "ports": [{"port": 2}, {"port": 1, "note": 7}]}});
    let found: Vec<String> =
        validate_update(&sample(), &new, Some(&old), "").iter().map(ToString::to_string).collect();
    assert_eq!(found, ["spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'"]);
}

#[test]
fn unknown_fields_go_and_free_ones_stay() {
    let mut value = json!({"x": 1, "spec": {"y": 1, "ports": [{"port": 1, "z": 2}], "free": {"any": 1}, "labels": {"k": "v"}}});
    prune(&sample(), &mut value);
    assert_eq!(value, json!({"spec": {"ports": [{"port": 1}], "free": {"any": 1}, "labels": {"k": "v"}}}));
}

#[test]
fn absent_and_null_fields_take_their_default_and_other_nulls_go() {
    let mut value = json!({"spec": {"name": null, "replicas": null, "labels": {"a": null, "b": "c"}}});
    default(&sample(), &mut value);
    assert_eq!(value, json!({"spec": {"name": "abc", "labels": {"b": "c"}}}));
    let mut empty = json!({});
    default(&sample(), &mut empty);
    assert_eq!(empty, json!({}));
}

#[test]
fn formats_accept_and_refuse() {
    let cases = [
        ("date-time", "2024-01-02T03:04:05Z", "yesterday"),
        ("date", "2024-01-02", "2024-1-2"),
        ("duration", "1h2m0.5s", "1x"),
        ("byte", "aGk=", "&"),
        ("ipv4", "10.0.0.1", "::1"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "00:11:22:aa:bb:cc", "00:11"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("hostname", "a.example.com", "-a-.b"),
        ("email", "a@b.c", "a"),
        ("uri", "https://x/y", "x y"),
    ];
    for (name, good, bad) in cases {
        assert!(format::holds(name, good), "{name} accepts {good}");
        assert!(!format::holds(name, bad), "{name} refuses {bad}");
    }
    for (name, good) in
        [("ipv4", "01.2.3.4"), ("duration", "22 ns"), ("duration", "2 days"), ("mac", "0011.2233.4455")]
    {
        assert!(format::holds(name, good), "{name} accepts {good}");
    }
    for (name, bad) in [("date-time", "2024-01-02 03:04:05Z"), ("byte", ""), ("duration", "1 moon")] {
        assert!(!format::holds(name, bad), "{name} refuses {bad}");
    }
    assert!(format::holds("unheard-of", "anything"));
}
