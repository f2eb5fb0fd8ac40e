//! The status of a definition: decided while it is admitted, so that it is served as soon as it is stored.

use muster_schema::crd;
use muster_store::Key;
use serde_json::{Map, Value, json};

use super::{FINALIZER, RESOURCE};
use crate::object::Deletion;
use crate::rest::{Target, meta};
use crate::server::{ApiServer, Origin, Registry};
use crate::status::{Reason, Refusal};

/// Whether a definition's kinds are served.
pub(super) fn is_established(definition: &Value) -> bool {
    condition(definition, "Established").is_some_and(|found| found["status"] == "True")
}

fn condition<'a>(definition: &'a Value, name: &str) -> Option<&'a Value> {
    definition["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == name)
}

/// Checks a definition, and gives it its names, conditions and finalizer.
pub(crate) fn admit(
    server: &ApiServer,
    target: &Target,
    value: &mut Value,
    old: Option<&Value>,
) -> Result<(), Refusal> {
    let name = meta::text(value, "/metadata/name").to_owned();
    complete_names(value);
    if let Err(errors) = crd::compile(value) {
        return Err(Refusal::invalid(target.served.about_kind(), &name, &errors));
    }
    if !target.subresource.is_empty() {
        return Ok(());
    }
    let now = meta::time(server.inner().clock.now());
    let registry = server.inner().registry.current();
    let conflict = names_conflict(&registry, value);
    let deleting = value["metadata"].get("deletionTimestamp").is_some();
    if old.is_none() || (!deleting && !has_finalizer(value)) {
        let mut finalizers = value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.push(json!(FINALIZER));
        value["metadata"]["finalizers"] = Value::from(finalizers);
    }
    let before = old.map(|old| old["status"].clone()).unwrap_or_else(|| json!({}));
    let was = old.is_some_and(is_established);
    value["status"] = status(value, &before, was, conflict.as_deref(), &now);
    Ok(())
}

/// Nothing is created of a kind whose definition is on its way out.
pub(crate) fn check_open(server: &ApiServer, target: &Target) -> Result<(), Refusal> {
    if target.served.origin == Origin::BuiltIn {
        return Ok(());
    }
    let definition = server.store().get(&Key::new(RESOURCE, "", &*target.served.resource));
    if definition.is_some_and(|found| found.value.header().deletion == Deletion::Requested) {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(Refusal::new(Reason::MethodNotAllowed, why));
    }
    Ok(())
}

fn has_finalizer(value: &Value) -> bool {
    value["metadata"]["finalizers"].as_array().is_some_and(|list| list.iter().any(|one| one == FINALIZER))
}

fn complete_names(value: &mut Value) {
    let kind = value["spec"]["names"]["kind"].as_str().unwrap_or("").to_owned();
    if let Some(names) = value["spec"]["names"].as_object_mut() {
        let absent = |names: &Map<String, Value>, key: &str| {
            names.get(key).and_then(Value::as_str).is_none_or(str::is_empty)
        };
        if absent(names, "singular") {
            names.insert("singular".into(), json!(kind.to_lowercase()));
        }
        if absent(names, "listKind") {
            names.insert("listKind".into(), json!(format!("{kind}List")));
        }
    }
    if value["spec"]["conversion"].is_null() {
        value["spec"]["conversion"] = json!({"strategy": "None"});
    }
}

/// A name of the definition that another resource of its group has already.
fn names_conflict(registry: &Registry, value: &Value) -> Option<String> {
    let spec = &value["spec"];
    let group = spec["group"].as_str().unwrap_or("");
    let own = spec["names"]["plural"].as_str().unwrap_or("");
    let text = |key: &str| spec["names"][key].as_str().unwrap_or("");
    let mut wanted = vec![text("plural"), text("singular")];
    wanted.extend(spec["names"]["shortNames"].as_array().into_iter().flatten().filter_map(Value::as_str));
    for other in registry.all().filter(|other| other.kind.gvk.group == group && other.kind.plural != own) {
        let kind = &other.kind;
        let taken: Vec<&str> = [kind.plural.as_str(), kind.singular.as_str()]
            .into_iter()
            .chain(kind.short_names.iter().map(String::as_str))
            .collect();
        if let Some(name) = wanted.iter().find(|name| !name.is_empty() && taken.contains(name)) {
            return Some(format!("{name:?} is already in use"));
        }
        if [text("kind"), text("listKind")]
            .iter()
            .any(|name| *name == kind.gvk.kind || *name == kind.list_kind)
        {
            return Some(format!("{:?} is already in use", text("kind")));
        }
    }
    None
}

fn status(value: &Value, before: &Value, was: bool, conflict: Option<&str>, now: &str) -> Value {
    let known = |name: &str, wanted: &str| {
        let list = before["conditions"].as_array().into_iter().flatten();
        let found = list.clone().find(|found| found["type"] == name && found["status"] == wanted);
        found.map_or(json!(now), |found| found["lastTransitionTime"].clone())
    };
    let generation = value["metadata"]["generation"].as_i64().unwrap_or(1);
    let make = |name: &str, wanted: &str, reason: &str, message: &str| {
        json!({
            "type": name, "status": wanted, "reason": reason, "message": message,
            "lastTransitionTime": known(name, wanted), "observedGeneration": generation,
        })
    };
    let names = match conflict {
        None => make("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        Some(text) => make("NamesAccepted", "False", "NameConflict", text),
    };
    // Once established a definition stays so: its objects are there.
    let established = if conflict.is_none() || was {
        make("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
    } else {
        make("Established", "False", "NotAccepted", "not all names are accepted")
    };
    let mut conditions = vec![names, established];
    let kept = before["conditions"].as_array().into_iter().flatten();
    conditions.extend(
        kept.filter(|one| !["NamesAccepted", "Established"].contains(&one["type"].as_str().unwrap_or("")))
            .cloned(),
    );
    let versions = value["spec"]["versions"].as_array().into_iter().flatten();
    let storage =
        versions.filter(|version| version["storage"] == true).filter_map(|one| one["name"].as_str());
    let mut stored: Vec<String> = before["storedVersions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one.as_str().map(str::to_owned))
        .collect();
    for version in storage {
        if !stored.iter().any(|one| one == version) {
            stored.push(version.to_owned());
        }
    }
    let accepted =
        if conflict.is_none() { value["spec"]["names"].clone() } else { before["acceptedNames"].clone() };
    json!({"conditions": conditions, "acceptedNames": accepted, "storedVersions": stored})
}
