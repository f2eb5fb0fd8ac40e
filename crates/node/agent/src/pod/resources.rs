//! Requests and limits as the kernel takes them, and the quality-of-service class.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use muster_base::quantity::Quantity;

use crate::runtime::proto;

/// Who is throttled and killed first when the node runs short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Qos {
    pub fn name(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

type Amounts = Option<BTreeMap<String, ApiQuantity>>;

/// An amount the API server has already validated; an unreadable one counts as absent.
pub(super) fn amount(amounts: &Amounts, name: &str) -> Option<Quantity> {
    amounts.as_ref()?.get(name)?.0.parse().ok().filter(|quantity: &Quantity| quantity.milli() > 0)
}

pub(super) fn of(container: &Container) -> ResourceRequirements {
    container.resources.clone().unwrap_or_default()
}

/// The class, by the rules of the Kubernetes documentation ("Pod Quality of Service Classes").
pub(super) fn qos(spec: &PodSpec) -> Qos {
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut guaranteed = true;
    let mut anything = false;
    for container in all {
        let resources = of(container);
        for name in ["cpu", "memory"] {
            let (request, limit) = (amount(&resources.requests, name), amount(&resources.limits, name));
            anything |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (anything, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

const QUOTA_PERIOD_US: i64 = 100_000;
/// Kernel limits: the least shares and the least quota it takes.
const SHARES_MIN: i64 = 2;
const QUOTA_MIN_US: i64 = 1_000;

fn small(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn shares(milli: i64) -> i64 {
    (milli.saturating_mul(1024) / 1000).clamp(SHARES_MIN, 262_144)
}

/// The score with which the kernel chooses what to kill: the less of its request a container is expected to use, the
/// sooner it goes.
fn oom_score(qos: Qos, request_bytes: i64, capacity_bytes: i64) -> i64 {
    match qos {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            (1000 - small(1000 * i128::from(request_bytes) / i128::from(capacity_bytes.max(1)))).clamp(3, 999)
        }
    }
}

/// What the runtime is told about one container.
pub(super) fn linux(
    container: &Container,
    qos: Qos,
    memory_capacity_bytes: i64,
) -> proto::LinuxContainerResources {
    let resources = of(container);
    let cpu_limit = amount(&resources.limits, "cpu").map(|q| small(q.milli()));
    let cpu_request = amount(&resources.requests, "cpu").map(|q| small(q.milli()));
    let memory_limit = amount(&resources.limits, "memory").map(|q| small(q.units()));
    let memory_request = amount(&resources.requests, "memory").map(|q| small(q.units()));
    proto::LinuxContainerResources {
        cpu_shares: shares(cpu_request.or(cpu_limit).unwrap_or(0)),
        cpu_period: if cpu_limit.is_some() { QUOTA_PERIOD_US } else { 0 },
        cpu_quota: cpu_limit
            .map_or(0, |milli| (milli.saturating_mul(QUOTA_PERIOD_US) / 1000).max(QUOTA_MIN_US)),
        memory_limit_in_bytes: memory_limit.unwrap_or(0),
        oom_score_adj: oom_score(qos, memory_request.or(memory_limit).unwrap_or(0), memory_capacity_bytes),
        ..proto::LinuxContainerResources::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(resources: &[serde_json::Value]) -> PodSpec {
        let containers: Vec<_> = resources
            .iter()
            .enumerate()
            .map(|(n, r)| json!({"name": format!("c{n}"), "resources": r}))
            .collect();
        serde_json::from_value(json!({ "containers": containers })).unwrap()
    }

    #[test]
    fn the_class_follows_requests_and_limits() {
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let equal = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}});
        let half = json!({"requests": {"cpu": "100m"}});
        assert_eq!(qos(&spec(&[json!({})])), Qos::BestEffort);
        assert_eq!(qos(&spec(&[json!({"requests": {"cpu": "0"}})])), Qos::BestEffort);
        assert_eq!(qos(&spec(&[full.clone(), equal])), Qos::Guaranteed);
        assert_eq!(qos(&spec(&[full, half])), Qos::Burstable);
    }

    #[test]
    fn cpu_and_memory_reach_the_kernel_in_its_units() {
        let spec = spec(&[json!({"limits": {"cpu": "200m", "memory": "32Mi"}, "requests": {"cpu": "100m"}})]);
        let linux = linux(&spec.containers[0], Qos::Burstable, 1 << 30);
        assert_eq!((linux.cpu_shares, linux.cpu_period, linux.cpu_quota), (102, 100_000, 20_000));
        assert_eq!((linux.memory_limit_in_bytes, linux.oom_score_adj), (32 << 20, 969));
    }

    #[test]
    fn without_limits_nothing_is_capped() {
        let linux = linux(&spec(&[json!({})]).containers[0], Qos::BestEffort, 1 << 30);
        assert_eq!(
            (linux.cpu_shares, linux.cpu_quota, linux.memory_limit_in_bytes, linux.oom_score_adj),
            (2, 0, 0, 1000)
        );
    }
}
