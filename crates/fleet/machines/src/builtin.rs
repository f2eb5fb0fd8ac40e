//! The role and site a first machine needs.

use std::collections::BTreeMap;

use kube::Client;
use muster_api::role::{MachineRoleSpec, Probation};
use muster_api::{MachineRole, ROLE_LABEL};
use muster_control::install;

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

/// Brings the role `worker`, unless a person has one of that name.
///
/// # Errors
/// Those of the requests.
pub async fn ensure(client: &Client) -> Result<(), kube::Error> {
    install::builtin(client, worker()).await
}
