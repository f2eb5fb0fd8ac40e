//! Which requests a webhook asks for: rules and selectors, decided without I/O.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::request::LabelSelector;

/// A request, as rules look at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) resource: &'a str,
    pub(super) subresource: &'a str,
    pub(super) operation: &'a str,
    pub(super) scope: Scope,
}

/// Whether what is written lives in a namespace; a Namespace does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Any,
    Cluster,
    Namespaced,
}

/// One of a webhook's `rules`.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    groups: BTreeSet<String>,
    versions: BTreeSet<String>,
    operations: BTreeSet<String>,
    resources: Vec<(String, String)>,
    scope: Scope,
}

impl Rule {
    pub(super) fn of(document: &Value) -> Self {
        let list = |field: &str| -> BTreeSet<String> {
            let items = document[field].as_array().into_iter().flatten();
            items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let split = |text: String| match text.split_once('/') {
            Some((resource, part)) => (resource.to_owned(), part.to_owned()),
            None => (text, String::new()),
        };
        Self {
            groups: list("apiGroups"),
            versions: list("apiVersions"),
            operations: list("operations"),
            resources: list("resources").into_iter().map(split).collect(),
            scope: match document["scope"].as_str() {
                Some("Cluster") => Scope::Cluster,
                Some("Namespaced") => Scope::Namespaced,
                Some(_) | None => Scope::Any,
            },
        }
    }

    /// The plural names it is about; `*` is every one.
    pub(super) fn resources(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().map(|(resource, _)| resource.as_str())
    }

    pub(super) fn matches(&self, request: &Request<'_>) -> bool {
        let among = |list: &BTreeSet<String>, value: &str| list.contains("*") || list.contains(value);
        let named = |(resource, part): &(String, String)| {
            (resource == "*" || resource == request.resource) && (part == "*" || part == request.subresource)
        };
        (self.scope == Scope::Any || self.scope == request.scope)
            && among(&self.groups, request.group)
            && among(&self.versions, request.version)
            && among(&self.operations, request.operation)
            && self.resources.iter().any(named)
    }
}

/// Whether a selector selects the labels of one of the documents. Empty, it selects also what has none.
pub(super) fn selects(selector: &LabelSelector, documents: [Option<&Value>; 2]) -> bool {
    let fits = |document: &Value| {
        let labels = &document["metadata"]["labels"];
        selector.matches_by(|key| labels[key].as_str())
    };
    selector.is_empty() || documents.into_iter().flatten().any(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `group/version resource[/part] OPERATION scope`
    #[track_caller]
    fn check(rule: Value, expected: &[(&str, bool)]) {
        let rule = Rule::of(&rule);
        for (text, wanted) in expected {
            let words: Vec<&str> = text.split(' ').collect();
            let (group, version) = words[0].split_once('/').unwrap();
            let (resource, subresource) = words[1].split_once('/').unwrap_or((words[1], ""));
            let scope = if words[3] == "cluster" { Scope::Cluster } else { Scope::Namespaced };
            let request = Request { group, version, resource, subresource, operation: words[2], scope };
            assert_eq!(rule.matches(&request), *wanted, "{text}");
        }
    }

    #[test]
    fn a_rule_names_groups_versions_resources_operations_and_a_scope() {
        check(
            json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                   "resources": ["deployments", "replicasets/scale"], "scope": "*"}),
            &[
                ("apps/v1 deployments CREATE ns", true),
                ("apps/v1 deployments DELETE ns", false),
                ("apps/v1 deployments/status UPDATE ns", false),
                ("apps/v1 replicasets UPDATE ns", false),
                ("apps/v1 replicasets/scale UPDATE ns", true),
                ("apps/v1beta1 deployments CREATE ns", false),
                ("batch/v1 deployments CREATE ns", false),
            ],
        );
    }

    #[test]
    fn stars_mean_every_resource_every_part_or_both() {
        let rule = |resources: &[&str], scope: &str| {
            json!({"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": resources,
                   "scope": scope})
        };
        let both = [("/v1 pods CREATE ns", true), ("/v1 pods/status UPDATE ns", true)];
        check(rule(&["*/*"], "*"), &both);
        check(rule(&["pods/*"], "*"), &both);
        check(rule(&["*"], "*"), &[("/v1 pods CREATE ns", true), ("/v1 pods/status UPDATE ns", false)]);
        check(
            rule(&["*/status"], "*"),
            &[("/v1 pods CREATE ns", false), ("/v1 pods/status UPDATE ns", true)],
        );
        check(rule(&["*"], "Cluster"), &[("/v1 pods CREATE ns", false), ("/v1 nodes CREATE cluster", true)]);
        check(
            rule(&["*"], "Namespaced"),
            &[("/v1 pods CREATE ns", true), ("/v1 nodes CREATE cluster", false)],
        );
    }
}
