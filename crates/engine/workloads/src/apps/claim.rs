//! Which objects belong to an owner: those it controls, those it should take over, those it should let go.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use muster_control::matching::{self, Labels};
use serde_json::{Value, json};

use crate::view::Object;

/// The owner's side of the question.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub name: &'a str,
    pub uid: &'a str,
    pub selector: &'a LabelSelector,
    pub leaving: Leaving,
}

/// Whether the owner is being deleted; then it claims nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    Yes,
    No,
}

#[derive(Debug)]
pub struct Claims<'a, S, T> {
    pub own: Vec<&'a Object<S, T>>,
    pub adopt: Vec<&'a Object<S, T>>,
    pub release: Vec<&'a Object<S, T>>,
}

/// Sorts `objects` of the owner's namespace. A selector without any requirement claims nothing.
pub fn claim<'a, S, T>(
    owner: Owner<'_>,
    objects: impl IntoIterator<Item = &'a Object<S, T>>,
) -> Claims<'a, S, T> {
    let mut claims = Claims { own: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    let none = Labels::new();
    for object in objects {
        let labels = object.metadata.labels.as_ref().unwrap_or(&none);
        let matches = !is_empty(owner.selector) && matching::selects(owner.selector, labels);
        match object.controller() {
            Some(uid) if uid == owner.uid && matches => claims.own.push(object),
            Some(uid) if uid == owner.uid && owner.leaving == Leaving::No && !object.is_leaving() => {
                claims.release.push(object);
            }
            Some(_) => {}
            None if matches && owner.leaving == Leaving::No && !object.is_leaving() => {
                claims.adopt.push(object);
            }
            None => {}
        }
    }
    claims
}

fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(|labels| labels.is_empty())
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// The reference that marks an object as controlled by this owner.
pub fn reference(owner: Owner<'_>) -> Value {
    json!({
        "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid,
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// Strategic patch that makes `uid` the object of `owner`; the uid guards against a namesake.
pub fn adoption(owner: Owner<'_>, uid: &str) -> Value {
    json!({"metadata": {"uid": uid, "ownerReferences": [reference(owner)]}})
}

/// Strategic patch that takes the owner's reference away.
pub fn release(owner: Owner<'_>, uid: &str) -> Value {
    json!({"metadata": {"uid": uid, "ownerReferences": [{"$patch": "delete", "uid": owner.uid}]}})
}
