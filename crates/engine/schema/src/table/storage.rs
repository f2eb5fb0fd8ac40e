//! Volumes, claims, storage classes and quotas.

use serde_json::Value;

use super::cells::{Cell, Row};
use super::{AGE, Head, NAME, col, wide};

pub(super) fn heads(group: &str, kind: &str) -> Option<&'static [Head]> {
    Some(match (group, kind) {
        ("", "PersistentVolume") => VOLUME,
        ("", "PersistentVolumeClaim") => CLAIM,
        ("", "ResourceQuota") => QUOTA,
        ("storage.k8s.io", "StorageClass") => STORAGE_CLASS,
        ("storage.k8s.io", "VolumeAttachment") => ATTACHMENT,
        ("storage.k8s.io", "CSINode") => CSI_NODE,
        ("storage.k8s.io", "CSIDriver") => CSI_DRIVER,
        _ => return None,
    })
}

const VOLUME: &[Head] = &[
    NAME,
    col("Capacity", "string", Cell::Call(|row| row.quantity("/spec/capacity/storage")), "/spec/capacity"),
    col(
        "Access Modes",
        "string",
        Cell::Call(|row| access_modes(row, "/spec/accessModes")),
        "/spec/accessModes",
    ),
    col(
        "Reclaim Policy",
        "string",
        Cell::Text("/spec/persistentVolumeReclaimPolicy"),
        "/spec/persistentVolumeReclaimPolicy",
    ),
    col("Status", "string", Cell::Call(volume_phase), "/status/phase"),
    col("Claim", "string", Cell::Call(volume_claim), "/spec/claimRef"),
    col("StorageClass", "string", Cell::Call(storage_class), "StorageClass of the pv"),
    col(
        "VolumeAttributesClass",
        "string",
        Cell::TextOr("/spec/volumeAttributesClassName", "<unset>"),
        "VolumeAttributesClass of the pv",
    ),
    col("Reason", "string", Cell::Text("/status/reason"), "/status/reason"),
    AGE,
    wide("VolumeMode", Cell::TextOr("/spec/volumeMode", "<unset>"), "/spec/volumeMode"),
];
const CLAIM: &[Head] = &[
    NAME,
    col("Status", "string", Cell::Call(volume_phase), "/status/phase"),
    col("Volume", "string", Cell::Text("/spec/volumeName"), "/spec/volumeName"),
    col("Capacity", "string", Cell::Call(claim_capacity), "/status/capacity"),
    col("Access Modes", "string", Cell::Call(claim_modes), "/status/accessModes"),
    col("StorageClass", "string", Cell::Call(storage_class), "StorageClass of the pvc"),
    col(
        "VolumeAttributesClass",
        "string",
        Cell::TextOr("/spec/volumeAttributesClassName", "<unset>"),
        "VolumeAttributesClass of the pvc",
    ),
    AGE,
    wide("VolumeMode", Cell::TextOr("/spec/volumeMode", "<unset>"), "/spec/volumeMode"),
];
const QUOTA: &[Head] = &[
    NAME,
    col(
        "Request",
        "string",
        Cell::Call(|row| quota(row, false)),
        "Request represents a minimum amount of cpu/memory that a container may consume.",
    ),
    col(
        "Limit",
        "string",
        Cell::Call(|row| quota(row, true)),
        "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
    ),
    AGE,
];
const STORAGE_CLASS: &[Head] = &[
    NAME,
    col("Provisioner", "string", Cell::Text("/provisioner"), "/provisioner"),
    col("ReclaimPolicy", "string", Cell::TextOr("/reclaimPolicy", "Delete"), "/reclaimPolicy"),
    col("VolumeBindingMode", "string", Cell::TextOr("/volumeBindingMode", "Immediate"), "/volumeBindingMode"),
    col(
        "AllowVolumeExpansion",
        "string",
        Cell::Bool("/allowVolumeExpansion", false),
        "/allowVolumeExpansion",
    ),
    AGE,
];
const ATTACHMENT: &[Head] = &[
    NAME,
    col("Attacher", "string", Cell::Text("/spec/attacher"), "/spec/attacher"),
    col("PV", "string", Cell::Text("/spec/source/persistentVolumeName"), "/spec/source/persistentVolumeName"),
    col("Node", "string", Cell::Text("/spec/nodeName"), "/spec/nodeName"),
    col("Attached", "boolean", Cell::Bool("/status/attached", false), "/status/attached"),
    AGE,
];
const CSI_NODE: &[Head] = &[
    NAME,
    col(
        "Drivers",
        "integer",
        Cell::Count("/spec/drivers"),
        "Drivers indicates the number of CSI drivers registered on the node",
    ),
    AGE,
];
const CSI_DRIVER: &[Head] = &[
    NAME,
    col("AttachRequired", "boolean", Cell::Bool("/spec/attachRequired", true), "/spec/attachRequired"),
    col("PodInfoOnMount", "boolean", Cell::Bool("/spec/podInfoOnMount", false), "/spec/podInfoOnMount"),
    col("StorageCapacity", "boolean", Cell::Bool("/spec/storageCapacity", false), "/spec/storageCapacity"),
    col("TokenRequests", "string", Cell::Call(audiences), "/spec/tokenRequests"),
    col(
        "RequiresRepublish",
        "boolean",
        Cell::Bool("/spec/requiresRepublish", false),
        "/spec/requiresRepublish",
    ),
    col("Modes", "string", Cell::Join("/spec/volumeLifecycleModes", "<none>"), "/spec/volumeLifecycleModes"),
    AGE,
];

fn access_modes(row: &Row<'_>, path: &str) -> String {
    let given = row.texts(path);
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let found = known.iter().filter(|(mode, _)| given.contains(mode)).map(|(_, short)| *short);
    found.collect::<Vec<_>>().join(",")
}

fn volume_phase(row: &Row<'_>) -> String {
    if row.is_deleting() { "Terminating".to_owned() } else { row.text("/status/phase").to_owned() }
}

fn volume_claim(row: &Row<'_>) -> String {
    match row.get("/spec/claimRef") {
        Some(_) => format!("{}/{}", row.text("/spec/claimRef/namespace"), row.text("/spec/claimRef/name")),
        None => String::new(),
    }
}

/// The annotation came before the field and still wins.
fn storage_class(row: &Row<'_>) -> String {
    let annotation = row.text("/metadata/annotations/volume.beta.kubernetes.io~1storage-class");
    if annotation.is_empty() { row.text("/spec/storageClassName").to_owned() } else { annotation.to_owned() }
}

fn claim_capacity(row: &Row<'_>) -> String {
    if row.text("/spec/volumeName").is_empty() {
        String::new()
    } else {
        row.quantity("/status/capacity/storage")
    }
}

fn claim_modes(row: &Row<'_>) -> String {
    if row.text("/spec/volumeName").is_empty() {
        String::new()
    } else {
        access_modes(row, "/status/accessModes")
    }
}

fn quota(row: &Row<'_>, limits: bool) -> String {
    let hard = row.get("/status/hard").and_then(Value::as_object).into_iter().flatten();
    let wanted = hard.filter(|(name, _)| name.starts_with("limits.") == limits);
    let one = |(name, _): (&String, &Value)| {
        let key = name.replace('~', "~0").replace('/', "~1");
        let of = |part: &str| row.quantity(&format!("/status/{part}/{key}"));
        format!("{name}: {}/{}", of("used"), of("hard"))
    };
    wanted.map(one).collect::<Vec<_>>().join(", ")
}

fn audiences(row: &Row<'_>) -> String {
    match row.get("/spec/tokenRequests") {
        None => "<unset>".to_owned(),
        Some(_) => {
            let requests = row.list("/spec/tokenRequests").iter();
            requests
                .map(|request| request["audience"].as_str().unwrap_or_default())
                .collect::<Vec<_>>()
                .join(",")
        }
    }
}
