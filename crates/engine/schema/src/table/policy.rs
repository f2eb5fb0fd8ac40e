//! Access control, admission and the rest of the cluster's policy.

use serde_json::Value;

use super::age::human_duration;
use super::cells::{Cell, Row};
use super::core::ONLY_AGE;
use super::{AGE, Head, NAME, col, wide};

pub(super) fn heads(group: &str, kind: &str) -> Option<&'static [Head]> {
    Some(match (group, kind) {
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => BINDING,
        ("coordination.k8s.io", "Lease") => LEASE,
        ("scheduling.k8s.io", "PriorityClass") => PRIORITY_CLASS,
        ("node.k8s.io", "RuntimeClass") => RUNTIME_CLASS,
        ("certificates.k8s.io", "CertificateSigningRequest") => SIGNING_REQUEST,
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => WEBHOOKS,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => VALIDATING_POLICY,
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => MUTATING_POLICY,
        (
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding",
        ) => POLICY_BINDING,
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => FLOW_SCHEMA,
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => PRIORITY_LEVEL,
        ("apiregistration.k8s.io", "APIService") => API_SERVICE,
        ("resource.k8s.io", "DeviceClass" | "ResourceClaimTemplate") => ONLY_AGE,
        _ => return None,
    })
}

const BINDING: &[Head] = &[
    NAME,
    col(
        "Role",
        "string",
        Cell::Call(|row| format!("{}/{}", row.text("/roleRef/kind"), row.text("/roleRef/name"))),
        "/roleRef",
    ),
    AGE,
    wide("Users", Cell::Call(|row| subjects(row, "User")), "Users in the binding"),
    wide("Groups", Cell::Call(|row| subjects(row, "Group")), "Groups in the binding"),
    wide(
        "ServiceAccounts",
        Cell::Call(|row| subjects(row, "ServiceAccount")),
        "ServiceAccounts in the binding",
    ),
];
const LEASE: &[Head] =
    &[NAME, col("Holder", "string", Cell::Text("/spec/holderIdentity"), "/spec/holderIdentity"), AGE];
const PRIORITY_CLASS: &[Head] = &[
    NAME,
    col("Value", "integer", Cell::Int("/value"), "/value"),
    col("Global-Default", "boolean", Cell::Bool("/globalDefault", false), "/globalDefault"),
    AGE,
    col("PreemptionPolicy", "string", Cell::Text("/preemptionPolicy"), "/preemptionPolicy"),
];
const RUNTIME_CLASS: &[Head] = &[NAME, col("Handler", "string", Cell::Text("/handler"), "/handler"), AGE];
const SIGNING_REQUEST: &[Head] = &[
    NAME,
    AGE,
    col("SignerName", "string", Cell::TextOr("/spec/signerName", "<none>"), "/spec/signerName"),
    col("Requestor", "string", Cell::Text("/spec/username"), "/spec/request"),
    col("RequestedDuration", "string", Cell::Call(requested_duration), "/spec/expirationSeconds"),
    col("Condition", "string", Cell::Call(request_condition), "/status/conditions"),
];
const WEBHOOKS: &[Head] = &[
    NAME,
    col(
        "Webhooks",
        "integer",
        Cell::Count("/webhooks"),
        "Webhooks indicates the number of webhooks registered in this configuration",
    ),
    AGE,
];
const VALIDATING_POLICY: &[Head] = &[
    NAME,
    col(
        "Validations",
        "integer",
        Cell::Count("/spec/validations"),
        "Validations indicates the number of validation rules defined in this configuration",
    ),
    col(
        "ParamKind",
        "string",
        Cell::Call(param_kind),
        "ParamKind specifies the kind of resources used to parameterize this policy",
    ),
    AGE,
];
const MUTATING_POLICY: &[Head] = &[
    NAME,
    col(
        "Mutations",
        "integer",
        Cell::Count("/spec/mutations"),
        "Mutation indicates the number of mutations rules defined in this configuration",
    ),
    col(
        "ParamKind",
        "string",
        Cell::Call(param_kind),
        "ParamKind specifies the kind of resources used to parameterize this policy",
    ),
    AGE,
];
const POLICY_BINDING: &[Head] = &[
    NAME,
    col(
        "PolicyName",
        "string",
        Cell::Text("/spec/policyName"),
        "PolicyName indicates the policy definition which the policy binding binded to",
    ),
    col(
        "ParamRef",
        "string",
        Cell::Call(param_ref),
        "ParamRef indicates the param resource which sets the configuration param",
    ),
    AGE,
];
const FLOW_SCHEMA: &[Head] = &[
    NAME,
    col(
        "PriorityLevel",
        "string",
        Cell::Text("/spec/priorityLevelConfiguration/name"),
        "/spec/priorityLevelConfiguration/name",
    ),
    col("MatchingPrecedence", "string", Cell::Int("/spec/matchingPrecedence"), "/spec/matchingPrecedence"),
    col(
        "DistinguisherMethod",
        "string",
        Cell::TextOr("/spec/distinguisherMethod/type", "<none>"),
        "/spec/distinguisherMethod",
    ),
    AGE,
    col(
        "MissingPL",
        "string",
        Cell::Call(|row| row.condition("Dangling").unwrap_or("?").to_owned()),
        "references a broken or non-existent PriorityLevelConfiguration",
    ),
];
const QUEUING: &str = "/spec/limited/limitResponse/queuing";
const PRIORITY_LEVEL: &[Head] = &[
    NAME,
    col("Type", "string", Cell::Text("/spec/type"), "/spec/type"),
    col(
        "NominalConcurrencyShares",
        "string",
        Cell::Call(|row| number(row, "/spec/limited/nominalConcurrencyShares")),
        "/spec/limited/nominalConcurrencyShares",
    ),
    col(
        "Queues",
        "string",
        Cell::Call(|row| number(row, &format!("{QUEUING}/queues"))),
        "/spec/limited/limitResponse/queuing/queues",
    ),
    col(
        "HandSize",
        "string",
        Cell::Call(|row| number(row, &format!("{QUEUING}/handSize"))),
        "/spec/limited/limitResponse/queuing/handSize",
    ),
    col(
        "QueueLengthLimit",
        "string",
        Cell::Call(|row| number(row, &format!("{QUEUING}/queueLengthLimit"))),
        "/spec/limited/limitResponse/queuing/queueLengthLimit",
    ),
    AGE,
];
const API_SERVICE: &[Head] = &[
    NAME,
    col(
        "Service",
        "string",
        Cell::Call(api_service),
        "The reference to the service that hosts this API endpoint.",
    ),
    col("Available", "string", Cell::Call(api_available), "Whether this service is available."),
    AGE,
];

fn subjects(row: &Row<'_>, kind: &str) -> String {
    let found = row.list("/subjects").iter().filter(|subject| subject["kind"] == kind);
    let one = |subject: &Value| {
        let text = |field: &str| subject[field].as_str().unwrap_or_default().to_owned();
        if kind == "ServiceAccount" {
            format!("{}/{}", text("namespace"), text("name"))
        } else {
            text("name")
        }
    };
    found.map(one).collect::<Vec<_>>().join(", ")
}

fn requested_duration(row: &Row<'_>) -> String {
    let seconds = row.get("/spec/expirationSeconds").and_then(Value::as_i64);
    seconds.map_or_else(
        || "<none>".to_owned(),
        |seconds| human_duration(jiff::SignedDuration::from_secs(seconds)),
    )
}

fn request_condition(row: &Row<'_>) -> String {
    let has = |name: &str| row.condition(name).is_some();
    let mut status = if has("Denied") {
        "Denied".to_owned()
    } else if has("Approved") {
        "Approved".to_owned()
    } else {
        "Pending".to_owned()
    };
    if has("Failed") {
        status.push_str(",Failed");
    }
    if !row.text("/status/certificate").is_empty() {
        status.push_str(",Issued");
    }
    status
}

fn param_kind(row: &Row<'_>) -> String {
    match row.get("/spec/paramKind") {
        Some(_) => format!("{}/{}", row.text("/spec/paramKind/apiVersion"), row.text("/spec/paramKind/kind")),
        None => "<unset>".to_owned(),
    }
}

fn param_ref(row: &Row<'_>) -> String {
    match (row.text("/spec/paramRef/namespace"), row.text("/spec/paramRef/name")) {
        (_, "") => "<unset>".to_owned(),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

fn number(row: &Row<'_>, path: &str) -> String {
    row.get(path).map_or_else(|| "<none>".to_owned(), Value::to_string)
}

fn api_service(row: &Row<'_>) -> String {
    match row.get("/spec/service") {
        Some(_) => format!("{}/{}", row.text("/spec/service/namespace"), row.text("/spec/service/name")),
        None => "Local".to_owned(),
    }
}

fn api_available(row: &Row<'_>) -> String {
    let condition = row.list("/status/conditions").iter().find(|condition| condition["type"] == "Available");
    let Some(condition) = condition else { return "Unknown".to_owned() };
    let status = condition["status"].as_str().unwrap_or_default();
    if status == "True" {
        return status.to_owned();
    }
    format!("{status} ({})", condition["reason"].as_str().unwrap_or_default())
}
