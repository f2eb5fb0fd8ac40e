//! What a node's agent may do: the rules of `system:node` and what a machine's agent needs of Muster's kinds; of the rest
//! only what its own pods, its own orders and its own facts need.

use std::sync::LazyLock;

use muster_api::order::{Executor, Verb};
use muster_store::{Key, Store};
use serde::Deserialize as _;
use serde_json::Value;

use super::{Attributes, Decision, Rule};
use crate::authn::Identity;
use crate::bootstrap::roles;
use crate::object::Object;

const GROUP: &str = "system:nodes";
const PREFIX: &str = "system:node:";

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| roles::rules("system:node"));

const READ: &[&str] = &["get", "list", "watch"];

/// What agents read of Muster's kinds and, for the network of their node, of Kubernetes'.
const READS: &[(&str, &str)] = &[
    ("discovery.k8s.io", "endpointslices"),
    (muster_api::GROUP, "hardwareprofiles"),
    (muster_api::GROUP, "inventories"),
    (muster_api::GROUP, "machineroles"),
    (muster_api::GROUP, "machines"),
    (muster_api::GROUP, "orders"),
    (muster_api::GROUP, "pauses"),
];

/// The node whose agent it is.
pub(crate) fn node_of(who: &Identity) -> Option<&str> {
    let node = who.user.strip_prefix(PREFIX)?;
    who.groups.iter().any(|group| group == GROUP).then_some(node)
}

/// Decides for nodes; `None` for anybody else.
pub(super) fn decide(store: &Store<Object>, who: &Identity, what: &Attributes) -> Option<Decision> {
    let node = node_of(who)?;
    let reads = READ.contains(&what.verb.as_str());
    let is_readable = READS.contains(&(what.group.as_str(), what.resource.as_str()));
    if reads && is_readable && what.subresource.is_empty() {
        return Some(Decision::Allow(String::new()));
    }
    if what.group == muster_api::GROUP {
        return Some(ours(store, node, what));
    }
    if !RULES.iter().any(|rule| rule.allows(what)) {
        return Some(Decision::Deny(String::new()));
    }
    let deny = |why: &str| Some(Decision::Deny(why.to_owned()));
    match what.resource.as_str() {
        "secrets" | "configmaps" | "persistentvolumeclaims" | "serviceaccounts" => {
            if !what.name.is_empty() && used_by_pods(store, node, what) {
                Some(Decision::Allow(String::new()))
            } else {
                deny(&format!("no relationship found between node '{node}' and this object"))
            }
        }
        "nodes" if !reads && what.verb != "create" && what.name != node => {
            deny(&format!("node '{node}' is not allowed to modify node '{}'", what.name))
        }
        "leases" if what.namespace != "kube-node-lease" => deny("can only access leases in kube-node-lease"),
        "leases" if !what.name.is_empty() && what.name != node => {
            deny(&format!("node '{node}' can only access its own lease"))
        }
        "pods" if !reads && what.verb != "create" && !own_pod(store, node, what) => {
            deny(&format!("node '{node}' can only change pods that are bound to it"))
        }
        _ => Some(Decision::Allow(String::new())),
    }
}

/// Observed state of its own machine, and nothing of what is intended. That an Inventory is created under the machine's
/// own name is seen to at admission.
fn ours(store: &Store<Object>, node: &str, what: &Attributes) -> Decision {
    // kubectl reads a subresource before it patches it.
    let writes = ["get", "patch", "update"].contains(&what.verb.as_str());
    let allowed = match (what.resource.as_str(), what.subresource.as_str()) {
        ("inventories", "") => what.verb == "create",
        ("inventories", "status") => writes && what.name == node,
        ("orders", "status") => writes && own_order(store, node, &what.name),
        _ => false,
    };
    if allowed {
        return Decision::Allow(String::new());
    }
    Decision::Deny(format!("node '{node}' writes its own Inventory and the answers to its own Orders only"))
}

/// Whether the order is the agent's to answer: its machine's, and not the management controller's.
fn own_order(store: &Store<Object>, node: &str, name: &str) -> bool {
    let Some(order) = store.get(&Key::new("orders.muster.dev", "", name)) else { return true };
    let document = order.value.stored_document(order.revision.get());
    let verb = Verb::deserialize(&document["spec"]["verb"]);
    document["spec"]["machine"] == node && verb.is_ok_and(|verb| verb.executor() == Executor::Agent)
}

fn own_pod(store: &Store<Object>, node: &str, what: &Attributes) -> bool {
    let key = Key::new("pods", what.namespace.as_str(), what.name.as_str());
    // An absent pod is answered as such by the handler; to a node that is no secret.
    store.get(&key).is_none_or(|pod| pod.value.header().field("spec.nodeName") == Some(node))
}

fn used_by_pods(store: &Store<Object>, node: &str, what: &Attributes) -> bool {
    let pods = store.snapshot("pods");
    pods.namespace(&what.namespace)
        .filter(|pod| pod.value.header().field("spec.nodeName") == Some(node))
        .any(|pod| uses(&pod.value.stored_document(0), what))
}

fn uses(pod: &Value, what: &Attributes) -> bool {
    let spec = &pod["spec"];
    if what.resource == "serviceaccounts" {
        return spec["serviceAccountName"].as_str() == Some(&what.name);
    }
    let keys: &[&str] = match what.resource.as_str() {
        "secrets" => &["secret", "secretRef", "secretKeyRef", "imagePullSecrets", "nodePublishSecretRef"],
        "configmaps" => &["configMap", "configMapRef", "configMapKeyRef"],
        _ => &["persistentVolumeClaim"],
    };
    mentions(spec, keys, &what.name)
}

/// Whether below any of `keys` an object names `name`.
fn mentions(value: &Value, keys: &[&str], name: &str) -> bool {
    if let Some(list) = value.as_array() {
        return list.iter().any(|item| mentions(item, keys, name));
    }
    let names = |value: &Value| {
        ["name", "secretName", "claimName"]
            .iter()
            .any(|key| value.get(key).and_then(Value::as_str) == Some(name))
    };
    value.as_object().into_iter().flatten().any(|(key, inner)| {
        let named = keys.contains(&key.as_str())
            && (names(inner) || inner.as_array().is_some_and(|list| list.iter().any(names)));
        named || mentions(inner, keys, name)
    })
}
