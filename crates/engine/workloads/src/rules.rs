//! What each component's identity must be allowed to do, and nothing more.

/// One row of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub group: &'static str,
    pub resources: &'static [&'static str],
    pub verbs: &'static [&'static str],
}

const EVENTS: Rule = Rule { group: "", resources: &["events"], verbs: &["create", "get", "patch"] };
const READ: &[&str] = &["get", "list", "watch"];

const fn rule(
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> Rule {
    Rule { group, resources, verbs }
}

/// The identity whose watches all components share.
pub const INFORMERS: &str = "workloads-informers";

const TABLE: &[(&str, &[Rule])] = &[
    (
        INFORMERS,
        &[
            rule("", &["pods", "nodes", "namespaces", "services", "serviceaccounts", "configmaps"], READ),
            rule("apps", &["deployments", "replicasets", "daemonsets"], READ),
            rule("discovery.k8s.io", &["endpointslices"], READ),
            rule("coordination.k8s.io", &["leases"], READ),
            rule("policy", &["poddisruptionbudgets"], READ),
            rule("certificates.k8s.io", &["certificatesigningrequests"], READ),
        ],
    ),
    (
        "deployment-controller",
        &[
            rule("apps", &["deployments", "deployments/status"], &["patch"]),
            rule("apps", &["deployments/finalizers"], &["update"]),
            rule("apps", &["replicasets"], &["create", "delete", "get", "patch"]),
            EVENTS,
        ],
    ),
    (
        "replicaset-controller",
        &[
            rule("apps", &["replicasets/status"], &["patch"]),
            rule("apps", &["replicasets/finalizers"], &["update"]),
            rule("", &["pods"], &["create", "delete", "patch"]),
            EVENTS,
        ],
    ),
    (
        "daemon-set-controller",
        &[
            rule("apps", &["daemonsets/status"], &["patch"]),
            rule("apps", &["daemonsets/finalizers"], &["update"]),
            rule("", &["pods"], &["create", "delete", "patch"]),
            EVENTS,
        ],
    ),
    (
        "endpointslice-controller",
        &[
            rule("discovery.k8s.io", &["endpointslices"], &["create", "delete", "patch"]),
            rule("", &["services/finalizers"], &["update"]),
            EVENTS,
        ],
    ),
    ("node-controller", &[rule("", &["nodes", "nodes/status", "pods/status"], &["patch"]), EVENTS]),
    ("disruption-controller", &[rule("policy", &["poddisruptionbudgets/status"], &["patch"])]),
    (
        "certificate-controller",
        &[
            rule("certificates.k8s.io", &["certificatesigningrequests"], &["delete"]),
            rule("certificates.k8s.io", &["certificatesigningrequests/status"], &["patch"]),
            rule("certificates.k8s.io", &["signers"], &["sign"]),
        ],
    ),
    ("node-address-controller", &[rule("", &["nodes"], &["patch"])]),
    (
        "taint-eviction-controller",
        &[rule("", &["pods/status"], &["patch"]), rule("", &["pods"], &["delete"])],
    ),
    ("pod-garbage-collector", &[rule("", &["pods"], &["delete"])]),
    (
        "namespace-defaults-controller",
        &[rule("", &["serviceaccounts"], &["create"]), rule("", &["configmaps"], &["create", "patch"])],
    ),
    ("generic-garbage-collector", &[rule("*", &["*"], &["get", "list", "watch", "patch", "delete"])]),
    (
        "namespace-controller",
        &[
            rule("*", &["*"], &["list", "delete", "deletecollection"]),
            rule("", &["namespaces/status"], &["patch"]),
            rule("", &["namespaces/finalize"], &["update"]),
        ],
    ),
];

/// Every component with a role of its own.
pub fn components() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(component, _)| *component)
}

/// The rows of a component's role; none for a name that is no component.
pub fn rules(component: &str) -> &'static [Rule] {
    TABLE.iter().find(|(name, _)| *name == component).map_or(&[], |(_, rules)| rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_namespace_and_garbage_controllers_reach_beyond_their_kinds() {
        let wide: Vec<&str> = components()
            .filter(|component| rules(component).iter().any(|rule| rule.resources.contains(&"*")))
            .collect();
        assert_eq!(wide, ["generic-garbage-collector", "namespace-controller"]);
        assert!(components().all(|c| rules(c).iter().all(|rule| !rule.verbs.contains(&"*"))));
    }

    #[test]
    fn an_unknown_component_may_do_nothing() {
        assert_eq!(rules("somebody"), []);
    }
}
