//! The role and site a first machine needs.

use std::collections::BTreeMap;

use kube::api::PostParams;
use kube::{Api, Client};
use muster_api::role::{MachineRoleSpec, Probation};
use muster_api::{MachineRole, ROLE_LABEL};
use muster_control::is_conflict;

/// Name of the role of a machine that runs containers.
pub const WORKER: &str = "worker";

/// The role `worker`: containerd, the kernel features containers need, ten seconds of probation.
pub fn worker() -> MachineRole {
    let spec = MachineRoleSpec {
        kernel_features: ["overlayfs", "veth", "bridge", "br_netfilter", "nf_tables"]
            .map(str::to_owned)
            .to_vec(),
        sysctls: BTreeMap::from([("net.ipv4.ip_forward".to_owned(), "1".to_owned())]),
        node_labels: BTreeMap::from([(ROLE_LABEL.to_owned(), WORKER.to_owned())]),
        probation: Probation::default(),
        ..MachineRoleSpec::default()
    };
    MachineRole::new(WORKER, spec)
}

/// Creates the role `worker` unless there is one already.
///
/// # Errors
/// Those of the create request.
pub async fn ensure(client: &Client) -> Result<(), kube::Error> {
    match Api::<MachineRole>::all(client.clone()).create(&PostParams::default(), &worker()).await {
        Err(error) if !is_conflict(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
