//! HorizontalPodAutoscalers are stored as `autoscaling/v2`; what v1 cannot say travels in annotations, as upstream.

use serde_json::{Map, Value, json};

use crate::server::Served;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const STATUS: &str = "autoscaling.alpha.kubernetes.io/status";

/// Whether a kind is the v1 form.
pub(super) fn is_old(served: &Served) -> bool {
    let gvk = &served.kind.gvk;
    gvk.group == "autoscaling" && gvk.version == "v1"
}

fn is_cpu(metric: &Value) -> bool {
    metric["resource"]["name"] == "cpu" && metric["resource"]["target"]["type"] == "Utilization"
}

fn annotate(document: &mut Value, key: &str, value: &Value) {
    document["metadata"]["annotations"][key] = json!(value.to_string());
}

/// From v2 to v1.
pub(super) fn to_old(mut document: Value) -> Value {
    document["apiVersion"] = json!("autoscaling/v1");
    let (metrics, behavior) = match document["spec"].as_object_mut() {
        Some(spec) => (spec.remove("metrics"), spec.remove("behavior")),
        None => (None, None),
    };
    let metrics = metrics.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    let (cpu, others): (Vec<Value>, Vec<Value>) = metrics.into_iter().partition(is_cpu);
    let percent = cpu.first().map(|metric| metric["resource"]["target"]["averageUtilization"].clone());
    if let Some(percent) = percent {
        document["spec"]["targetCPUUtilizationPercentage"] = percent;
    }
    if !others.is_empty() {
        annotate(&mut document, METRICS, &Value::from(others));
    }
    if let Some(behavior) = behavior {
        annotate(&mut document, BEHAVIOR, &behavior);
    }
    if let Some(status) = document["status"].as_object_mut() {
        let mut kept = Map::new();
        for key in ["currentMetrics", "conditions"] {
            kept.extend(status.remove(key).map(|value| (key.to_owned(), value)));
        }
        if !kept.is_empty() {
            annotate(&mut document, STATUS, &Value::Object(kept));
        }
    }
    document
}

/// From v1 to v2.
pub(super) fn to_stored(mut document: Value) -> Value {
    document["apiVersion"] = json!("autoscaling/v2");
    let mut take = |key: &str| -> Option<Value> {
        let annotations = document["metadata"]["annotations"].as_object_mut()?;
        let text = annotations.remove(key)?;
        serde_json::from_str(text.as_str()?).ok()
    };
    let (others, behavior, status) = (take(METRICS), take(BEHAVIOR), take(STATUS));
    if document["metadata"]["annotations"].as_object().is_some_and(Map::is_empty)
        && let Some(metadata) = document["metadata"].as_object_mut()
    {
        metadata.remove("annotations");
    }
    let mut metrics = others.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    let percent =
        document["spec"].as_object_mut().and_then(|spec| spec.remove("targetCPUUtilizationPercentage"));
    if let Some(percent) = percent.filter(|percent| !percent.is_null()) {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        metrics.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    if !metrics.is_empty() {
        document["spec"]["metrics"] = Value::from(metrics);
    }
    if let Some(behavior) = behavior {
        document["spec"]["behavior"] = behavior;
    }
    for (key, value) in status.as_ref().and_then(Value::as_object).into_iter().flatten() {
        document["status"][key.as_str()] = value.clone();
    }
    if document["status"].is_null()
        && let Some(root) = document.as_object_mut()
    {
        root.remove("status");
    }
    if document["metadata"]["annotations"].is_null()
        && let Some(metadata) = document["metadata"].as_object_mut()
    {
        metadata.remove("annotations");
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_v1_cannot_say_comes_back_from_it() {
        let stored = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
            "spec": {
                "maxReplicas": 5, "behavior": {"scaleUp": {"selectPolicy": "Max"}},
                "metrics": [
                    {"type": "Resource", "resource": {
                        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}},
                    {"type": "Pods", "pods": {"metric": {"name": "m"}}},
                ],
            },
            "status": {"desiredReplicas": 1, "conditions": [{"type": "ScalingActive"}]},
        });
        let old = to_old(stored.clone());
        assert_eq!(old["spec"], json!({"maxReplicas": 5, "targetCPUUtilizationPercentage": 70}));
        assert_eq!(old["status"], json!({"desiredReplicas": 1}));
        assert_eq!(to_stored(old), stored);
    }

    #[test]
    fn a_plain_v1_object_gains_nothing_but_its_metric() {
        let plain =
            json!({"apiVersion": "autoscaling/v1", "metadata": {"name": "h"}, "spec": {"maxReplicas": 2}});
        let mut expected = plain.clone();
        expected["apiVersion"] = json!("autoscaling/v2");
        assert_eq!(to_stored(plain), expected);
    }
}
