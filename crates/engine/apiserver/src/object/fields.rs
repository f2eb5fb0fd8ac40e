//! Field selectors: which paths of which kinds can be selected by, and how their value is read.

use std::borrow::Cow;

use serde_json::Value;

/// A path that lists and watches may select by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldColumn {
    /// The path as clients write it (`spec.nodeName`).
    pub path: Cow<'static, str>,
    /// The value where the field is absent.
    pub absent: &'static str,
}

impl FieldColumn {
    /// A column of a custom resource (`selectableFields`).
    pub fn custom(path: &str) -> Self {
        Self { path: Cow::Owned(path.trim_start_matches('.').to_owned()), absent: "" }
    }

    pub(super) fn value(&self, document: &Value) -> String {
        let found = match &*self.path {
            "source" => at(document, "source.component")
                .filter(|text| !text.is_empty())
                .or_else(|| at(document, "reportingComponent")),
            path => at(document, path),
        };
        found.unwrap_or_else(|| self.absent.to_owned())
    }
}

fn at(document: &Value, path: &str) -> Option<String> {
    let found = path.split('.').try_fold(document, |value, key| value.get(key))?;
    match (found.as_str(), found.as_bool(), found.as_i64()) {
        (Some(text), _, _) => Some(text.to_owned()),
        (_, Some(flag), _) => Some(flag.to_string()),
        (_, _, Some(number)) => Some(number.to_string()),
        (None, None, None) => None,
    }
}

const fn column(path: &'static str) -> FieldColumn {
    FieldColumn { path: Cow::Borrowed(path), absent: "" }
}

const fn column_or(path: &'static str, absent: &'static str) -> FieldColumn {
    FieldColumn { path: Cow::Borrowed(path), absent }
}

const PODS: &[FieldColumn] = &[
    column("spec.nodeName"),
    column("status.phase"),
    column("spec.restartPolicy"),
    column("spec.schedulerName"),
    column("spec.serviceAccountName"),
    column_or("spec.hostNetwork", "false"),
    column("status.podIP"),
    column("status.nominatedNodeName"),
];
const EVENTS: &[FieldColumn] = &[
    column("involvedObject.kind"),
    column("involvedObject.namespace"),
    column("involvedObject.name"),
    column("involvedObject.uid"),
    column("involvedObject.apiVersion"),
    column("involvedObject.resourceVersion"),
    column("involvedObject.fieldPath"),
    column("reason"),
    column("reportingComponent"),
    column("source"),
    column("type"),
];
const NODES: &[FieldColumn] = &[column_or("spec.unschedulable", "false")];
const NAMESPACES: &[FieldColumn] = &[column("status.phase")];
const SECRETS: &[FieldColumn] = &[column("type")];
const REPLICAS: &[FieldColumn] = &[column_or("status.replicas", "0")];
const JOBS: &[FieldColumn] = &[column_or("status.successful", "0")];
const SERVICES: &[FieldColumn] = &[column("spec.clusterIP"), column("spec.type")];
const SIGNING: &[FieldColumn] = &[column("spec.signerName")];
const SLICES: &[FieldColumn] = &[column("spec.nodeName"), column("spec.driver")];

/// The selectable fields of a built-in resource, besides `metadata.name` and `metadata.namespace`.
pub fn built_in_columns(resource: &str) -> &'static [FieldColumn] {
    match resource {
        "pods" => PODS,
        "events" => EVENTS,
        "nodes" => NODES,
        "namespaces" => NAMESPACES,
        "secrets" => SECRETS,
        "services" => SERVICES,
        "replicasets.apps" | "replicationcontrollers" => REPLICAS,
        "jobs.batch" => JOBS,
        "certificatesigningrequests.certificates.k8s.io" | "clustertrustbundles.certificates.k8s.io" => {
            SIGNING
        }
        "resourceslices.resource.k8s.io" => SLICES,
        _ => &[],
    }
}
