//! What each identity may do here: the tables of the components themselves, and of the fleet, the doctors and the agents
//! what their work takes.

use muster_apiserver::authz::Rule;
use muster_apiserver::bootstrap::BootstrapError;
use muster_apiserver::{ApiServer, Identity};

pub(crate) const FLEET: &str = "fleet";
pub(crate) const DOCTOR: &str = "doctor";
pub(crate) const GLOBAL_DOCTOR: &str = "globaldoctor";

const MUSTER: &str = muster_api::GROUP;

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Rule {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Rule {
        verbs: words(verbs),
        groups: vec![group.to_owned()],
        resources: words(resources),
        names: Vec::new(),
        paths: Vec::new(),
    }
}

fn fleet() -> Vec<Rule> {
    let statuses = [
        "machines/status",
        "sites/status",
        "racks/status",
        "machineclaims/status",
        "hardwareprofiles/status",
        "machineroles/status",
        "problems/status",
        "workflows/status",
        "runs/status",
        "runchunks/status",
        "disruptions/status",
        "disruptionbudgets/status",
        "pauses/status",
        "ledgers/status",
        "repairpolicies/status",
    ];
    vec![
        rule(MUSTER, &["*"], &["get", "list", "watch"]),
        rule(MUSTER, &statuses, &["update", "patch"]),
        rule(MUSTER, &["orders", "runchunks", "ledgers"], &["create"]),
        rule(MUSTER, &["disruptions", "runs"], &["create", "patch"]),
        rule(MUSTER, &["disruptions", "runs"], &["delete"]),
        rule("", &["pods"], &["get", "list", "create", "delete"]),
        rule("", &["pods/eviction"], &["create"]),
        rule("", &["pods/log"], &["get"]),
        rule("", &["namespaces"], &["create"]),
        rule(MUSTER, &["machines", "machineclaims"], &["patch"]),
        rule("", &["nodes"], &["get", "list", "watch", "patch"]),
        rule("coordination.k8s.io", &["leases"], &["get", "list", "watch"]),
    ]
}

/// A doctor reads, and writes Problems: nothing else.
fn doctor() -> Vec<Rule> {
    vec![
        rule(MUSTER, &["*"], &["get", "list", "watch"]),
        rule(MUSTER, &["problems"], &["create"]),
        rule(MUSTER, &["problems/status"], &["update"]),
    ]
}

/// What it watches is read for it; it looks once more and writes Problems.
fn global_doctor() -> Vec<Rule> {
    vec![
        rule(MUSTER, &["machines", "bmcreadings", "problems"], &["get", "list"]),
        rule("", &["nodes"], &["get", "list"]),
        rule("coordination.k8s.io", &["leases"], &["get", "list"]),
        rule(MUSTER, &["problems"], &["create"]),
        rule(MUSTER, &["problems/status"], &["update", "patch"]),
    ]
}

/// Writes the roles down.
pub(crate) async fn ensure(server: &ApiServer) -> Result<(), BootstrapError> {
    let mut roles = vec![(FLEET, fleet()), (DOCTOR, doctor()), (GLOBAL_DOCTOR, global_doctor())];
    for component in muster_workloads::rules::components() {
        let rows = muster_workloads::rules::rules(component);
        let rows = rows.iter().map(|row| rule(row.group, row.resources, row.verbs)).collect();
        roles.push((component, rows));
    }
    server.ensure_component_roles(&roles).await
}

/// The scheduler bears the name clients know it by; every other component is a part of Muster.
pub(crate) fn identity(component: &str) -> Identity {
    if component == muster_scheduler::rules::COMPONENT {
        Identity::new(component, &[])
    } else {
        Identity::component(component)
    }
}
