//! Nobody grants what they do not hold: the check on writes of roles and bindings.

use serde_json::Value;

use super::bound::RoleRef;
use super::{Attributes, Authorizer, Decision, Rule};
use crate::authn::Identity;

/// A write that gives rights to somebody.
#[derive(Debug)]
pub enum Grant<'a> {
    /// A Role or ClusterRole with these contents.
    Role(&'a Value),
    /// A RoleBinding or ClusterRoleBinding with these contents.
    Binding(&'a Value),
}

impl Authorizer {
    /// Why `who` may not make this grant in `namespace`; `None` if they may.
    pub fn escalation(
        &self,
        who: &Identity,
        namespace: &str,
        name: &str,
        grant: &Grant<'_>,
    ) -> Option<String> {
        if who.groups.iter().any(|group| group == super::MASTERS) {
            return None;
        }
        let asked = |verb: &str, resource: &str, name: &str| Attributes {
            verb: verb.to_owned(),
            group: "rbac.authorization.k8s.io".to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        let allowed = |what: &Attributes| matches!(self.decide(who, what), Decision::Allow(_));
        let roles = if namespace.is_empty() { "clusterroles" } else { "roles" };
        let wanted = match grant {
            Grant::Role(document) => {
                if allowed(&asked("escalate", roles, name)) {
                    return None;
                }
                if document.get("aggregationRule").is_some_and(|rule| !rule.is_null()) {
                    vec![Rule::everything(), Rule::every_path()]
                } else {
                    let rules = document.get("rules").and_then(Value::as_array).into_iter().flatten();
                    rules.map(Rule::of_document).collect()
                }
            }
            Grant::Binding(document) => {
                let role = RoleRef::of_document(document);
                let resource = if role.kind == "ClusterRole" { "clusterroles" } else { "roles" };
                if allowed(&asked("bind", resource, &role.name)) {
                    return None;
                }
                match self.index().role(namespace, &role) {
                    Some(rules) => rules.to_vec(),
                    None => return Some(missing_role(&role)),
                }
            }
        };
        uncovered(who, &self.rules(who, namespace), &wanted)
    }
}

fn missing_role(role: &RoleRef) -> String {
    let resource = if role.kind == "ClusterRole" { "clusterroles" } else { "roles" };
    format!("{resource}.rbac.authorization.k8s.io \"{}\" not found", role.name)
}

fn uncovered(who: &Identity, held: &[Rule], wanted: &[Rule]) -> Option<String> {
    let missing: Vec<Rule> = wanted
        .iter()
        .flat_map(Rule::parts)
        .filter(|part| !held.iter().any(|rule| rule.covers(part)))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let groups: Vec<String> = who.groups.iter().map(|group| format!("{group:?}")).collect();
    let rules: Vec<String> = missing.iter().map(show).collect();
    Some(format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        who.user,
        groups.join(" "),
        rules.join("\n")
    ))
}

fn show(rule: &Rule) -> String {
    let lists = [
        ("APIGroups", &rule.groups),
        ("Resources", &rule.resources),
        ("ResourceNames", &rule.names),
        ("NonResourceURLs", &rule.paths),
        ("Verbs", &rule.verbs),
    ];
    let shown: Vec<String> = lists
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| {
            let quoted: Vec<String> = list.iter().map(|item| format!("{item:?}")).collect();
            format!("{name}:[{}]", quoted.join(" "))
        })
        .collect();
    format!("{{{}}}", shown.join(", "))
}
