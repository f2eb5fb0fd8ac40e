//! The ServiceAccount `default` and the ConfigMap `kube-root-ca.crt` of every namespace.

use serde_json::{Value, json};

use crate::view::Namespace;

pub const ACCOUNT: &str = "default";
pub const ROOT_CA: &str = "kube-root-ca.crt";
pub const CA_KEY: &str = "ca.crt";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    CreateAccount,
    CreateRootCa,
    /// The certificate is another one than this cluster's.
    CorrectRootCa,
}

/// What is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    Missing,
    Holding(Option<&'a str>),
}

/// `ca` is the certificate bundle in PEM; without one no ConfigMap is kept.
pub fn plan(namespace: &Namespace, account: Found<'_>, root_ca: Found<'_>, ca: Option<&str>) -> Vec<Act> {
    let ending = namespace.is_leaving() || namespace.status.phase.as_deref() == Some("Terminating");
    if ending {
        return Vec::new();
    }
    let mut acts = Vec::new();
    if account == Found::Missing {
        acts.push(Act::CreateAccount);
    }
    match (ca, root_ca) {
        (Some(_), Found::Missing) => acts.push(Act::CreateRootCa),
        (Some(ca), Found::Holding(held)) if held != Some(ca) => acts.push(Act::CorrectRootCa),
        (Some(_), Found::Holding(_)) | (None, _) => {}
    }
    acts
}

pub fn account() -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}})
}

pub fn root_ca(ca: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": ROOT_CA, "annotations": {"kubernetes.io/description":
            "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such \
             as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
             distributions of Kubernetes clusters."}},
        "data": {CA_KEY: ca},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(meta: Value) -> Namespace {
        serde_json::from_value(json!({"metadata": meta})).unwrap()
    }

    #[test]
    fn a_new_namespace_gets_both_and_a_foreign_certificate_is_corrected() {
        let new = namespace(json!({"name": "a"}));
        let missing = Found::Missing;
        assert_eq!(plan(&new, missing, missing, Some("pem")), [Act::CreateAccount, Act::CreateRootCa]);
        assert_eq!(plan(&new, missing, missing, None), [Act::CreateAccount]);
        let there = Found::Holding(None);
        assert_eq!(plan(&new, there, Found::Holding(Some("other")), Some("pem")), [Act::CorrectRootCa]);
        assert_eq!(plan(&new, there, Found::Holding(Some("pem")), Some("pem")), []);
    }

    #[test]
    fn an_ending_namespace_gets_nothing() {
        let ending = namespace(json!({"name": "a", "deletionTimestamp": "2026-11-01T00:00:00Z"}));
        assert_eq!(plan(&ending, Found::Missing, Found::Missing, Some("pem")), []);
    }
}
