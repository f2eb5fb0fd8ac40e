//! The downward API: what a pod may learn about itself.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use muster_base::quantity::Quantity;

use super::resources;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum FieldError {
    #[error("the field {path:?} cannot be referred to")]
    Field { path: String },
    #[error("the resource {resource:?} cannot be referred to")]
    Resource { resource: String },
    #[error("the divisor {divisor:?} is not a quantity above zero")]
    Divisor { divisor: String },
}

/// A pod and where it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) pod_ips: &'a [String],
    pub(crate) host_ip: &'a str,
    pub(crate) node_cpu_milli: i64,
    pub(crate) node_memory_bytes: i64,
}

fn subscript<'a>(path: &'a str, field: &str) -> Option<&'a str> {
    path.strip_prefix(field)?.strip_prefix("['")?.strip_suffix("']")
}

/// `key="value"` lines, as the downward API volume has them.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={value:?}");
    map.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

impl Facts<'_> {
    pub(crate) fn field(&self, path: &str) -> Result<String, FieldError> {
        let meta = &self.pod.metadata;
        let spec = self.pod.spec.as_ref();
        let of = |map: &Option<BTreeMap<String, String>>, key: &str| {
            map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default()
        };
        if let Some(key) = subscript(path, "metadata.labels") {
            return Ok(of(&meta.labels, key));
        }
        if let Some(key) = subscript(path, "metadata.annotations") {
            return Ok(of(&meta.annotations, key));
        }
        Ok(match path {
            "metadata.name" => meta.name.clone().unwrap_or_default(),
            "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
            "metadata.uid" => meta.uid.clone().unwrap_or_default(),
            "metadata.labels" => lines(meta.labels.as_ref()),
            "metadata.annotations" => lines(meta.annotations.as_ref()),
            "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            "spec.serviceAccountName" => {
                spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
            }
            "status.hostIP" | "status.hostIPs" => self.host_ip.to_owned(),
            "status.podIP" => self.pod_ips.first().cloned().unwrap_or_default(),
            "status.podIPs" => self.pod_ips.join(","),
            _ => return Err(FieldError::Field { path: path.to_owned() }),
        })
    }
}

/// A request or limit, divided and rounded up. A limit that is not set is what the node has.
pub(crate) fn resource(
    container: &Container,
    selector: &ResourceFieldSelector,
    facts: &Facts<'_>,
) -> Result<String, FieldError> {
    let unknown = || FieldError::Resource { resource: selector.resource.clone() };
    let (kind, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let resources = resources::of(container);
    let node = match name {
        "cpu" => Quantity::from_milli(i128::from(facts.node_cpu_milli)),
        "memory" => Quantity::from_units(facts.node_memory_bytes),
        _ => Quantity::default(),
    };
    let quantity = match kind {
        "limits" => resources::amount(&resources.limits, name).unwrap_or(node),
        "requests" => resources::amount(&resources.requests, name).unwrap_or_default(),
        _ => return Err(unknown()),
    };
    let text = selector.divisor.as_ref().map_or("1", |divisor| divisor.0.as_str());
    let divisor: Quantity = match text {
        "" | "0" => Quantity::from_units(1),
        text => text.parse().map_err(|_| FieldError::Divisor { divisor: text.to_owned() })?,
    };
    if divisor.milli() <= 0 {
        return Err(FieldError::Divisor { divisor: text.to_owned() });
    }
    Ok(quantity
        .milli()
        .div_euclid(divisor.milli())
        .saturating_add(i128::from(quantity.milli() % divisor.milli() != 0))
        .to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        let metadata = json!({"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "x\"y", "b": "2"}});
        let limits = json!({"limits": {"cpu": "1500m"}, "requests": {"memory": "1Mi"}});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"nodeName": "node",
            "containers": [{"name": "c", "resources": limits}]}}))
        .unwrap()
    }

    #[test]
    fn fields_are_read_by_path_and_an_unknown_path_is_refused() {
        let (pod, ips) = (pod(), ["10.0.0.1".to_owned(), "fd00::1".to_owned()]);
        let facts = Facts {
            pod: &pod,
            pod_ips: &ips,
            host_ip: "192.0.2.1",
            node_cpu_milli: 2000,
            node_memory_bytes: 1 << 30,
        };
        for (path, expect) in [
            ("metadata.name", "p"),
            ("metadata.labels['b']", "2"),
            ("metadata.labels['none']", ""),
            ("metadata.labels", "a=\"x\\\"y\"\nb=\"2\""),
            ("spec.nodeName", "node"),
            ("status.podIPs", "10.0.0.1,fd00::1"),
            ("status.hostIP", "192.0.2.1"),
        ] {
            assert_eq!(facts.field(path).unwrap(), expect, "{path}");
        }
        assert_eq!(facts.field("spec.nope"), Err(FieldError::Field { path: "spec.nope".to_owned() }));
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let pod = pod();
        let facts =
            Facts { pod: &pod, pod_ips: &[], host_ip: "", node_cpu_milli: 2000, node_memory_bytes: 1 << 30 };
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let ask = |resource: &str, divisor: &str| {
            let selector = serde_json::from_value(json!({"resource": resource, "divisor": divisor})).unwrap();
            resource_text(container, &selector, &facts)
        };
        assert_eq!(ask("limits.cpu", "1"), "2");
        assert_eq!(ask("limits.cpu", "1m"), "1500");
        assert_eq!(ask("limits.memory", "1Mi"), "1024");
        assert_eq!(ask("requests.memory", "0"), "1048576");
    }

    fn resource_text(container: &Container, selector: &ResourceFieldSelector, facts: &Facts<'_>) -> String {
        resource(container, selector, facts).unwrap()
    }
}
