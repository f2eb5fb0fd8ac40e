//! The arithmetic of one budget.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use muster_base::clock::elapsed;
use serde_json::{Value, json};

use crate::apps::amount::{self, Rounding};
use crate::view::{Budget, BudgetStatus, Pod};

/// An eviction that has not removed its pod after so long is forgotten.
const DISRUPTION_MAX: Duration = Duration::from_secs(120);

/// The new status, if it differs. `pods` match the selector; `scale` is what their controllers want altogether.
pub fn plan(budget: &Budget, pods: &[&Pod], scale: i32, now: Timestamp) -> Option<BudgetStatus> {
    let active: Vec<&Pod> = pods.iter().copied().filter(|pod| !pod.is_finished()).collect();
    let mut disrupted = budget.status.disrupted_pods.clone();
    disrupted.retain(|name, since| {
        elapsed(*since, now) < DISRUPTION_MAX
            && active.iter().any(|pod| pod.name() == name && !pod.is_leaving())
    });
    let healthy = |pod: &&&Pod| pod.is_ready() && !pod.is_leaving() && !disrupted.contains_key(pod.name());
    let current = count(active.iter().filter(healthy).count());
    let (expected, desired) = needed(budget, count(active.len()), scale);
    let allowed = if expected == 0 { 0 } else { (current - desired).max(0) };
    let status = BudgetStatus {
        observed_generation: budget.generation(),
        disruptions_allowed: allowed,
        current_healthy: current,
        desired_healthy: desired,
        expected_pods: expected,
        disrupted_pods: disrupted,
        conditions: vec![condition(budget, allowed, now)],
    };
    (status != budget.status).then_some(status)
}

/// When a disruption is forgotten although its pod is still there.
pub fn again_at(status: &BudgetStatus) -> Option<Timestamp> {
    status.disrupted_pods.values().filter_map(|since| since.checked_add(DISRUPTION_MAX).ok()).min()
}

/// How many pods there should be, and how many of them must serve.
fn needed(budget: &Budget, present: i32, scale: i32) -> (i32, i32) {
    match (&budget.spec.max_unavailable, &budget.spec.min_available) {
        (Some(most), _) => (scale, (scale - amount::of(most, scale, Rounding::Up)).max(0)),
        (None, Some(least @ IntOrString::String(_))) => (scale, amount::of(least, scale, Rounding::Up)),
        (None, Some(least @ IntOrString::Int(_))) => (present, amount::of(least, present, Rounding::Up)),
        (None, None) => (present, 1),
    }
}

fn condition(budget: &Budget, allowed: i32, now: Timestamp) -> Value {
    let (status, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let before = budget.status.conditions.iter().find(|c| c["type"] == json!("DisruptionAllowed"));
    let since = before.filter(|c| c["status"] == json!(status)).map(|c| c["lastTransitionTime"].clone());
    json!({"type": "DisruptionAllowed", "status": status, "reason": reason, "message": "",
        "observedGeneration": budget.generation(),
        "lastTransitionTime": since.unwrap_or_else(|| json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))})
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn pod(name: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}}))
        .unwrap()
    }

    /// Allowed, healthy, desired, expected.
    #[track_caller]
    fn check(spec: Value, ready: usize, idle: usize, scale: i32, expected: [i32; 4]) {
        let budget: Budget =
            serde_json::from_value(json!({"metadata": {"name": "b"}, "spec": spec})).unwrap();
        let mut pods: Vec<Pod> = (0..ready).map(|n| pod(&format!("r{n}"), "True")).collect();
        pods.extend((0..idle).map(|n| pod(&format!("i{n}"), "False")));
        let pods: Vec<&Pod> = pods.iter().collect();
        let status = plan(&budget, &pods, scale, at(0)).unwrap();
        let found = [
            status.disruptions_allowed,
            status.current_healthy,
            status.desired_healthy,
            status.expected_pods,
        ];
        assert_eq!(found, expected);
        let again = Budget { status, ..budget };
        assert_eq!(plan(&again, &pods, scale, at(9)), None);
    }

    #[test]
    fn counts_and_percentages_leave_what_must_serve() {
        check(json!({"minAvailable": 2}), 3, 0, 3, [1, 3, 2, 3]);
        check(json!({"minAvailable": 2}), 1, 2, 3, [0, 1, 2, 3]);
        check(json!({"maxUnavailable": 1}), 3, 1, 4, [0, 3, 3, 4]);
        check(json!({"maxUnavailable": "30%"}), 10, 0, 10, [3, 10, 7, 10]);
        check(json!({"minAvailable": "50%"}), 3, 0, 5, [0, 3, 3, 5]);
        check(json!({"maxUnavailable": 1}), 0, 0, 0, [0, 0, 0, 0]);
    }

    #[test]
    fn a_granted_disruption_counts_until_its_pod_is_gone_or_two_minutes_have_passed() {
        let mut budget: Budget =
            serde_json::from_value(json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1}})).unwrap();
        budget.status.disrupted_pods.insert("a".into(), at(0));
        budget.status.disrupted_pods.insert("gone".into(), at(0));
        let pods = [pod("a", "True"), pod("b", "True")];
        let pods: Vec<&Pod> = pods.iter().collect();
        let status = plan(&budget, &pods, 2, at(1)).unwrap();
        assert_eq!((status.disruptions_allowed, status.disrupted_pods.len()), (0, 1));
        assert_eq!(again_at(&status), Some(at(120)));
        let status = plan(&budget, &pods, 2, at(120)).unwrap();
        assert_eq!((status.disruptions_allowed, status.disrupted_pods.len()), (1, 0));
    }
}
