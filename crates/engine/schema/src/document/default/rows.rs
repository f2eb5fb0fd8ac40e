//! Defaults that depend on nothing else: type, field, value.

use serde_json::{Value, json};

use super::{Object, set};

#[derive(Clone, Copy)]
enum Constant {
    Text(&'static str),
    Number(i64),
    /// A number for which zero means the default too.
    Positive(i64),
    Bool(bool),
    Empty,
}

use Constant::{Bool, Empty, Number, Positive, Text};

type Row = (&'static str, &'static [(&'static str, Constant)]);

const WEBHOOK: [(&str, Constant); 5] = [
    ("failurePolicy", Text("Fail")),
    ("matchPolicy", Text("Equivalent")),
    ("namespaceSelector", Empty),
    ("objectSelector", Empty),
    ("timeoutSeconds", Number(10)),
];

/// Octal 0644.
const FILE_MODE: [(&str, Constant); 1] = [("defaultMode", Number(420))];
const PROTOCOL: [(&str, Constant); 1] = [("protocol", Text("TCP"))];
const RBD: [(&str, Constant); 3] =
    [("pool", Text("rbd")), ("user", Text("admin")), ("keyring", Text("/etc/ceph/keyring"))];
const SCALE_IO: [(&str, Constant); 2] = [("storageMode", Text("ThinProvisioned")), ("fsType", Text("xfs"))];
const ISCSI: [(&str, Constant); 1] = [("iscsiInterface", Text("default"))];
const RBAC: &str = "rbac.authorization.k8s.io";

/// Sorted by type.
const ROWS: &[Row] = &[
    (
        "admissionregistration.v1.MatchResources",
        &[("matchPolicy", Text("Equivalent")), ("namespaceSelector", Empty), ("objectSelector", Empty)],
    ),
    ("admissionregistration.v1.MutatingAdmissionPolicySpec", &[("failurePolicy", Text("Fail"))]),
    ("admissionregistration.v1.MutatingWebhook", &WEBHOOK),
    ("admissionregistration.v1.NamedRuleWithOperations", &[("scope", Text("*"))]),
    ("admissionregistration.v1.RuleWithOperations", &[("scope", Text("*"))]),
    ("admissionregistration.v1.ServiceReference", &[("port", Number(443))]),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", &[("failurePolicy", Text("Fail"))]),
    ("admissionregistration.v1.ValidatingWebhook", &WEBHOOK),
    ("apps.v1.ReplicaSetSpec", &[("replicas", Number(1))]),
    (
        "batch.v1.CronJobSpec",
        &[
            ("concurrencyPolicy", Text("Allow")),
            ("suspend", Bool(false)),
            ("successfulJobsHistoryLimit", Number(3)),
            ("failedJobsHistoryLimit", Number(1)),
        ],
    ),
    ("batch.v1.PodFailurePolicyOnPodConditionsPattern", &[("status", Text("True"))]),
    (
        "core.v1.AzureDiskVolumeSource",
        &[
            ("cachingMode", Text("ReadWrite")),
            ("fsType", Text("ext4")),
            ("readOnly", Bool(false)),
            ("kind", Text("Shared")),
        ],
    ),
    ("core.v1.ConfigMapVolumeSource", &FILE_MODE),
    (
        "core.v1.Container",
        &[
            ("terminationMessagePath", Text("/dev/termination-log")),
            ("terminationMessagePolicy", Text("File")),
        ],
    ),
    ("core.v1.ContainerPort", &PROTOCOL),
    ("core.v1.DownwardAPIVolumeSource", &FILE_MODE),
    ("core.v1.EndpointPort", &PROTOCOL),
    (
        "core.v1.EphemeralContainer",
        &[
            ("terminationMessagePath", Text("/dev/termination-log")),
            ("terminationMessagePolicy", Text("File")),
        ],
    ),
    ("core.v1.FileKeySelector", &[("optional", Bool(false))]),
    ("core.v1.GRPCAction", &[("service", Text(""))]),
    ("core.v1.HTTPGetAction", &[("path", Text("/")), ("scheme", Text("HTTP"))]),
    ("core.v1.HostPathVolumeSource", &[("type", Text(""))]),
    ("core.v1.ISCSIPersistentVolumeSource", &ISCSI),
    ("core.v1.ISCSIVolumeSource", &ISCSI),
    ("core.v1.NamespaceStatus", &[("phase", Text("Active"))]),
    ("core.v1.ObjectFieldSelector", &[("apiVersion", Text("v1"))]),
    ("core.v1.PersistentVolumeClaimSpec", &[("volumeMode", Text("Filesystem"))]),
    (
        "core.v1.PersistentVolumeSpec",
        &[("persistentVolumeReclaimPolicy", Text("Retain")), ("volumeMode", Text("Filesystem"))],
    ),
    ("core.v1.PersistentVolumeStatus", &[("phase", Text("Pending"))]),
    (
        "core.v1.Probe",
        &[
            ("timeoutSeconds", Number(1)),
            ("periodSeconds", Number(10)),
            ("successThreshold", Number(1)),
            ("failureThreshold", Number(3)),
        ],
    ),
    ("core.v1.ProjectedVolumeSource", &FILE_MODE),
    ("core.v1.RBDPersistentVolumeSource", &RBD),
    ("core.v1.RBDVolumeSource", &RBD),
    ("core.v1.ReplicationControllerSpec", &[("replicas", Number(1))]),
    ("core.v1.ScaleIOPersistentVolumeSource", &SCALE_IO),
    ("core.v1.ScaleIOVolumeSource", &SCALE_IO),
    ("core.v1.Secret", &[("type", Text("Opaque"))]),
    ("core.v1.SecretVolumeSource", &FILE_MODE),
    ("core.v1.ServiceAccountTokenProjection", &[("expirationSeconds", Number(3600))]),
    ("core.v1.ServicePort", &PROTOCOL),
    ("discovery.v1.EndpointPort", &[("name", Text("")), ("protocol", Text("TCP"))]),
    (
        "flowcontrol.v1.ExemptPriorityLevelConfiguration",
        &[("nominalConcurrencyShares", Number(0)), ("lendablePercent", Number(0))],
    ),
    ("flowcontrol.v1.FlowSchemaSpec", &[("matchingPrecedence", Positive(1000))]),
    (
        "flowcontrol.v1.LimitedPriorityLevelConfiguration",
        &[("nominalConcurrencyShares", Number(30)), ("lendablePercent", Number(0))],
    ),
    (
        "flowcontrol.v1.QueuingConfiguration",
        &[("handSize", Positive(8)), ("queues", Positive(64)), ("queueLengthLimit", Positive(50))],
    ),
    ("networking.v1.NetworkPolicyPort", &PROTOCOL),
    ("rbac.v1.RoleRef", &[("apiGroup", Text(RBAC))]),
    ("scheduling.v1.PriorityClass", &[("preemptionPolicy", Text("PreemptLowerPriority"))]),
    (
        "storage.v1.CSIDriverSpec",
        &[
            ("attachRequired", Bool(true)),
            ("podInfoOnMount", Bool(false)),
            ("storageCapacity", Bool(false)),
            ("fsGroupPolicy", Text("ReadWriteOnceWithFSType")),
            ("requiresRepublish", Bool(false)),
            ("seLinuxMount", Bool(false)),
            ("preventPodSchedulingIfMissing", Bool(false)),
        ],
    ),
    (
        "storage.v1.StorageClass",
        &[("reclaimPolicy", Text("Delete")), ("volumeBindingMode", Text("Immediate"))],
    ),
];

/// Sets the constants of a type.
pub(super) fn constants(name: &str, object: &mut Object) {
    let Ok(at) = ROWS.binary_search_by_key(&name, |(name, _)| name) else { return };
    for (field, constant) in ROWS[at].1 {
        // `apiGroup: ""` is written always, and means none.
        if object.get(*field).is_some_and(|value| value == "") && *field == "apiGroup" {
            object.remove(*field);
        }
        if let (Positive(_), Some(0)) = (constant, object.get(*field).and_then(Value::as_i64)) {
            object.remove(*field);
        }
        set(object, field, value(*constant));
    }
}

fn value(constant: Constant) -> Value {
    match constant {
        Text(text) => text.into(),
        Number(number) | Positive(number) => number.into(),
        Bool(value) => value.into(),
        Empty => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Shape;

    #[test]
    fn every_row_names_a_type_and_a_field_and_they_are_sorted() {
        assert!(ROWS.is_sorted_by_key(|(name, _)| *name));
        for (name, constants) in ROWS {
            let schema = crate::Catalog::builtin().message(&format!("io.k8s.api.{name}"));
            let schema = schema.unwrap_or_else(|| panic!("no type {name}"));
            let Shape::Object { fields, .. } = &schema.node().shape else { panic!("{name}") };
            for (field, _) in *constants {
                assert!(fields.contains_key(*field), "{name}.{field}");
            }
        }
    }
}
