//! From `openAPIV3Schema` to nodes. The schema has passed all structural checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::json::{flag, is_set, list, map, properties, property_path, text, texts};
use super::{checks, meta};
use crate::cel::{self, Compiled};
use crate::error::{FieldError, at, join};
use crate::types::{
    Definitions, Field, Format, ListKind, MapKind, Node, NodeId, PatchStrategy, Rule, Scalar, Schema, Shape,
};

/// The type a schema describes, with `apiVersion`, `kind` and `metadata` as every object has them. CEL rules are
/// compiled; those that do not compile are told in `errors`.
pub(super) fn schema(given: &Value, path: &str, errors: &mut Vec<FieldError>) -> Schema {
    let mut build = Build { nodes: Vec::new(), errors, rules: Vec::new() };
    let root = build.node(given, path, None);
    build.whole_object(root, &given["properties"]["metadata"]);
    let rules = std::mem::take(&mut build.rules);
    let schema = Schema::new(Arc::new(Definitions { nodes: build.nodes, names: BTreeMap::new() }), root);
    for (node, index, path) in rules {
        let rule = &schema.at(node).rules[index];
        if let Some(detail) = cel::unknown_reference(&schema, node, rule) {
            errors.push(FieldError::invalid(&*path, rule.rule.as_ref().into(), detail));
        }
        if let Some(detail) = cel::wrong_message(&schema, node, rule) {
            let bad = rule.message_expression.as_deref().unwrap_or_default();
            let path = path.replace("].rule", "].messageExpression");
            errors.push(FieldError::invalid(path, bad.into(), detail));
        }
    }
    schema
}

pub(super) struct Build<'a> {
    nodes: Vec<Node>,
    errors: &'a mut Vec<FieldError>,
    /// Compiled rules still to be compared with the types: node, index, path.
    rules: Vec<(NodeId, usize, String)>,
}

impl Build<'_> {
    pub(super) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(u32::try_from(self.nodes.len() - 1).expect("a schema of under 3 MiB has under 2^32 nodes"))
    }

    /// `uncorrelated` is the list or map above in which old and new items cannot be told to be the same.
    fn node(&mut self, schema: &Value, path: &str, uncorrelated: Option<&str>) -> NodeId {
        let shape = self.shape(schema, path, uncorrelated);
        let mut node = Node::new(shape);
        node.nullable = flag(schema, "nullable");
        node.description = map_text(schema, "description");
        node.default = schema.get("default").filter(|value| !value.is_null()).cloned();
        node.allowed = list(schema, "enum").to_vec();
        node.limits = checks::limits(schema).map(Box::new);
        node.checks = checks::beside(schema).map(Box::new);
        node.rules = self.rules_of(schema, path, uncorrelated);
        let count = node.rules.len();
        let id = self.add(node);
        let here = join(path, "x-kubernetes-validations");
        self.rules.extend((0..count).map(|index| (id, index, join(&at(&here, index), "rule"))));
        id
    }

    fn shape(&mut self, schema: &Value, path: &str, uncorrelated: Option<&str>) -> Shape {
        if flag(schema, "x-kubernetes-int-or-string") {
            return Shape::Scalar(Scalar::IntOrString);
        }
        match text(schema, "type") {
            "array" => self.list(schema, path, uncorrelated),
            "string" => Shape::Scalar(Scalar::String(Format::Plain)),
            "integer" => Shape::Scalar(Scalar::Integer),
            "number" => Shape::Scalar(Scalar::Number),
            "boolean" => Shape::Scalar(Scalar::Boolean),
            "object" => self.object(schema, path, uncorrelated),
            _ if is_set(schema, "properties") => self.object(schema, path, uncorrelated),
            _ => Shape::Any,
        }
    }

    fn list(&mut self, schema: &Value, path: &str, uncorrelated: Option<&str>) -> Shape {
        let kind = match text(schema, "x-kubernetes-list-type") {
            "set" => ListKind::Set,
            "map" => {
                let keys = texts(schema, "x-kubernetes-list-map-keys");
                ListKind::Map(keys.into_iter().map(String::into_boxed_str).collect())
            }
            _ => ListKind::Atomic,
        };
        let inside =
            if matches!(kind, ListKind::Map(_)) { uncorrelated } else { uncorrelated.or(Some(path)) };
        let items = self.node(&schema["items"], &join(path, "items"), inside);
        Shape::List { items, kind }
    }

    fn object(&mut self, schema: &Value, path: &str, uncorrelated: Option<&str>) -> Shape {
        let atomic = text(schema, "x-kubernetes-map-type") == "atomic";
        let kind = if atomic { MapKind::Atomic } else { MapKind::Granular };
        let inside = if atomic { uncorrelated.or(Some(path)) } else { uncorrelated };
        match schema.get("additionalProperties") {
            Some(additional @ Value::Object(_)) => {
                let values = self.node(additional, &join(path, "additionalProperties"), inside);
                return Shape::Map { values, kind };
            }
            Some(Value::Bool(true)) if !is_set(schema, "properties") => {
                return Shape::Map { values: self.add(Node::new(Shape::Any)), kind };
            }
            Some(_) | None => {}
        }
        let required = texts(schema, "required");
        let fields: BTreeMap<Box<str>, Field> = properties(schema)
            .map(|(name, inner)| {
                let node = self.node(inner, &property_path(path, name), inside);
                (name.as_str().into(), field(node, required.contains(name)))
            })
            .collect();
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        let preserve_unknown = flag(schema, "x-kubernetes-preserve-unknown-fields");
        Shape::Object { fields, definition: None, preserve_unknown, embedded, kind }
    }

    /// Gives the root the fields of every object; what the schema says of the name is judged beside.
    fn whole_object(&mut self, root: NodeId, metadata: &Value) {
        let text = self.add(Node::new(Shape::Scalar(Scalar::String(Format::Plain))));
        let object_meta = meta::object_meta(self);
        let node = &mut self.nodes[root.0 as usize];
        if let Shape::Object { fields, .. } = &mut node.shape {
            fields.entry("apiVersion".into()).or_insert_with(|| field(text, false));
            fields.entry("kind".into()).or_insert_with(|| field(text, false));
            fields.insert("metadata".into(), field(object_meta, false));
        }
        if map(metadata, "properties").is_some() {
            let beside = node.checks.get_or_insert_default();
            beside.properties.insert("metadata".into(), checks::nested(metadata));
        }
    }

    fn rules_of(&mut self, schema: &Value, path: &str, uncorrelated: Option<&str>) -> Vec<Rule> {
        let rules = list(schema, "x-kubernetes-validations").iter().enumerate();
        rules.filter_map(|(index, given)| self.rule(given, index, path, uncorrelated)).collect()
    }

    fn rule(&mut self, given: &Value, index: usize, path: &str, uncorrelated: Option<&str>) -> Option<Rule> {
        let here = at(&join(path, "x-kubernetes-validations"), index);
        let source = text(given, "rule");
        let message_expression = map_text(given, "messageExpression");
        let compiled = match Compiled::new(source, message_expression.as_deref()) {
            Ok(compiled) => compiled,
            Err(error) => {
                self.errors.push(FieldError::invalid(
                    join(&here, error.field()),
                    given.clone(),
                    error.to_string(),
                ));
                return None;
            }
        };
        if let (true, Some(list)) = (compiled.uses_old_self(), uncorrelated) {
            let detail =
                format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
            self.errors.push(FieldError::invalid(join(&here, "rule"), source.into(), detail));
        }
        if !compiled.uses_old_self()
            && let Some(optional) = given.get("optionalOldSelf")
        {
            let detail = "may not be set if oldSelf is not used in rule";
            self.errors.push(FieldError::invalid(join(&here, "optionalOldSelf"), optional.clone(), detail));
        }
        Some(Rule {
            rule: source.into(),
            message: map_text(given, "message"),
            message_expression,
            reason: map_text(given, "reason"),
            field_path: map_text(given, "fieldPath"),
            optional_old_self: flag(given, "optionalOldSelf"),
            compiled: Some(compiled),
        })
    }
}

fn map_text(value: &Value, key: &str) -> Option<Box<str>> {
    let found = text(value, key);
    (!found.is_empty()).then(|| found.into())
}

pub(super) fn field(node: NodeId, required: bool) -> Field {
    Field { node, required, patch: PatchStrategy::default(), wire: None, description: None }
}
