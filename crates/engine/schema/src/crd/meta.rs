//! `metadata` as every object has it (`meta/v1.ObjectMeta`).

use std::collections::BTreeMap;

use super::build::{Build, field};
use crate::types::{Format, ListKind, MapKind, Node, NodeId, Scalar, Shape};

pub(super) fn object_meta(build: &mut Build<'_>) -> NodeId {
    let leaf = |build: &mut Build<'_>, scalar| build.add(Node::new(Shape::Scalar(scalar)));
    let text = leaf(build, Scalar::String(Format::Plain));
    let time = leaf(build, Scalar::String(Format::Time));
    let number = leaf(build, Scalar::Integer);
    let boolean = leaf(build, Scalar::Boolean);
    let texts = build.add(Node::new(Shape::Map { values: text, kind: MapKind::Granular }));
    let finalizers = build.add(Node::new(Shape::List { items: text, kind: ListKind::Set }));
    let owner = object(
        build,
        &[
            ("apiVersion", text, true),
            ("kind", text, true),
            ("name", text, true),
            ("uid", text, true),
            ("controller", boolean, false),
            ("blockOwnerDeletion", boolean, false),
        ],
        MapKind::Atomic,
    );
    let owners = build.add(Node::new(Shape::List { items: owner, kind: ListKind::Map(vec!["uid".into()]) }));
    let free = build.add(Node::new(Shape::Any));
    let managed = object(
        build,
        &[
            ("manager", text, false),
            ("operation", text, false),
            ("apiVersion", text, false),
            ("time", time, false),
            ("fieldsType", text, false),
            ("fieldsV1", free, false),
            ("subresource", text, false),
        ],
        MapKind::Granular,
    );
    let managed = build.add(Node::new(Shape::List { items: managed, kind: ListKind::Atomic }));
    let fields = [
        ("annotations", texts, false),
        ("creationTimestamp", time, false),
        ("deletionGracePeriodSeconds", number, false),
        ("deletionTimestamp", time, false),
        ("finalizers", finalizers, false),
        ("generateName", text, false),
        ("generation", number, false),
        ("labels", texts, false),
        ("managedFields", managed, false),
        ("name", text, false),
        ("namespace", text, false),
        ("ownerReferences", owners, false),
        ("resourceVersion", text, false),
        ("selfLink", text, false),
        ("uid", text, false),
    ];
    object(build, &fields, MapKind::Granular)
}

fn object(build: &mut Build<'_>, fields: &[(&str, NodeId, bool)], kind: MapKind) -> NodeId {
    let fields: BTreeMap<_, _> =
        fields.iter().map(|(name, node, required)| ((*name).into(), field(*node, *required))).collect();
    build.add(Node::new(Shape::Object {
        fields,
        definition: None,
        preserve_unknown: false,
        embedded: false,
        kind,
    }))
}
