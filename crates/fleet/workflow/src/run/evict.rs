//! Empties a node through the eviction subresource, which honours disruption budgets.

use std::collections::{BTreeMap, HashMap};

use futures::future::join_all;
use kube::Client;
use muster_control::is_not_found;
use muster_control::rest::{Rest, path};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::plan::{PodKey, PodSeen};

/// Pods that are asked to go at once.
const AT_ONCE: usize = 16;
const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";

/// Why pods could not be evicted, by run. In memory alone: the next round asks again.
#[derive(Default)]
pub(crate) struct Evictions(Mutex<HashMap<String, BTreeMap<PodKey, String>>>);

impl Evictions {
    pub(crate) fn of(&self, run: &str) -> BTreeMap<PodKey, String> {
        self.0.lock().get(run).cloned().unwrap_or_default()
    }

    pub(crate) fn forget(&self, run: &str) {
        self.0.lock().remove(run);
    }

    /// Asks each pod to go, and notes why one may not.
    pub(crate) async fn evict(&self, client: &Client, run: &str, pods: &[PodKey]) -> Result<(), kube::Error> {
        let rest = Rest::new(client.clone());
        for some in pods.chunks(AT_ONCE) {
            let asked = join_all(some.iter().map(|pod| evict(&rest, pod))).await;
            let mut reasons = self.0.lock();
            let reasons = reasons.entry(run.to_owned()).or_default();
            for (pod, answer) in some.iter().zip(asked) {
                match answer? {
                    Some(reason) => reasons.insert(pod.clone(), reason),
                    None => reasons.remove(pod),
                };
            }
        }
        Ok(())
    }
}

/// Why the pod may not go, if so.
async fn evict(rest: &Rest, pod: &PodKey) -> Result<Option<String>, kube::Error> {
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
    });
    let subresource = format!("{}/eviction", pod.name);
    match rest.create(&path("v1", &pod.namespace, "pods", &subresource), &eviction).await {
        Ok(_) => Ok(None),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(kube::Error::Api(status)) if (400..600).contains(&status.code) => {
            Ok(Some(format!("may not go: {}", status.message)))
        }
        Err(error) => Err(error),
    }
}

/// The pods on a node, as the API says now.
pub(crate) async fn pods(client: &Client, node: &str) -> Result<Vec<PodSeen>, kube::Error> {
    let list = format!("{}?fieldSelector=spec.nodeName%3D{node}", path("v1", "", "pods", ""));
    let list = Rest::new(client.clone()).get(&list).await?;
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut pods: Vec<PodSeen> = items.iter().filter(|pod| !is_over(pod)).map(seen).collect();
    pods.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(pods)
}

fn is_over(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn seen(pod: &Value) -> PodSeen {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let owners = pod["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_daemon = owners.iter().any(|owner| owner["kind"] == "DaemonSet" && owner["controller"] == true);
    PodSeen {
        key: PodKey { namespace: text("/metadata/namespace"), name: text("/metadata/name") },
        stays: of_daemon || pod.pointer(MIRROR).is_some(),
        ending: pod.pointer("/metadata/deletionTimestamp").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_and_the_nodes_own_pods_stay() {
        let pod = |metadata: Value| seen(&json!({"metadata": metadata})).stays;
        assert!(pod(json!({"ownerReferences": [{"kind": "DaemonSet", "controller": true}]})));
        assert!(pod(json!({"annotations": {"kubernetes.io/config.mirror": "x"}})));
        assert!(!pod(json!({"ownerReferences": [{"kind": "ReplicaSet", "controller": true}]})));
        assert!(!pod(json!({})));
    }
}
