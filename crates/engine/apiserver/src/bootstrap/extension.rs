//! How servers behind this one know whom to believe: `extension-apiserver-authentication`.

use serde_json::{Value, json};

use crate::pki::FRONT_PROXY_NAME;
use crate::server::ApiServer;

const NAME: &str = "extension-apiserver-authentication";
const READER: &str = "extension-apiserver-authentication-reader";

/// The ConfigMap, and the role that may read it.
pub(super) fn documents(server: &ApiServer) -> impl Iterator<Item = Value> {
    let inner = server.inner();
    let list = |text: &str| json!([text]).to_string();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": "kube-system"},
        "data": {
            "client-ca-file": inner.authority_pem,
            "requestheader-allowed-names": list(FRONT_PROXY_NAME),
            "requestheader-client-ca-file": inner.front_proxy.authority_pem,
            "requestheader-extra-headers-prefix": list("X-Remote-Extra-"),
            "requestheader-group-headers": list("X-Remote-Group"),
            "requestheader-uid-headers": list("X-Remote-Uid"),
            "requestheader-username-headers": list("X-Remote-User"),
        },
    });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {
            "name": READER, "namespace": "kube-system",
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        },
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [NAME],
                   "verbs": ["get", "list", "watch"]}],
    });
    [map, role].into_iter()
}
