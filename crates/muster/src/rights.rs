//! What each part of Muster may do in the API: its least privilege, in one table.

use kube::ResourceExt as _;
use muster_apiserver::authz::Rule;

/// Installs kinds and built-in objects, and holds the leader lease.
pub(crate) const FLEET: &str = "fleet";
/// Watches for all of the fleet's controllers, so that the fleet is in memory once; writes nothing.
pub(crate) const READER: &str = "reader";
pub(crate) const MACHINES: &str = "machines";
pub(crate) const WORKFLOW: &str = "workflow";
pub(crate) const HISTORY: &str = "history";
pub(crate) const JOINING: &str = "joining";
pub(crate) const CLAIMS: &str = "claims";
pub(crate) const NETWORK: &str = "network";
pub(crate) const DOCTOR: &str = "doctor";
pub(crate) const GLOBAL_DOCTOR: &str = "globaldoctor";
pub(crate) const BMC: &str = "bmc";
pub(crate) const SCHEDULER: &str = "scheduler";

const OURS: &str = muster_api::GROUP;
const READ: &[&str] = &["get", "list", "watch"];
/// The last look before something is done, for those whose watches are the reader's.
const LOOK: &[&str] = &["get", "list"];
/// For objects that are created where there are none, and changed.
const RENEW: &[&str] = &["get", "update"];
/// The kinds that the machine database, the workflow manager and the management controllers' actor look at.
const OF_MACHINES: &[&str] = &[
    "sites",
    "racks",
    "machines",
    "machineclaims",
    "machineroles",
    "hardwareprofiles",
    "inventories",
    "problems",
    "disruptions",
    "disruptionbudgets",
    "pauses",
    "ledgers",
    "runs",
];
const OF_WORKFLOW: &[&str] = &[
    "workflows",
    "runs",
    "runchunks",
    "machines",
    "inventories",
    "problems",
    "machineroles",
    "orders",
    "disruptions",
    "pauses",
    "repairpolicies",
];
const OF_BMC: &[&str] = &["orders", "machines", "bmcreadings", "pauses"];

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Rule {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Rule {
        groups: vec![group.to_owned()],
        resources: owned(resources),
        verbs: owned(verbs),
        ..Rule::default()
    }
}

/// Certain objects of a kind alone.
fn named(group: &str, resource: &str, names: Vec<String>, verbs: &[&str]) -> Rule {
    Rule { names, ..rule(group, &[resource], verbs) }
}

fn fleet() -> Vec<Rule> {
    let workflows = muster_workflow::builtin::all().into_iter();
    let policies = muster_workflow::builtin::repairs::policies().into_iter();
    vec![
        rule(
            "apiextensions.k8s.io",
            &["customresourcedefinitions"],
            &["get", "list", "watch", "create", "update"],
        ),
        rule(OURS, &["machineroles", "workflows", "repairpolicies"], &["create"]),
        named(OURS, "machineroles", vec![muster_machines::builtin::WORKER.to_owned()], RENEW),
        named(OURS, "workflows", workflows.map(|workflow| workflow.name_any()).collect(), RENEW),
        named(OURS, "repairpolicies", policies.map(|policy| policy.name_any()).collect(), RENEW),
        rule("", &["namespaces"], &["create"]),
        rule("coordination.k8s.io", &["leases"], &["get", "create", "update"]),
    ]
}

/// What its users look at: a kind that one of them comes to need is watched for it too.
fn reader() -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        [OF_MACHINES, OF_WORKFLOW, OF_BMC].iter().map(|kinds| rule(OURS, kinds, READ)).collect();
    rules.push(rule("", &["nodes"], READ));
    rules.push(rule("coordination.k8s.io", &["leases"], READ));
    rules
}

fn machines() -> Vec<Rule> {
    let statuses = &[
        "machines/status",
        "problems/status",
        "disruptions/status",
        "disruptionbudgets/status",
        "pauses/status",
        "ledgers/status",
    ];
    vec![
        rule(OURS, OF_MACHINES, LOOK),
        rule(OURS, statuses, &["update"]),
        rule(OURS, &["ledgers"], &["create"]),
        rule(OURS, &["disruptions"], &["delete"]),
        rule(
            OURS,
            &["sites/status", "racks/status", "machineroles/status", "hardwareprofiles/status"],
            &["patch"],
        ),
    ]
}

fn workflow() -> Vec<Rule> {
    vec![
        rule(OURS, OF_WORKFLOW, LOOK),
        rule(OURS, &["runs", "runchunks", "orders", "disruptions"], &["create"]),
        rule(OURS, &["disruptions", "runs"], &["patch"]),
        // Those that answered a made-up fault.
        rule(OURS, &["runs"], &["delete"]),
        rule(OURS, &["runs/status", "runchunks/status", "workflows/status", "machines/status"], &["update"]),
        rule(OURS, &["repairpolicies/status"], &["update"]),
        // Conditions of Problems of many: who was told.
        rule(OURS, &["problems/status"], &["update"]),
        // Containers of steps, and emptying a node; the eviction subresource honours disruption budgets.
        rule("", &["pods"], &["get", "list", "create", "delete"]),
        rule("", &["pods/eviction"], &["create"]),
        rule("", &["pods/log"], &["get"]),
        // Credentials of mail servers, by name. Whoever may create pods can read what pods can read anyway.
        rule("", &["secrets"], &["get"]),
        rule("", &["namespaces"], &["create"]),
        rule("", &["nodes"], &["get", "list", "patch"]),
    ]
}

/// Approves requests of machines that join and for their doctors, makes the Machine of one that nobody expected, and ends the token it used.
fn joining() -> Vec<Rule> {
    let certificates = "certificates.k8s.io";
    let signers = [muster_api::join::SIGNER, muster_api::join::DOCTOR_SIGNER].map(str::to_owned);
    let signer = named(certificates, "signers", signers.into(), &["approve"]);
    vec![
        rule(certificates, &["certificatesigningrequests"], READ),
        rule(certificates, &["certificatesigningrequests/approval"], &["patch"]),
        signer,
        rule(OURS, &["machines"], &["create"]),
        rule("", &["secrets"], &["delete"]),
    ]
}

/// Gives machines the role of the claim that holds them. A claim stays until they are released.
fn claims() -> Vec<Rule> {
    vec![
        rule(OURS, &["machines", "machineclaims"], &["patch"]),
        rule(OURS, &["machineclaims/status"], &["patch"]),
    ]
}

fn network() -> Vec<Rule> {
    vec![rule("", &["services"], READ), rule("discovery.k8s.io", &["endpointslices"], READ)]
}

/// Reads, and writes Problems: nothing else.
pub(crate) fn doctor() -> Vec<Rule> {
    vec![
        rule(OURS, &["machines", "inventories", "bmcreadings", "machineroles", "problems"], READ),
        rule("", &["nodes"], READ),
        rule(OURS, &["problems"], &["create"]),
        rule(OURS, &["problems/status"], &["update"]),
    ]
}

/// Looks once more at what it is about to say, and writes Problems: nothing else. Its watches are the reader's.
fn global_doctor() -> Vec<Rule> {
    vec![
        rule(OURS, &["machines", "bmcreadings", "problems"], LOOK),
        rule("", &["nodes"], LOOK),
        rule("coordination.k8s.io", &["leases"], LOOK),
        rule(OURS, &["problems"], &["create"]),
        rule(OURS, &["problems/status"], &["update", "patch"]),
    ]
}

/// Obeys Orders for management controllers, and reads their credentials by name.
fn bmc() -> Vec<Rule> {
    vec![
        rule(OURS, OF_BMC, LOOK),
        rule(OURS, &["orders/status", "bmcreadings/status"], &["update"]),
        rule(OURS, &["bmcreadings"], &["create"]),
        rule("", &["secrets"], &["get"]),
        rule("", &["events"], &["create", "get", "patch"]),
    ]
}

/// Reads what it records, makes itself known, asks who may ask; it writes no object of the fleet.
fn history() -> Vec<Rule> {
    let kinds: Vec<&str> = muster_history::Kind::ALL.into_iter().map(muster_history::Kind::plural).collect();
    let own = |group: &str, resource: &str, name: &str, verbs: &[&str]| {
        named(group, resource, vec![name.to_owned()], verbs)
    };
    let (admission, webhooks) = ("admissionregistration.k8s.io", "validatingwebhookconfigurations");
    let aggregation = "apiregistration.k8s.io";
    let api = format!("{}.{}", muster_history::VERSION, muster_history::GROUP);
    vec![
        rule(OURS, &kinds, READ),
        rule(admission, &[webhooks], &["create"]),
        own(admission, webhooks, "muster-history", &["get", "update", "delete"]),
        rule(aggregation, &["apiservices"], &["create"]),
        own(aggregation, "apiservices", &api, RENEW),
        rule("", &["services"], &["create"]),
        own("", "services", "muster-history", RENEW),
        own("", "configmaps", "extension-apiserver-authentication", &["get"]),
        rule("authorization.k8s.io", &["subjectaccessreviews"], &["create"]),
    ]
}

/// Every part with its rules.
pub(crate) fn table() -> Vec<(&'static str, Vec<Rule>)> {
    let mut table = vec![
        (FLEET, fleet()),
        (READER, reader()),
        (MACHINES, machines()),
        (WORKFLOW, workflow()),
        (JOINING, joining()),
        (CLAIMS, claims()),
        (NETWORK, network()),
        (DOCTOR, doctor()),
        (GLOBAL_DOCTOR, global_doctor()),
        (BMC, bmc()),
        (HISTORY, history()),
    ];
    let of_scheduler = muster_scheduler::rules::RULES;
    table.push((SCHEDULER, of_scheduler.iter().map(|r| rule(r.group, r.resources, r.verbs)).collect()));
    for component in muster_workloads::rules::components() {
        let rules = muster_workloads::rules::rules(component);
        table.push((component, rules.iter().map(|r| rule(r.group, r.resources, r.verbs)).collect()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doctor_writes_problems_and_nothing_else() {
        writes_problems_and_nothing_else(doctor());
    }

    #[test]
    fn the_global_doctor_writes_problems_and_nothing_else() {
        writes_problems_and_nothing_else(global_doctor());
    }

    fn writes_problems_and_nothing_else(rules: Vec<Rule>) {
        for rule in rules {
            let writes = rule.verbs.iter().any(|verb| !READ.contains(&verb.as_str()));
            let problems = rule.resources.iter().all(|resource| resource.starts_with("problems"));
            assert!(!writes || (problems && rule.groups == [OURS]), "{rule:?}");
        }
    }

    #[test]
    fn the_history_writes_no_object_of_the_fleet() {
        for rule in history().iter().filter(|rule| rule.groups == [OURS]) {
            assert!(rule.verbs.iter().all(|verb| READ.contains(&verb.as_str())), "{rule:?}");
        }
    }

    #[test]
    fn the_reader_only_reads() {
        assert!(reader().iter().all(|rule| rule.verbs.iter().all(|verb| READ.contains(&verb.as_str()))));
    }

    #[test]
    fn nobody_has_a_wildcard_and_only_who_speaks_to_other_services_reads_secrets() {
        for (component, rules) in table() {
            for rule in rules {
                let words = rule.verbs.iter().chain(&rule.groups).chain(&rule.resources);
                let collector = component.contains("garbage") || component.contains("namespace");
                assert!(collector || !words.into_iter().any(|word| word == "*"), "{component}: {rule:?}");
                let secrets = rule.resources.iter().any(|resource| resource == "secrets");
                let as_told = match component {
                    BMC | WORKFLOW => rule.verbs == ["get"],
                    JOINING => rule.verbs == ["delete"],
                    _ => false,
                };
                assert!(!secrets || as_told, "{component} reads secrets");
            }
        }
    }
}
