//! The description of a type as a graph of nodes; one form for built-in kinds and custom resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::cel::Compiled;
use crate::pattern::Pattern;

/// Index of a [`Node`] in its [`Definitions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// An arena of nodes; types may refer to each other and to themselves (`JSONSchemaProps` does).
#[derive(Debug, Default)]
pub struct Definitions {
    /// The nodes, addressed by [`NodeId`].
    pub nodes: Vec<Node>,
    /// Roots of named types, by definition name (`io.k8s.api.core.v1.Pod`).
    pub names: BTreeMap<String, NodeId>,
}

/// One type: a root in an arena. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schema {
    definitions: Arc<Definitions>,
    root: NodeId,
}

impl Schema {
    /// A type rooted at `root`, which must be an index into `definitions`.
    pub fn new(definitions: Arc<Definitions>, root: NodeId) -> Self {
        assert!((root.0 as usize) < definitions.nodes.len(), "schema root outside its definitions");
        Self { definitions, root }
    }

    /// Index of the root node.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// The root node.
    pub fn node(&self) -> &Node {
        self.at(self.root)
    }

    /// Any node of the same arena.
    pub fn at(&self, id: NodeId) -> &Node {
        &self.definitions.nodes[id.0 as usize]
    }

    /// The type rooted at another node of the same arena.
    pub fn sub(&self, id: NodeId) -> Self {
        Self::new(Arc::clone(&self.definitions), id)
    }

    /// A named type of the same arena.
    pub fn named(&self, name: &str) -> Option<Self> {
        self.definitions.names.get(name).map(|id| self.sub(*id))
    }

    /// The arena.
    pub fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }
}

/// One node: what a JSON value at this place may be.
#[derive(Clone, Debug)]
pub struct Node {
    /// The shape of the value.
    pub shape: Shape,
    /// Whether `null` is kept as a value (`nullable` of structural schemas) and not dropped.
    pub nullable: bool,
    /// For `kubectl explain`.
    pub description: Option<Box<str>>,
    /// Value used where the field is absent (custom resources; built-ins have hand-written defaults).
    pub default: Option<Value>,
    /// Closed list of allowed values.
    pub allowed: Vec<Value>,
    /// Bounds on the value.
    pub limits: Option<Box<Limits>>,
    /// CEL rules (`x-kubernetes-validations`).
    pub rules: Vec<Rule>,
    /// Conditions beside the shape (custom resources).
    pub checks: Option<Box<Checks>>,
}

impl Node {
    /// A node of this shape that demands nothing more.
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            nullable: false,
            description: None,
            default: None,
            allowed: Vec::new(),
            limits: None,
            rules: Vec::new(),
            checks: None,
        }
    }
}

/// Value validations that say nothing about the shape: what stands under `allOf`, `anyOf`, `oneOf` and `not`,
/// and required fields that a structural schema does not declare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checks {
    /// Closed list of allowed values.
    pub allowed: Vec<Value>,
    /// Bounds on the value.
    pub limits: Limits,
    /// Fields that must be there.
    pub required: Vec<Box<str>>,
    /// Conditions on fields that are there.
    pub properties: BTreeMap<Box<str>, Checks>,
    /// Conditions on every item.
    pub items: Option<Box<Checks>>,
    /// All must hold.
    pub all_of: Vec<Checks>,
    /// At least one must hold.
    pub any_of: Vec<Checks>,
    /// Exactly one must hold.
    pub one_of: Vec<Checks>,
    /// Must not hold.
    pub not: Option<Box<Checks>>,
}

/// The shape of a value.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Anything; unknown fields are kept (`x-kubernetes-preserve-unknown-fields` without properties, `RawExtension`).
    Any,
    /// A leaf.
    Scalar(Scalar),
    /// A list.
    List { items: NodeId, kind: ListKind },
    /// A map with free keys.
    Map { values: NodeId, kind: MapKind },
    /// A struct with named fields.
    Object {
        /// Fields by JSON name.
        fields: BTreeMap<Box<str>, Field>,
        /// Definition name for built-ins.
        definition: Option<Box<str>>,
        /// Unknown fields are kept.
        preserve_unknown: bool,
        /// A whole Kubernetes object with `apiVersion`, `kind`, `metadata` (`x-kubernetes-embedded-resource`).
        embedded: bool,
        /// Granular or replaced as a whole by apply.
        kind: MapKind,
    },
}

/// A leaf type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A string, read according to its format.
    String(Format),
    /// A whole number of at most 64 bits.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A whole number or a string (`IntOrString`).
    IntOrString,
    /// `resource.Quantity`: a string or a number.
    Quantity,
}

/// What a string holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Any text.
    Plain,
    /// RFC 3339 with seconds (`meta/v1.Time`).
    Time,
    /// RFC 3339 with microseconds (`meta/v1.MicroTime`).
    MicroTime,
    /// Base64 (`[]byte`).
    Bytes,
    /// A Go duration (`meta/v1.Duration`).
    Duration,
}

/// How apply and validation treat a list (`x-kubernetes-list-type`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Replaced as a whole.
    Atomic,
    /// Unique scalars.
    Set,
    /// Objects identified by these keys.
    Map(Vec<Box<str>>),
}

/// How apply treats a map or struct (`x-kubernetes-map-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Merged key by key.
    Granular,
    /// Replaced as a whole.
    Atomic,
}

/// A named field of an object.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its type.
    pub node: NodeId,
    /// Whether its absence is an error.
    pub required: bool,
    /// How strategic merge patch treats it (`x-kubernetes-patch-strategy`).
    pub patch: PatchStrategy,
    /// Its protobuf encoding, where the type has one.
    pub wire: Option<Wire>,
    /// Description of this use of the type, for `kubectl explain`.
    pub description: Option<Box<str>>,
}

/// Strategic merge behaviour of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Lists are merged, by `merge_key` or as sets of scalars.
    pub merge: bool,
    /// Objects are replaced, not merged.
    pub replace: bool,
    /// Keys the patch does not retain are dropped (`retainKeys`).
    pub retain_keys: bool,
    /// The key that identifies an item (`x-kubernetes-patch-merge-key`).
    pub merge_key: Option<Box<str>>,
}

/// Encoding of a built-in field (from `generated.proto` and the struct tags beside it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Field number.
    pub number: u32,
    /// Numbers of the messages around the field that have no JSON name of their own (inlined structs), outermost
    /// first; 0 stands for none.
    pub within: [u32; 2],
    /// How the value is written.
    pub form: WireForm,
    /// What a zero value means.
    pub presence: Presence,
}

/// How a built-in field is written in protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireForm {
    /// As its shape says.
    Direct,
    /// Lists (or the lists in a map) stand in a message of their own with `items = 1`.
    Wrapped,
    /// `JSONSchemaPropsOrArray`.
    SchemaOrArray,
    /// `JSONSchemaPropsOrBool`.
    SchemaOrBool,
    /// `JSONSchemaPropsOrStringArray`.
    SchemaOrStrings,
}

/// What absence and zero mean for a built-in field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Absent and zero differ (a pointer in the reference implementation).
    Optional,
    /// Zero is absent and is never written.
    OmitZero,
    /// Absent is zero and is always written.
    Always,
}

/// Bounds of a value (structural schemas).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// `minimum`, and whether it is exclusive.
    pub minimum: Option<(f64, Bound)>,
    /// `maximum`, and whether it is exclusive.
    pub maximum: Option<(f64, Bound)>,
    /// `multipleOf`.
    pub multiple_of: Option<f64>,
    /// `minLength`, in Unicode scalar values.
    pub min_length: Option<u64>,
    /// `maxLength`, in Unicode scalar values.
    pub max_length: Option<u64>,
    /// `pattern`, an RE2 expression.
    pub pattern: Option<Pattern>,
    /// `minItems`.
    pub min_items: Option<u64>,
    /// `maxItems`.
    pub max_items: Option<u64>,
    /// `minProperties`.
    pub min_properties: Option<u64>,
    /// `maxProperties`.
    pub max_properties: Option<u64>,
    /// `format` of custom resources that is checked (`date-time`, `ipv4`, …).
    pub format: Option<Box<str>>,
}

/// Whether a bound itself is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The bound is allowed.
    Inclusive,
    /// The bound is not allowed.
    Exclusive,
}

/// A CEL rule on a node (`x-kubernetes-validations`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The expression; must evaluate to `true`.
    pub rule: Box<str>,
    /// Text of the refusal.
    pub message: Option<Box<str>>,
    /// Expression that makes the text of the refusal.
    pub message_expression: Option<Box<str>>,
    /// Machine-readable reason (`FieldValueInvalid`, `FieldValueForbidden`, …).
    pub reason: Option<Box<str>>,
    /// Field the refusal points at, relative to the node.
    pub field_path: Option<Box<str>>,
    /// Whether the rule also runs where there is no old value.
    pub optional_old_self: bool,
    /// The programs; a rule without is not run.
    pub compiled: Option<Compiled>,
}
