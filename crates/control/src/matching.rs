//! How Kubernetes selects: labels, nodes, taints. Pure and without any I/O, shared by everything that places or groups pods.
//!
//! An *absent* selector is the caller's business; here an empty [`LabelSelector`] matches every object and an empty
//! [`NodeSelectorTerm`] matches no node, as the API defines.

pub mod hardware;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels as the API keeps them.
pub type Labels = BTreeMap<String, String>;

/// What a taint does to a pod that does not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// New pods are not placed there.
    NoSchedule,
    /// New pods are placed elsewhere when possible.
    PreferNoSchedule,
    /// New pods are not placed there, and running ones are removed.
    NoExecute,
}

impl Effect {
    /// The effect of a taint, `None` for one this program does not know (it then repels nothing, as upstream).
    pub fn of(taint: &Taint) -> Option<Effect> {
        match taint.effect.as_str() {
            "NoSchedule" => Some(Effect::NoSchedule),
            "PreferNoSchedule" => Some(Effect::PreferNoSchedule),
            "NoExecute" => Some(Effect::NoExecute),
            _ => None,
        }
    }
}

/// Whether `selector` matches `labels`. An empty selector matches everything; an unknown operator matches nothing.
pub fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let exact = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    exact
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let values = requirement.values.as_deref().unwrap_or_default();
            holds(&requirement.operator, labels.get(&requirement.key), values)
        })
}

/// Whether every pair of `wanted` stands in `labels` (the form of Service selectors and `nodeSelector`).
pub fn has_all(wanted: &Labels, labels: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether a required node selector matches: any one of its terms does.
pub fn node_matches(selector: &NodeSelector, name: &str, labels: &Labels) -> bool {
    selector.node_selector_terms.iter().any(|term| term_matches(term, name, labels))
}

/// Whether one term of a node selector matches. A term that asks for nothing matches nothing.
pub fn term_matches(term: &NodeSelectorTerm, name: &str, labels: &Labels) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let label_holds = |r: &NodeSelectorRequirement| {
        holds(&r.operator, labels.get(&r.key), r.values.as_deref().unwrap_or_default())
    };
    let field_holds = |r: &NodeSelectorRequirement| {
        let name = name.to_owned();
        r.key == "metadata.name" && holds(&r.operator, Some(&name), r.values.as_deref().unwrap_or_default())
    };
    expressions.iter().all(label_holds) && fields.iter().all(field_holds)
}

fn holds(operator: &str, found: Option<&String>, values: &[String]) -> bool {
    match operator {
        "In" => found.is_some_and(|value| values.contains(value)),
        "NotIn" => found.is_none_or(|value| !values.contains(value)),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compare(found, values).is_some_and(|(found, limit)| found > limit),
        "Lt" => compare(found, values).is_some_and(|(found, limit)| found < limit),
        _ => false,
    }
}

fn compare(found: Option<&String>, values: &[String]) -> Option<(i64, i64)> {
    match values {
        [limit] => found?.parse().ok().zip(limit.parse().ok()),
        _ => None,
    }
}

/// Whether one toleration covers one taint.
pub fn covers(toleration: &Toleration, taint: &Taint) -> bool {
    let same_effect = toleration.effect.as_deref().is_none_or(|e| e.is_empty() || e == taint.effect);
    let key = toleration.key.as_deref().unwrap_or_default();
    let same_key = key.is_empty() || key == taint.key;
    let same_value = match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Equal" | "" => {
            !key.is_empty()
                && toleration.value.as_deref().unwrap_or_default()
                    == taint.value.as_deref().unwrap_or_default()
        }
        _ => false,
    };
    same_effect && same_key && same_value
}

/// The first taint with one of `effects` that no toleration covers.
pub fn untolerated<'a>(
    taints: &'a [Taint],
    tolerations: &[Toleration],
    effects: &[Effect],
) -> Option<&'a Taint> {
    taints
        .iter()
        .filter(|taint| Effect::of(taint).is_some_and(|effect| effects.contains(&effect)))
        .find(|taint| !tolerations.iter().any(|toleration| covers(toleration, taint)))
}

#[cfg(test)]
mod tests;
