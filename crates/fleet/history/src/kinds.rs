//! Which kinds have a history, and what of them is kept.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// A kind with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// What a machine is meant to be and how far it is.
    Machine,
    /// What it was seen to be made of.
    Inventory,
    /// What the doctors found.
    Problem,
    /// What a role installs.
    MachineRole,
    /// What the workflow manager did.
    Run,
    /// Where machines stand.
    Site,
    /// Where in a site.
    Rack,
    /// What a model must have.
    HardwareProfile,
}

/// Kubernetes' own bookkeeping. Revision, name and uid stand in every record.
const BOOKKEEPING: [&str; 6] = ["name", "uid", "resourceVersion", "managedFields", "selfLink", "generation"];
/// A second copy of the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const REDACTED: &str = "***";

impl Kind {
    /// Every kind with a history. The order is part of the file format: add at the end.
    pub const ALL: [Self; 8] = [
        Self::Machine,
        Self::Inventory,
        Self::Problem,
        Self::MachineRole,
        Self::Run,
        Self::Site,
        Self::Rack,
        Self::HardwareProfile,
    ];

    /// The kind's name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Machine => "Machine",
            Self::Inventory => "Inventory",
            Self::Problem => "Problem",
            Self::MachineRole => "MachineRole",
            Self::Run => "Run",
            Self::Site => "Site",
            Self::Rack => "Rack",
            Self::HardwareProfile => "HardwareProfile",
        }
    }

    /// The resource's name in paths of the API.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Machine => "machines",
            Self::Inventory => "inventories",
            Self::Problem => "problems",
            Self::MachineRole => "machineroles",
            Self::Run => "runs",
            Self::Site => "sites",
            Self::Rack => "racks",
            Self::HardwareProfile => "hardwareprofiles",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What the history keeps of an object: everything but bookkeeping, and nothing secret. Parameters of a Run may hold
/// what a step hands to another system, so they are left out; credentials in an address are blotted out.
pub(crate) fn kept(kind: Kind, mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
        if kind == Kind::Run
            && let Some(spec) = map.get_mut("spec").and_then(Value::as_object_mut)
        {
            spec.remove("parameters");
        }
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            keep_metadata(metadata);
        }
    }
    redact(&mut object);
    object
}

fn keep_metadata(metadata: &mut Map<String, Value>) {
    for key in BOOKKEEPING {
        metadata.remove(key);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}

fn redact(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(clean) = without_credentials(text) {
                *text = clean;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(redact),
        Value::Object(map) => map.values_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `scheme://user:password@host` without what stands before the `@`.
fn without_credentials(text: &str) -> Option<String> {
    let mut clean = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c == '/' || c == '?' || c == '#' || c.is_whitespace());
        let authority = &after[..end.unwrap_or(after.len())];
        rest = match authority.rfind('@') {
            Some(sign) => {
                clean.push_str(REDACTED);
                &after[sign..]
            }
            None => after,
        };
    }
    if clean.is_empty() {
        return None;
    }
    clean.push_str(rest);
    (clean != text).then_some(clean)
}

/// What an admitted object and the stored one have in common, whoever set the creation time.
pub(crate) fn digest(kept: &Value) -> [u8; 32] {
    let mut hash = Sha256::new();
    feed(&mut hash, kept, 0);
    hash.finalize().into()
}

fn feed(hash: &mut Sha256, value: &Value, depth: u32) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.retain(|key| !(depth == 1 && *key == "creationTimestamp"));
            keys.sort();
            hash.update(b"{");
            for key in keys {
                hash.update(Value::from(key.as_str()).to_string());
                feed(hash, &map[key], depth + 1);
            }
            hash.update(b"}");
        }
        Value::Array(list) => {
            hash.update(b"[");
            list.iter().for_each(|each| feed(hash, each, depth + 1));
            hash.update(b"]");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            hash.update(value.to_string());
            hash.update(b",");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_has_no_bookkeeping_and_nothing_secret() {
        let machine = json!({"apiVersion": "v1", "kind": "Machine", "metadata": {"name": "m1", "uid": "u",
            "resourceVersion": "7", "managedFields": [{}], "labels": {"a": "b"},
            "annotations": {LAST_APPLIED: "{\"spec\": 1}"}},
            "spec": {"bmc": {"address": "redfish://root:calvin@h:443/1", "secretRef": "s"}}});
        let expected = json!({"metadata": {"labels": {"a": "b"}},
            "spec": {"bmc": {"address": "redfish://***@h:443/1", "secretRef": "s"}}});
        assert_eq!(kept(Kind::Machine, machine), expected);
        let run = json!({"metadata": {}, "spec": {"workflow": "w", "parameters": {"token": "t"}}});
        assert_eq!(kept(Kind::Run, run), json!({"metadata": {}, "spec": {"workflow": "w"}}));
    }

    #[test]
    fn credentials_are_found_in_any_text_and_addresses_without_stay() {
        let rows = [
            ("see http://a:b@c/d and ftp://e@f", Some("see http://***@c/d and ftp://***@f")),
            ("mail me@host about https://host/a@b", None),
            ("http://a:p@ss@h", Some("http://***@h")),
            ("plain", None),
        ];
        for (text, expected) in rows {
            assert_eq!(without_credentials(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_digest_heeds_every_field_but_the_order_of_keys_and_the_creation_time() {
        let one = json!({"metadata": {"creationTimestamp": "x", "labels": {"a": "1"}}, "spec": {"b": 1, "c": [1, 2]}});
        let same = json!({"spec": {"c": [1, 2], "b": 1}, "metadata": {"labels": {"a": "1"}}});
        let other = json!({"spec": {"c": [12], "b": 1}, "metadata": {"labels": {"a": "1"}}});
        assert_eq!(digest(&one), digest(&same));
        assert_ne!(digest(&one), digest(&other));
    }
}
