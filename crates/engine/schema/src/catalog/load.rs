//! The reader of `types.txt`: one type per line, `name TAB gvk[,atomic] (TAB field)*`.
//!
//! A field is `name=number[@outer[.outer]]:type[,attribute…]`. The table is generated and checked in, so a line
//! that cannot be read is a defect of this crate: reading asserts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::types::{
    Definitions, Field, Format, Limits, ListKind, MapKind, Node, NodeId, PatchStrategy, Presence, Scalar,
    Schema, Shape, Wire, WireForm,
};

/// The arena, and definition names by `(apiVersion, kind)`.
pub(super) fn types(table: &str) -> (Schema, HashMap<(String, String), String>) {
    let mut loader = Loader::default();
    let mut by_kind = HashMap::new();
    for line in table.lines() {
        let (name, rest) = line.split_once('\t').expect("a type line has a name");
        let gvk = rest.split(['\t', ',']).next().unwrap_or(rest);
        if let Some((api_version, kind)) = gvk.rsplit_once('/') {
            by_kind.insert((api_version.to_owned(), kind.to_owned()), name.to_owned());
        }
        loader.reserve(name);
    }
    for line in table.lines() {
        loader.define(line);
    }
    let root = loader.reserved("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    (Schema::new(Arc::new(loader.definitions), root), by_kind)
}

#[derive(Default)]
struct Loader<'a> {
    definitions: Definitions,
    reserved: HashMap<&'a str, NodeId>,
    /// Nodes without a name, by how they are written (`list<string>`), so that equal ones are one.
    shared: HashMap<String, NodeId>,
}

fn node(shape: Shape) -> Node {
    Node::new(shape)
}

impl<'a> Loader<'a> {
    fn push(&mut self, node: Node) -> NodeId {
        self.definitions.nodes.push(node);
        NodeId(u32::try_from(self.definitions.nodes.len() - 1).expect("fewer than 2^32 nodes"))
    }

    fn reserve(&mut self, name: &'a str) {
        let id = self.push(node(Shape::Any));
        self.reserved.insert(name, id);
        self.definitions.names.insert(name.to_owned(), id);
    }

    fn reserved(&self, name: &str) -> NodeId {
        *self.reserved.get(name).unwrap_or_else(|| panic!("the type table lacks {name}"))
    }

    fn define(&mut self, line: &'a str) {
        let mut parts = line.split('\t');
        let (name, head) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let kind = if head.ends_with(",atomic") { MapKind::Atomic } else { MapKind::Granular };
        let fields: BTreeMap<Box<str>, Field> = parts.map(|text| self.field(text)).collect();
        let shape = Shape::Object {
            fields,
            definition: Some(name.into()),
            preserve_unknown: false,
            embedded: false,
            kind,
        };
        let id = self.reserved(name);
        self.definitions.nodes[id.0 as usize] = node(shape);
    }

    fn field(&mut self, text: &str) -> (Box<str>, Field) {
        let (name, rest) = text.split_once('=').expect("a field has a number");
        let (place, rest) = rest.split_once(':').expect("a field has a type");
        let (kind, attributes) = rest.split_once(',').unwrap_or((rest, ""));
        let mut list = ListKind::Atomic;
        let mut map = None;
        let mut field = Field {
            node: NodeId(0),
            required: false,
            patch: PatchStrategy::default(),
            wire: None,
            description: None,
        };
        let mut presence = Presence::Optional;
        for attribute in attributes.split(',').filter(|attribute| !attribute.is_empty()) {
            match attribute.split_once('=').unwrap_or((attribute, "")) {
                ("required", _) => field.required = true,
                ("omit", _) => presence = Presence::OmitZero,
                ("always", _) => presence = Presence::Always,
                ("set", _) => list = ListKind::Set,
                ("keys", keys) => list = ListKind::Map(keys.split('+').map(Into::into).collect()),
                ("atomic", _) => map = Some(MapKind::Atomic),
                ("granular", _) => map = Some(MapKind::Granular),
                ("merge", _) => field.patch.merge = true,
                ("retainKeys", _) => field.patch.retain_keys = true,
                ("replace", _) => field.patch.replace = true,
                ("mergeKey", key) => field.patch.merge_key = Some(key.into()),
                (other, _) => panic!("unknown attribute {other} in the type table"),
            }
        }
        field.node = self.node_of(kind, &list, map);
        field.wire = wire(place, kind, presence);
        (name.into(), field)
    }

    fn node_of(&mut self, kind: &str, list: &ListKind, map: Option<MapKind>) -> NodeId {
        if let (Some(id), None) = (self.reserved.get(kind), map) {
            return *id;
        }
        let key = format!("{kind} {list:?} {map:?}");
        if let Some(id) = self.shared.get(&key) {
            return *id;
        }
        let node = self.build(kind, list, map);
        let id = self.push(node);
        self.shared.insert(key, id);
        id
    }

    fn build(&mut self, kind: &str, list: &ListKind, map: Option<MapKind>) -> Node {
        let inner = |prefix: &str| kind.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>'));
        if let Some(items) = inner("list<").or_else(|| inner("wrapped<")) {
            let items = self.node_of(items, &ListKind::Atomic, None);
            return node(Shape::List { items, kind: list.clone() });
        }
        if let Some(values) = inner("map<") {
            let values = self.node_of(values, &ListKind::Atomic, None);
            return node(Shape::Map { values, kind: map.unwrap_or(MapKind::Granular) });
        }
        if kind.contains('.') {
            return self.reference(kind, map);
        }
        scalar(kind)
    }

    /// A named type whose use says otherwise than the type how apply treats it.
    fn reference(&mut self, name: &str, map: Option<MapKind>) -> Node {
        assert!(
            matches!(self.definitions.nodes[self.reserved(name).0 as usize].shape, Shape::Object { .. }),
            "{name} is used with its own map type before it is defined"
        );
        let mut copy = self.definitions.nodes[self.reserved(name).0 as usize].clone();
        if let (Shape::Object { kind, .. }, Some(map)) = (&mut copy.shape, map) {
            *kind = map;
        }
        copy
    }
}

fn scalar(kind: &str) -> Node {
    let scalar = match kind {
        "string" => Scalar::String(Format::Plain),
        "bytes" => Scalar::String(Format::Bytes),
        "time" => Scalar::String(Format::Time),
        "microtime" => Scalar::String(Format::MicroTime),
        "duration" => Scalar::String(Format::Duration),
        "int32" | "int64" => Scalar::Integer,
        "double" => Scalar::Number,
        "bool" => Scalar::Boolean,
        "intstr" => Scalar::IntOrString,
        "quantity" => Scalar::Quantity,
        "raw" | "schema-or-array" | "schema-or-bool" | "schema-or-strings" => return node(Shape::Any),
        other => panic!("unknown type {other} in the type table"),
    };
    let mut node = node(Shape::Scalar(scalar));
    if scalar == Scalar::Integer {
        node.limits = Some(Box::new(Limits { format: Some(kind.into()), ..Limits::default() }));
    }
    node
}

fn wire(place: &str, kind: &str, presence: Presence) -> Option<Wire> {
    let (number, outer) = place.split_once('@').unwrap_or((place, ""));
    let number = number.parse().expect("a field number is a number");
    let mut within = [0; 2];
    for (slot, text) in within.iter_mut().zip(outer.split('.').filter(|text| !text.is_empty())) {
        *slot = text.parse().expect("a field number is a number");
    }
    let form = match kind {
        "schema-or-array" => WireForm::SchemaOrArray,
        "schema-or-bool" => WireForm::SchemaOrBool,
        "schema-or-strings" => WireForm::SchemaOrStrings,
        _ if kind.contains("wrapped<") => WireForm::Wrapped,
        _ => WireForm::Direct,
    };
    (number != 0).then_some(Wire { number, within, form, presence })
}
