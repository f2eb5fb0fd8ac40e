//! What the scheduler's identity must be allowed to do, and nothing more.

/// One row of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub group: &'static str,
    pub resources: &'static [&'static str],
    pub verbs: &'static [&'static str],
}

pub const COMPONENT: &str = "system:kube-scheduler";

const READ: &[&str] = &["get", "list", "watch"];

/// The rows of the scheduler's role. Reading is what its informers need, should they run under this identity.
pub const RULES: &[Rule] = &[
    Rule { group: "", resources: &["nodes", "namespaces", "pods"], verbs: READ },
    Rule { group: "", resources: &["pods/binding"], verbs: &["create"] },
    Rule { group: "", resources: &["pods/status"], verbs: &["patch"] },
    Rule { group: "", resources: &["events"], verbs: &["create", "get", "patch"] },
];
