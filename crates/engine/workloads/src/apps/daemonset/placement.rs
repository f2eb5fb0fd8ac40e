//! Which nodes a daemon pod belongs on, and how a pod is tied to its node.

use k8s_openapi::api::core::v1::{Affinity, Taint, Toleration};
use muster_control::matching::{self, Effect, Labels};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::view::{Node, Pod};

/// What daemon pods bear besides their template: they serve the node, so they stay through its troubles.
const BORNE: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// The parts of a template that decide about nodes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Wishes {
    node_name: Option<String>,
    node_selector: Labels,
    affinity: Option<Box<Affinity>>,
    tolerations: Vec<Toleration>,
    host_network: bool,
}

/// What a node is to a daemon set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// A pod should be there.
    Run,
    /// One that is there may stay; none is started.
    Stay,
    /// None may be there.
    Never,
}

impl Wishes {
    /// # Errors
    /// A template whose pod spec the API server would not have taken.
    pub fn of(template: &Value) -> Result<Wishes, serde_json::Error> {
        let spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
        let mut wishes = Wishes::deserialize(spec)?;
        wishes.tolerations.extend(borne(wishes.host_network).map(|(key, effect)| Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some(effect.into()),
            ..Toleration::default()
        }));
        Ok(wishes)
    }

    pub fn fit(&self, node: &Node) -> Fit {
        let none = Labels::new();
        let labels = node.metadata.labels.as_ref().unwrap_or(&none);
        let required = self
            .affinity
            .as_ref()
            .and_then(|affinity| affinity.node_affinity.as_ref())
            .and_then(|rule| rule.required_during_scheduling_ignored_during_execution.as_ref());
        let wanted = self.node_name.as_deref().is_none_or(|name| name.is_empty() || name == node.name())
            && matching::has_all(&self.node_selector, labels)
            && required.is_none_or(|selector| matching::node_matches(selector, node.name(), labels));
        if !wanted || self.repelled(&node.spec.taints, &[Effect::NoExecute]) {
            Fit::Never
        } else if self.repelled(&node.spec.taints, &[Effect::NoSchedule]) {
            Fit::Stay
        } else {
            Fit::Run
        }
    }

    fn repelled(&self, taints: &[Taint], effects: &[Effect]) -> bool {
        matching::untolerated(taints, &self.tolerations, effects).is_some()
    }
}

fn borne(host_network: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    BORNE.into_iter().chain(host_network.then_some(NETWORK))
}

/// The pod spec of a template, tied to `node` by name and bearing what daemon pods bear.
pub fn tied(template: &Value, node: &str) -> Value {
    let mut spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or(false);
    let fields = json!([{"key": "metadata.name", "operator": "In", "values": [node]}]);
    let terms = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    match spec.pointer_mut(terms).and_then(Value::as_array_mut) {
        Some(terms) => terms.iter_mut().for_each(|term| term["matchFields"] = fields.clone()),
        None => {
            spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!({"nodeSelectorTerms": [{"matchFields": fields}]});
        }
    }
    let extra =
        borne(host_network).map(|(key, effect)| json!({"key": key, "operator": "Exists", "effect": effect}));
    let mut tolerations = spec.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
    tolerations.extend(extra);
    spec["tolerations"] = Value::Array(tolerations);
    spec
}

/// The node a daemon pod is on or was made for.
pub fn target(pod: &Pod) -> Option<&str> {
    pod.node().or_else(|| {
        let terms = &pod
            .spec
            .affinity
            .as_ref()?
            .node_affinity
            .as_ref()?
            .required_during_scheduling_ignored_during_execution
            .as_ref()?
            .node_selector_terms;
        let fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
        let pinned = fields.into_iter().find(|field| field.key == "metadata.name")?;
        pinned.values.as_ref()?.first().map(String::as_str)
    })
}
