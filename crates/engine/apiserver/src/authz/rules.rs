//! One policy rule, and what it covers.

use serde_json::{Map, Value, json};

use super::Attributes;

/// A `PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
    /// API groups, or `*`.
    pub groups: Vec<String>,
    /// Resources, `resource/subresource`, `*/subresource` or `*`.
    pub resources: Vec<String>,
    /// Object names; empty is any.
    pub names: Vec<String>,
    /// Paths that are no resource; a trailing `*` matches any rest.
    pub paths: Vec<String>,
}

impl Rule {
    /// Every verb on every resource.
    pub fn everything() -> Self {
        let all = || vec!["*".to_owned()];
        Self { verbs: all(), groups: all(), resources: all(), ..Self::default() }
    }

    /// Every verb on every path.
    pub fn every_path() -> Self {
        Self { verbs: vec!["*".into()], paths: vec!["*".into()], ..Self::default() }
    }

    /// Reads a rule of a Role or ClusterRole.
    pub fn of_document(document: &Value) -> Self {
        let list = |key: &str| -> Vec<String> {
            let items = document.get(key).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        Self {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            paths: list("nonResourceURLs"),
        }
    }

    /// As a rule of a Role or ClusterRole.
    pub fn document(&self) -> Value {
        let mut out = Map::new();
        out.insert("verbs".into(), json!(self.verbs));
        let lists = [
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.paths),
        ];
        for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            out.insert(key.into(), json!(list));
        }
        Value::Object(out)
    }

    /// Whether it allows the request.
    pub fn allows(&self, what: &Attributes) -> bool {
        if !has(&self.verbs, &what.verb) {
            return false;
        }
        if what.resource.is_empty() {
            return self.paths.iter().any(|path| path_fits(path, &what.path));
        }
        has(&self.groups, &what.group)
            && self.resource_fits(&what.resource, &what.subresource)
            && (self.names.is_empty() || self.names.contains(&what.name))
    }

    fn resource_fits(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|rule| match rule.split_once('/') {
            None => rule == "*" || (subresource.is_empty() && rule == resource),
            Some((first, second)) => second == subresource && (first == "*" || first == resource),
        })
    }

    /// Whether `other` grants nothing that this rule does not; both of one verb, group and resource or path.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let all = |mine: &[String], theirs: &[String]| {
            mine.iter().any(|item| item == "*") || theirs.iter().all(|item| mine.contains(item))
        };
        let resources = || {
            other.resources.iter().all(|item| {
                self.resources.contains(item)
                    || self.resources.iter().any(|mine| mine == "*")
                    || item
                        .split_once('/')
                        .is_some_and(|(_, sub)| self.resources.contains(&format!("*/{sub}")))
            })
        };
        let names = || {
            self.names.is_empty()
                || (!other.names.is_empty() && other.names.iter().all(|name| self.names.contains(name)))
        };
        let paths = || other.paths.iter().all(|path| self.paths.iter().any(|mine| path_fits(mine, path)));
        all(&self.verbs, &other.verbs)
            && all(&self.groups, &other.groups)
            && resources()
            && names()
            && paths()
    }

    /// The rule in parts of one verb, group, resource and name (or one verb and path) each.
    pub(super) fn parts(&self) -> Vec<Self> {
        let mut out = Vec::new();
        for verb in &self.verbs {
            for path in &self.paths {
                let (verbs, paths) = (vec![verb.clone()], vec![path.clone()]);
                out.push(Self { verbs, paths, ..Self::default() });
            }
            for group in &self.groups {
                for resource in &self.resources {
                    let part = Self {
                        verbs: vec![verb.clone()],
                        groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        ..Self::default()
                    };
                    if self.names.is_empty() {
                        out.push(part);
                    } else {
                        let named =
                            self.names.iter().map(|name| Self { names: vec![name.clone()], ..part.clone() });
                        out.extend(named);
                    }
                }
            }
        }
        out
    }
}

fn has(list: &[String], item: &str) -> bool {
    list.iter().any(|one| one == "*" || one == item)
}

fn path_fits(rule: &str, path: &str) -> bool {
    rule == path || rule.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}
