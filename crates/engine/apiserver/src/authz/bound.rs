//! Bindings as stored: who is bound to which role.

use serde_json::Value;

use super::Subject;

/// The role that a binding refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleRef {
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl RoleRef {
    /// Reads `roleRef`.
    pub fn of_document(binding: &Value) -> Self {
        let text = |path: &str| binding.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
        Self { kind: text("/roleRef/kind"), name: text("/roleRef/name") }
    }
}

/// A RoleBinding or ClusterRoleBinding.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) role: RoleRef,
    pub(super) subjects: Vec<(Subject, String)>,
}

impl Binding {
    /// Reads a binding; `namespace` is used for service accounts that name none.
    pub(super) fn of_document(document: &Value, namespace: &str) -> Self {
        let list = document.get("subjects").and_then(Value::as_array).into_iter().flatten();
        let subjects = list.filter_map(|subject| subject_of(subject, namespace)).collect();
        Self { role: RoleRef::of_document(document), subjects }
    }
}

fn subject_of(document: &Value, namespace: &str) -> Option<(Subject, String)> {
    let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or("");
    let name = text("name");
    let (subject, label) = match text("kind") {
        "User" => (Subject::User(name.to_owned()), format!("User \"{name}\"")),
        "Group" => (Subject::Group(name.to_owned()), format!("Group \"{name}\"")),
        "ServiceAccount" => {
            let own = text("namespace");
            let namespace = if own.is_empty() { namespace } else { own };
            let user = format!("system:serviceaccount:{namespace}:{name}");
            (Subject::User(user), format!("ServiceAccount \"{name}/{namespace}\""))
        }
        _ => return None,
    };
    Some((subject, label))
}
