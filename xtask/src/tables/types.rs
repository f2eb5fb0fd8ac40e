//! Joins definitions, messages and struct tags into one line per type.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::discovery::Resource;
use super::golang::{Structs, Tag};
use super::proto::Messages;

/// The finished tables.
pub(super) struct Tables {
    pub(super) types: String,
    pub(super) descriptions: String,
}

/// Definitions that are leaves for us, and what they are called in the table.
const LEAVES: [(&str, &str); 10] = [
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "intstr"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "time"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "microtime"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "raw"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "raw"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "raw"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", "schema-or-array"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", "schema-or-bool"),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
        "schema-or-strings",
    ),
];

/// Where a JSON field stands on the wire.
struct Placed {
    within: Vec<u32>,
    number: u32,
    kind: String,
    tag: Tag,
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn leaf(name: &str) -> Option<&'static str> {
    LEAVES.iter().find(|(definition, _)| *definition == name).map(|(_, leaf)| *leaf)
}

fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/"))
}

impl Tables {
    pub(super) fn build(
        definitions: &Map<String, Value>,
        messages: &Messages,
        structs: &Structs,
        resources: &[Resource],
    ) -> Result<Self> {
        let (mut types, mut descriptions) = (String::new(), String::new());
        let mut seen = BTreeMap::new();
        for name in wanted(definitions, resources) {
            let definition = &definitions[&name];
            let message = name.replacen("io.k8s.", "k8s.io.", 1);
            let mut placed = BTreeMap::new();
            place(&message, &[], messages, structs, &mut placed)
                .map_err(|error| format!("{name}: {error}"))?;
            write!(types, "{name}\t{}", kind_of(definition))?;
            if definition["x-kubernetes-map-type"] == "atomic" {
                types.push_str(",atomic");
            }
            describe(&mut descriptions, &mut seen, &name, "", definition)?;
            for (field, schema) in definition["properties"].as_object().into_iter().flatten() {
                let entry = entry(field, schema, definition, placed.get(field))
                    .map_err(|error| format!("{name}.{field}: {error}"))?;
                write!(types, "\t{entry}")?;
                describe(&mut descriptions, &mut seen, &name, field, schema)?;
            }
            types.push('\n');
        }
        Ok(Self { types, descriptions })
    }
}

/// Every definition of a served group version and of the machinery, and all they refer to, in order.
fn wanted(definitions: &Map<String, Value>, resources: &[Resource]) -> BTreeSet<String> {
    let mut served: BTreeSet<String> = BTreeSet::new();
    for Resource { group_version, document } in resources {
        served.insert(group_version.clone());
        // The kind that is sent may be of another group: `autoscaling/v1` Scale.
        served.insert(api_version(&Value::Object(document.clone())));
    }
    served.remove("");
    let mut queue: Vec<String> = Vec::new();
    for (name, definition) in definitions {
        let gvks = definition["x-kubernetes-group-version-kind"].as_array();
        let is_served = gvks.is_some_and(|gvks| gvks.iter().any(|gvk| served.contains(&api_version(gvk))));
        if is_served || name.starts_with("io.k8s.apimachinery.pkg.apis.meta.v1.") {
            queue.push(name.clone());
        }
    }
    let mut found = BTreeSet::new();
    while let Some(name) = queue.pop() {
        if leaf(&name).is_some() || name.ends_with("meta.v1.Patch") || !found.insert(name.clone()) {
            continue;
        }
        for schema in definitions[&name]["properties"].as_object().into_iter().flat_map(Map::values) {
            let inner = [schema, &schema["items"], &schema["additionalProperties"]];
            queue.extend(inner.into_iter().filter_map(reference).map(str::to_owned));
        }
    }
    found
}

fn api_version(gvk: &Value) -> String {
    let (group, version) = (gvk["group"].as_str().unwrap_or(""), gvk["version"].as_str().unwrap_or(""));
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// `apps/v1/Deployment`, or `-` for types that are no kind or the kind of every group.
fn kind_of(definition: &Value) -> String {
    match definition["x-kubernetes-group-version-kind"].as_array().map(Vec::as_slice) {
        Some([gvk]) => format!("{}/{}", api_version(gvk), gvk["kind"].as_str().unwrap_or("")),
        Some(_) | None => "-".to_owned(),
    }
}

fn place(
    message: &str,
    within: &[u32],
    messages: &Messages,
    structs: &Structs,
    placed: &mut BTreeMap<String, Placed>,
) -> Result<()> {
    let fields = messages.0.get(message).ok_or_else(|| format!("no message {message}"))?;
    for (number, field) in fields {
        let tag = structs.0.get(message).and_then(|tags| tags.get(number));
        let tag = tag.ok_or_else(|| format!("no struct tag for {message}.{} = {number}", field.name))?;
        if tag.json.is_empty() {
            let mut deeper = within.to_vec();
            deeper.push(*number);
            place(&field.kind, &deeper, messages, structs, placed)?;
        } else {
            let place = Placed {
                within: within.to_vec(),
                number: *number,
                kind: field.kind.clone(),
                tag: tag.clone(),
            };
            placed.insert(tag.json.clone(), place);
        }
    }
    Ok(())
}

/// `name=number[@outer[.outer]]:type[,attribute…]`.
fn entry(name: &str, schema: &Value, definition: &Value, placed: Option<&Placed>) -> Result<String> {
    let kind = type_of(schema, placed.map_or("string", |place| place.kind.as_str()))?;
    let mut text = match placed {
        Some(place) if place.within.is_empty() => format!("{name}={}:{kind}", place.number),
        Some(place) => {
            let within: Vec<String> = place.within.iter().map(u32::to_string).collect();
            format!("{name}={}@{}:{kind}", place.number, within.join("."))
        }
        None if matches!(name, "apiVersion" | "kind") => format!("{name}=0:{kind}"),
        None => return Err("not in the message".into()),
    };
    let required = definition["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
    if required {
        text.push_str(",required");
    }
    text.push_str(placed.map_or(",omit", |place| presence(&kind, &place.tag)));
    text.push_str(&merge_attributes(schema));
    Ok(text)
}

fn type_of(schema: &Value, wire: &str) -> Result<String> {
    if let Some(name) = reference(schema) {
        return Ok(leaf(name).unwrap_or(name).to_owned());
    }
    let kinds = &schema["type"];
    let kind = kinds.as_str().or_else(|| kinds[0].as_str()).unwrap_or("");
    let format = schema["format"].as_str().unwrap_or("");
    Ok(match (kind, format) {
        ("string", "byte") => "bytes".to_owned(),
        ("string", _) if wire.ends_with("meta.v1.Duration") => "duration".to_owned(),
        ("string", _) => "string".to_owned(),
        ("boolean", _) => "bool".to_owned(),
        ("integer", "int32" | "int64") => format.to_owned(),
        ("number", _) => "double".to_owned(),
        ("array", _) => {
            // A Go slice type of its own is a message with `items = 1`.
            let wrapped = wire.contains('.') && schema["items"].get("$ref").is_none();
            let list = if wrapped { "wrapped" } else { "list" };
            format!("{list}<{}>", type_of(&schema["items"], if wrapped { "string" } else { wire })?)
        }
        ("object", _) => {
            let inner = wire.strip_prefix("map<string, ").map_or("raw", |rest| rest.trim_end_matches('>'));
            format!("map<{}>", type_of(&schema["additionalProperties"], inner)?)
        }
        (kind, format) => return Err(format!("unknown type {kind} {format}").into()),
    })
}

/// Whether Go writes the field when it is zero: `,always`, `,omit` (never), or nothing (present means kept).
fn presence(kind: &str, tag: &Tag) -> &'static str {
    let collection = ["list<", "wrapped<", "map<", "bytes"].iter().any(|prefix| kind.starts_with(prefix));
    let raw = matches!(kind, "raw" | "time" | "microtime") || kind.starts_with("schema-or-");
    let scalar = matches!(kind, "string" | "bool" | "int32" | "int64" | "double");
    if tag.pointer || raw || (collection && !tag.omit_empty && !tag.omit_zero) {
        ""
    } else if tag.omit_zero || ((scalar || collection) && tag.omit_empty) {
        ",omit"
    } else {
        ",always"
    }
}

fn merge_attributes(schema: &Value) -> String {
    let mut text = String::new();
    let texts = |key: &str| schema[key].as_str().unwrap_or("");
    match texts("x-kubernetes-list-type") {
        "set" => text.push_str(",set"),
        "map" => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array();
            let keys: Vec<&str> = keys.into_iter().flatten().filter_map(Value::as_str).collect();
            text.push_str(&format!(",keys={}", keys.join("+")));
        }
        _ => {}
    }
    match texts("x-kubernetes-map-type") {
        "" => {}
        kind => text.push_str(&format!(",{kind}")),
    }
    for strategy in texts("x-kubernetes-patch-strategy").split(',') {
        match strategy {
            "merge" => text.push_str(",merge"),
            "retainKeys" => text.push_str(",retainKeys"),
            "replace" => text.push_str(",replace"),
            _ => {}
        }
    }
    match texts("x-kubernetes-patch-merge-key") {
        "" => {}
        key => text.push_str(&format!(",mergeKey={key}")),
    }
    text
}

/// `definition TAB field TAB text` as JSON, or `=definition/field` where the same text stood before.
fn describe(
    out: &mut String,
    seen: &mut BTreeMap<String, String>,
    name: &str,
    field: &str,
    schema: &Value,
) -> Result<()> {
    let Some(text) = schema["description"].as_str().filter(|text| !text.is_empty()) else { return Ok(()) };
    match seen.get(text) {
        Some(first) => writeln!(out, "{name}\t{field}\t={first}")?,
        None => {
            seen.insert(text.to_owned(), format!("{name}/{field}"));
            writeln!(out, "{name}\t{field}\t{}", serde_json::to_string(text)?)?;
        }
    }
    Ok(())
}
