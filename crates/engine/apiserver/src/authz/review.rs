//! The question form of authorization: SubjectAccessReview and its relatives.

use serde_json::{Map, Value, json};

use super::{Attributes, Authorizer, Decision, Rule};
use crate::authn::Identity;
use crate::status::Refusal;

/// Which of the review kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// About the asking user.
    SelfAccess,
    /// About a named user.
    Access,
    /// About a named user, in the namespace of the path.
    LocalAccess,
}

/// Who a review is about.
pub type ReviewSubject = Identity;

impl Authorizer {
    /// Answers an access review: the document with its status filled in.
    pub fn review(
        &self,
        kind: Review,
        asking: &Identity,
        namespace: &str,
        mut document: Value,
    ) -> Result<Value, Refusal> {
        let spec = document.get("spec").cloned().unwrap_or_default();
        let mut what = attributes(&spec)?;
        if kind == Review::LocalAccess {
            if what.namespace != namespace {
                return Err(Refusal::bad_request(format!(
                    "spec.resourceAttributes.namespace must match namespace: {namespace}"
                )));
            }
            what.namespace = namespace.to_owned();
        }
        let subject = match kind {
            Review::SelfAccess => asking.clone(),
            Review::Access | Review::LocalAccess => subject(&spec)?,
        };
        document["status"] = match self.decide(&subject, &what) {
            Decision::Allow(reason) => answer(true, &reason),
            Decision::Deny(reason) => answer(false, &reason),
        };
        Ok(document)
    }

    /// Answers a SelfSubjectRulesReview.
    pub fn rules_review(&self, asking: &Identity, mut document: Value) -> Result<Value, Refusal> {
        let namespace = document.pointer("/spec/namespace").and_then(Value::as_str).unwrap_or("").to_owned();
        if namespace.is_empty() {
            return Err(Refusal::bad_request("no namespace on request"));
        }
        let (paths, resources): (Vec<Rule>, Vec<Rule>) =
            self.rules(asking, &namespace).into_iter().partition(|rule| !rule.paths.is_empty());
        document["status"] = json!({
            "resourceRules": resources.iter().map(Rule::document).collect::<Vec<_>>(),
            "nonResourceRules": paths.iter().map(Rule::document).collect::<Vec<_>>(),
            "incomplete": false,
        });
        Ok(document)
    }
}

fn answer(allowed: bool, reason: &str) -> Value {
    let mut out = Map::new();
    out.insert("allowed".into(), json!(allowed));
    if !reason.is_empty() {
        out.insert("reason".into(), json!(reason));
    }
    Value::Object(out)
}

fn attributes(spec: &Value) -> Result<Attributes, Refusal> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let resource = spec.get("resourceAttributes").filter(|value| !value.is_null());
    let path = spec.get("nonResourceAttributes").filter(|value| !value.is_null());
    match (resource, path) {
        (Some(resource), None) => Ok(Attributes {
            verb: text(resource, "verb"),
            group: text(resource, "group"),
            version: text(resource, "version"),
            resource: text(resource, "resource"),
            subresource: text(resource, "subresource"),
            namespace: text(resource, "namespace"),
            name: text(resource, "name"),
            path: String::new(),
        }),
        (None, Some(path)) => {
            Ok(Attributes { verb: text(path, "verb"), path: text(path, "path"), ..Attributes::default() })
        }
        (Some(_), Some(_)) | (None, None) => Err(Refusal::bad_request(
            "exactly one of spec.resourceAttributes and spec.nonResourceAttributes must be specified",
        )),
    }
}

fn subject(spec: &Value) -> Result<Identity, Refusal> {
    let text = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let groups = spec.get("groups").and_then(Value::as_array).into_iter().flatten();
    let groups: Vec<String> = groups.filter_map(|group| group.as_str().map(str::to_owned)).collect();
    let user = text("user");
    if user.is_empty() && groups.is_empty() {
        return Err(Refusal::bad_request("at least one of spec.user and spec.groups must be specified"));
    }
    Ok(Identity { user, groups, uid: text("uid"), ..Identity::default() })
}
