//! Our OpenAPI documents beside those that upstream publishes.

use std::collections::BTreeSet;

use muster_schema::{Catalog, Kind, openapi};
use serde_json::{Map, Value};

use crate::upstream;

/// Keywords that a client reads. Descriptions and defaults are compared by nobody.
const KEYWORDS: [&str; 9] = [
    "type",
    "format",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
    "x-kubernetes-group-version-kind",
];

#[test]
fn every_type_is_published_as_upstream_publishes_it() {
    let folder = match upstream::module("k8s.io/kubernetes@v1.37.2/api/openapi-spec/v3") {
        Ok(folder) => folder,
        Err(why) => return upstream::skipped("OpenAPI comparison", &why),
    };
    let mut versions: BTreeSet<(&str, &str)> = BTreeSet::new();
    for kind in Catalog::builtin().kinds() {
        versions.insert((&kind.gvk.group, &kind.gvk.version));
    }
    let (mut compared, mut differences) = (0, BTreeSet::new());
    for (group, version) in versions {
        let (file, name) = match group {
            "" => (format!("api__{version}_openapi.json"), version.to_owned()),
            group => (format!("apis__{group}__{version}_openapi.json"), format!("{group}/{version}")),
        };
        let text = std::fs::read(folder.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let theirs: Value = serde_json::from_slice(&text).unwrap();
        let kinds: Vec<&Kind> = Catalog::builtin()
            .kinds()
            .filter(|kind| kind.gvk.group == group && kind.gvk.version == version)
            .collect();
        let ours = openapi::v3(&name, &kinds);
        let schemas = ours["components"]["schemas"].as_object().unwrap();
        for (name, schema) in schemas {
            if let Some(wanted) = theirs["components"]["schemas"].get(name) {
                compared += 1;
                compare(name, schema, wanted, &mut differences);
            }
        }
        operations(&ours["paths"], &theirs["paths"], &mut differences);
    }
    assert!(compared > 500, "only {compared} types were found on both sides");
    let shown: Vec<&String> = differences.iter().take(30).collect();
    assert!(differences.is_empty(), "{} differences, first: {shown:#?}", differences.len());
}

/// Types that hold any JSON; ours is one, theirs has several names.
fn is_free(reference: &str) -> bool {
    let free = [
        "JSON",
        "JSONSchemaPropsOrBool",
        "JSONSchemaPropsOrArray",
        "JSONSchemaPropsOrStringArray",
        "FieldsV1",
    ];
    free.iter().any(|name| reference.ends_with(&format!(".{name}")))
}

fn reference(schema: &Value) -> Option<&str> {
    let whole = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref"))?;
    whole.as_str()
}

/// A list without a type is atomic, a map granular, and the order of required fields means nothing.
fn meaning(keyword: &str, schema: &Value) -> Option<Value> {
    let mut found = schema.get(keyword).cloned();
    if let ("required", Some(Value::Array(names))) = (keyword, &mut found) {
        names.sort_by_key(ToString::to_string);
    }
    let usual = match keyword {
        "x-kubernetes-list-type" => "atomic",
        "x-kubernetes-map-type" if reference(schema).is_none() => "granular",
        _ => "",
    };
    found.filter(|value| value != usual)
}

fn compare(path: &str, ours: &Value, theirs: &Value, differences: &mut BTreeSet<String>) {
    if reference(ours) != reference(theirs) && !reference(theirs).is_some_and(is_free) {
        differences.insert(format!("{path}: refers to {:?}, not {:?}", reference(ours), reference(theirs)));
    }
    for keyword in KEYWORDS {
        let (left, right) = (meaning(keyword, ours), meaning(keyword, theirs));
        let machinery = keyword == "x-kubernetes-group-version-kind" && path.contains("apimachinery");
        if !machinery && left != right {
            differences.insert(format!("{path}: {keyword} is {left:?}, not {right:?}"));
        }
    }
    let empty = Map::new();
    let fields = |schema: &'_ Value| schema["properties"].as_object().unwrap_or(&empty).clone();
    let (left, right) = (fields(ours), fields(theirs));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for name in names {
        match (left.get(name), right.get(name)) {
            (Some(left), Some(right)) => compare(&format!("{path}.{name}"), left, right, differences),
            (left, _) => {
                let side = if left.is_some() { "ours" } else { "theirs" };
                differences.insert(format!("{path}.{name}: only {side}"));
            }
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let (Some(left), Some(right)) = (ours.get(keyword), theirs.get(keyword)) {
            compare(&format!("{path}.{keyword}"), left, right, differences);
        }
    }
}

/// What we publish of operations must be there, under the same name and for the same kind.
fn operations(ours: &Value, theirs: &Value, differences: &mut BTreeSet<String>) {
    for (path, item) in ours.as_object().expect("paths are an object") {
        for (verb, operation) in
            item.as_object().expect("a path is an object").iter().filter(|(verb, _)| *verb != "parameters")
        {
            let wanted = &theirs[path][verb];
            for keyword in ["operationId", "x-kubernetes-action", "x-kubernetes-group-version-kind", "tags"] {
                if operation[keyword] != wanted[keyword] {
                    let text = format!(
                        "{verb} {path}: {keyword} is {}, not {}",
                        operation[keyword], wanted[keyword]
                    );
                    differences.insert(text);
                }
            }
        }
    }
}
