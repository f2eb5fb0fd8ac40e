//! Roles and bindings, compiled: by subject, with aggregated roles resolved.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::bound::{Binding, RoleRef};
use super::{Attributes, Rule};
use crate::authn::Identity;
use crate::object::{Seen, View};
use crate::request::LabelSelector;

/// Who is bound; service accounts are users here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// By user name.
    User(String),
    /// By group.
    Group(String),
}

#[derive(Clone, Debug, Default)]
struct ClusterRole {
    rules: Arc<[Rule]>,
    labels: Vec<(String, String)>,
    aggregates: Vec<LabelSelector>,
}

/// A place in the index: namespace (empty for cluster-wide) and name.
type Place = (String, String);

/// The compiled roles and bindings.
#[derive(Clone, Default)]
pub struct RbacIndex {
    cluster_roles: BTreeMap<String, ClusterRole>,
    roles: BTreeMap<Place, Arc<[Rule]>>,
    bindings: BTreeMap<Place, Binding>,
    by_subject: HashMap<Subject, Vec<(Place, String)>>,
    resolved: HashMap<String, Arc<[Rule]>>,
}

impl View for RbacIndex {
    fn apply(&mut self, seen: Seen<'_>) {
        let (entry, document) = match &seen {
            Seen::Put(entry) => (*entry, Some(entry.value.stored_document(entry.revision.get()))),
            Seen::Gone(entry) => (*entry, None),
        };
        let place = (entry.key.namespace.to_string(), entry.key.name.to_string());
        let resource = entry.key.resource.split('.').next().unwrap_or("");
        match (resource, document) {
            ("clusterroles", Some(document)) => {
                self.cluster_roles.insert(place.1, cluster_role(&document));
            }
            ("clusterroles", None) => {
                self.cluster_roles.remove(&place.1);
            }
            ("roles", Some(document)) => {
                self.roles.insert(place, rules_of(&document));
            }
            ("roles", None) => {
                self.roles.remove(&place);
            }
            (_, Some(document)) => {
                let binding = Binding::of_document(&document, &place.0);
                self.unbind(&place);
                self.bind(place, binding);
            }
            (_, None) => self.unbind(&place),
        }
    }

    fn settle(&mut self) {
        self.resolved =
            self.cluster_roles.iter().map(|(name, role)| (name.clone(), self.resolve(role))).collect();
    }
}

impl RbacIndex {
    fn bind(&mut self, place: Place, binding: Binding) {
        for (subject, label) in &binding.subjects {
            self.by_subject.entry(subject.clone()).or_default().push((place.clone(), label.clone()));
        }
        self.bindings.insert(place, binding);
    }

    fn unbind(&mut self, place: &Place) {
        let Some(binding) = self.bindings.remove(place) else { return };
        for (subject, _) in binding.subjects {
            if let Some(places) = self.by_subject.get_mut(&subject) {
                places.retain(|(found, _)| found != place);
                if places.is_empty() {
                    self.by_subject.remove(&subject);
                }
            }
        }
    }

    fn resolve(&self, role: &ClusterRole) -> Arc<[Rule]> {
        if role.aggregates.is_empty() {
            return Arc::clone(&role.rules);
        }
        let mut rules = role.rules.to_vec();
        let mut seen = vec![std::ptr::from_ref(role)];
        self.gather(role, &mut rules, &mut seen);
        rules.into()
    }

    /// Aggregated roles may aggregate in turn, in circles even.
    fn gather(&self, role: &ClusterRole, rules: &mut Vec<Rule>, seen: &mut Vec<*const ClusterRole>) {
        for other in self.cluster_roles.values() {
            let label = |key: &str| {
                other.labels.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
            };
            let selected = role.aggregates.iter().any(|selector| selector.matches_by(label));
            if !selected || seen.contains(&std::ptr::from_ref(other)) {
                continue;
            }
            seen.push(std::ptr::from_ref(other));
            for rule in other.rules.iter() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
            self.gather(other, rules, seen);
        }
    }

    /// The rules of a role, as a binding in `namespace` refers to it.
    pub fn role(&self, namespace: &str, role: &RoleRef) -> Option<Arc<[Rule]>> {
        if role.kind == "ClusterRole" {
            self.resolved.get(&role.name).cloned()
        } else {
            self.roles.get(&(namespace.to_owned(), role.name.clone())).cloned()
        }
    }

    fn grants<'a>(&'a self, who: &'a Identity) -> impl Iterator<Item = (&'a Place, &'a Binding, &'a str)> {
        let user = std::iter::once(Subject::User(who.user.clone()));
        let groups = who.groups.iter().map(|group| Subject::Group(group.clone()));
        user.chain(groups).filter_map(|subject| self.by_subject.get(&subject)).flatten().filter_map(
            |(place, label)| self.bindings.get(place).map(|binding| (place, binding, label.as_str())),
        )
    }

    /// The binding that allows a request, in upstream's words.
    pub fn find(&self, who: &Identity, what: &Attributes) -> Option<String> {
        self.grants(who).find_map(|(place, binding, label)| {
            let fits = place.0.is_empty() || (place.0 == what.namespace && !what.resource.is_empty());
            let rules = fits.then(|| self.role(&place.0, &binding.role)).flatten()?;
            rules.iter().any(|rule| rule.allows(what)).then(|| {
                let (kind, name) = if place.0.is_empty() {
                    ("ClusterRoleBinding", place.1.clone())
                } else {
                    ("RoleBinding", format!("{}/{}", place.1, place.0))
                };
                let RoleRef { kind: role_kind, name: role } = &binding.role;
                format!("RBAC: allowed by {kind} \"{name}\" of {role_kind} \"{role}\" to {label}")
            })
        })
    }

    /// Every rule that holds for a user in a namespace.
    pub fn rules(&self, who: &Identity, namespace: &str) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (place, binding, _) in self.grants(who) {
            if place.0.is_empty() || place.0 == namespace {
                rules.extend(
                    self.role(&place.0, &binding.role).iter().flat_map(|rules| rules.iter().cloned()),
                );
            }
        }
        rules
    }
}

fn rules_of(document: &Value) -> Arc<[Rule]> {
    let rules = document.get("rules").and_then(Value::as_array).into_iter().flatten();
    rules.map(Rule::of_document).collect()
}

fn cluster_role(document: &Value) -> ClusterRole {
    let labels = document.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let selectors = document
        .pointer("/aggregationRule/clusterRoleSelectors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let aggregates: Vec<LabelSelector> = selectors.filter_map(LabelSelector::of_document).collect();
    ClusterRole {
        // The stored rules of an aggregated role are a copy that a controller keeps, never a source.
        rules: if aggregates.is_empty() { rules_of(document) } else { Arc::from([]) },
        labels: labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or("").to_owned())).collect(),
        aggregates,
    }
}
