//! What a machine with a token must be able to see and do: the cluster's authority before it shows the token, a request
//! for a certificate afterwards.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::{Client, Config};
use muster_api::join::{DOCTORS, JOINING, NODES};
use muster_control::is_conflict;
use muster_control::rest::{PatchKind, Rest, path};
use serde_json::{Value, json};

use super::Engine;
use crate::failure::Failure;
use crate::rights;

const RBAC: &str = "rbac.authorization.k8s.io";
const PUBLIC: &str = "kube-public";

pub(super) async fn prepare(
    client: &Client,
    config: &Config,
    server: &str,
    engine: Engine,
) -> Result<(), Failure> {
    let rest = Rest::new(client.clone());
    let failure = |error: kube::Error| Failure::api("cannot prepare the cluster for joining", &error);
    let info = cluster_info(config, server);
    match rest.create(&path("v1", PUBLIC, "configmaps", ""), &info).await {
        // Whoever runs a foreign cluster has said there what it is.
        Err(error) if is_conflict(&error) && engine == Engine::Own => {
            let (place, body) =
                (path("v1", PUBLIC, "configmaps", "cluster-info"), json!({"data": info["data"]}));
            rest.patch(&place, PatchKind::Merge, &body).await.map_err(failure)?;
        }
        Err(error) if !is_conflict(&error) => return Err(failure(error)),
        Ok(_) | Err(_) => {}
    }
    for (place, document) in rights(engine) {
        match rest.create(&place, &document).await {
            Err(error) if !is_conflict(&error) => return Err(failure(error)),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn cluster_info(config: &Config, server: &str) -> Value {
    let bundle: String = config.root_cert.iter().flatten().map(|der| pem(der)).collect();
    let cluster = json!({"server": server, "certificate-authority-data": STANDARD.encode(bundle)});
    let kubeconfig =
        json!({"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": cluster}]});
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info"},
        "data": {"kubeconfig": kubeconfig.to_string()},
    })
}

fn binding(kind: &str, name: &str, role: (&str, &str), group: &str) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": kind, "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": role.0, "name": role.1},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group}],
    })
}

/// On a foreign Kubernetes agents and doctors get the rights on Muster's kinds that our own authorizer gives each for its own
/// objects.
fn rights(engine: Engine) -> Vec<(String, Value)> {
    let version = format!("{RBAC}/v1");
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let role = |kind: &str, name: &str, rules: Vec<Value>| json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "rules": rules});
    let mut own_info = rule("", &["configmaps"], &["get"]);
    own_info["resourceNames"] = json!(["cluster-info"]);
    let info = "muster:cluster-info";
    let mut rows = vec![
        (path(&version, PUBLIC, "roles", ""), role("Role", info, vec![own_info])),
        (
            path(&version, PUBLIC, "rolebindings", ""),
            binding("RoleBinding", info, ("Role", info), "system:unauthenticated"),
        ),
        (
            path(&version, "", "clusterrolebindings", ""),
            binding(
                "ClusterRoleBinding",
                "muster:joining",
                ("ClusterRole", "system:node-bootstrapper"),
                JOINING,
            ),
        ),
    ];
    if engine == Engine::Foreign {
        let (ours, agents, read) = (muster_api::GROUP, "muster:agents", &["get", "list", "watch"]);
        let rules = vec![
            rule(
                ours,
                &["orders", "pauses", "machines", "machineroles", "hardwareprofiles", "inventories"],
                read,
            ),
            rule(ours, &["inventories"], &["create"]),
            rule(ours, &["orders/status", "inventories/status"], &["patch", "update"]),
            rule("discovery.k8s.io", &["endpointslices"], read),
        ];
        rows.push((path(&version, "", "clusterroles", ""), role("ClusterRole", agents, rules)));
        rows.push((
            path(&version, "", "clusterrolebindings", ""),
            binding("ClusterRoleBinding", agents, ("ClusterRole", agents), NODES),
        ));
        let rules = rights::doctor().iter().map(muster_apiserver::authz::Rule::document).collect();
        rows.push((path(&version, "", "clusterroles", ""), role("ClusterRole", DOCTORS, rules)));
        rows.push((
            path(&version, "", "clusterrolebindings", ""),
            binding("ClusterRoleBinding", DOCTORS, ("ClusterRole", DOCTORS), DOCTORS),
        ));
    }
    rows
}
