//! The cluster roles that clients expect, from a table.

use serde_json::{Value, json};

use crate::authz::Rule;

const TABLE: &str = include_str!("roles.txt");
const GROUP: &str = "rbac.authorization.k8s.io";

enum Line<'a> {
    Role { name: &'a str, labels: Vec<&'a str>, aggregates: Vec<&'a str> },
    Rule(Rule),
    Bind { role: &'a str, subjects: Vec<&'a str> },
}

fn lines() -> impl Iterator<Item = Line<'static>> {
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(line)
}

fn line(text: &str) -> Line<'_> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["role", name, rest @ ..] => {
            let mut halves = rest.split(|word| *word == "aggregates");
            let labels = halves.next().unwrap_or_default().to_vec();
            let aggregates = halves
                .next()
                .and_then(|half| half.first())
                .map_or(Vec::new(), |list| list.split(',').collect());
            Line::Role { name, labels, aggregates }
        }
        ["bind", role, subjects @ ..] => Line::Bind { role, subjects: subjects.to_vec() },
        words => Line::Rule(rule(words)),
    }
}

fn rule(words: &[&str]) -> Rule {
    let list = |at: usize| -> Vec<String> {
        words.get(at).map_or(Vec::new(), |text| text.split(',').map(str::to_owned).collect())
    };
    if words.get(1) == Some(&"url") {
        return Rule { verbs: list(0), paths: list(2), ..Rule::default() };
    }
    let groups =
        list(1).into_iter().map(|group| if group == "core" { String::new() } else { group }).collect();
    Rule { verbs: list(0), groups, resources: list(2), names: list(4), paths: Vec::new() }
}

/// The rules of one role of the table.
pub(crate) fn rules(role: &str) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut inside = false;
    for line in lines() {
        match line {
            Line::Role { name, .. } => inside = name == role,
            Line::Rule(rule) if inside => rules.push(rule),
            Line::Rule(_) | Line::Bind { .. } => {}
        }
    }
    rules
}

/// The roles and their bindings.
pub(super) fn documents() -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for line in lines() {
        match line {
            Line::Role { name, labels, aggregates } => out.push(role(name, &labels, &aggregates)),
            Line::Rule(rule) => {
                if let Some(rules) = out.last_mut().and_then(|role| role["rules"].as_array_mut()) {
                    rules.push(rule.document());
                }
            }
            Line::Bind { role, subjects } => out.push(binding(role, &subjects)),
        }
    }
    out
}

fn role(name: &str, labels: &[&str], aggregates: &[&str]) -> Value {
    let mut document = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
        "rules": [],
    });
    for label in labels {
        document["metadata"]["labels"][format!("{GROUP}/{label}")] = json!("true");
    }
    if !aggregates.is_empty() {
        let selector = |label: &&str| json!({"matchLabels": {format!("{GROUP}/{label}"): "true"}});
        let selectors: Vec<Value> = aggregates.iter().map(selector).collect();
        document["aggregationRule"] = json!({"clusterRoleSelectors": selectors});
    }
    document
}

fn binding(role: &str, subjects: &[&str]) -> Value {
    let subject = |text: &&str| match text.splitn(3, ':').collect::<Vec<_>>().as_slice() {
        ["ServiceAccount", namespace, name] => {
            json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
        }
        [kind, rest @ ..] => json!({"apiGroup": GROUP, "kind": kind, "name": rest.join(":")}),
        [] => Value::Null,
    };
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRoleBinding",
        "metadata": {
            "name": role,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": subjects.iter().map(subject).collect::<Vec<_>>(),
    })
}
