//! Requests for certificates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::core::ClusterResourceScope;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Object;

pub type SigningRequest = Object<RequestSpec, RequestStatus>;

muster_control::view!(SigningRequest: "certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", ClusterResourceScope);

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RequestSpec {
    /// PEM in base64.
    pub request: String,
    pub signer_name: String,
    pub expiration_seconds: Option<u64>,
}

impl RequestSpec {
    /// The request as PEM; empty where it is none.
    pub fn request_pem(&self) -> String {
        let bytes = STANDARD.decode(&self.request).ok();
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RequestStatus {
    pub conditions: Vec<RequestCondition>,
    pub certificate: Option<String>,
}

impl RequestStatus {
    /// The conditions as they came.
    pub fn raw_conditions(&self) -> Vec<Value> {
        self.conditions.iter().map(|condition| Value::Object(condition.rest.clone())).collect()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct RequestCondition {
    pub kind: String,
    pub last_update_time: Option<Timestamp>,
    pub rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for RequestCondition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rest = Map::deserialize(deserializer)?;
        let text = |key: &str| rest.get(key).and_then(Value::as_str).unwrap_or_default();
        let kind = text("type").to_owned();
        let last_update_time = text("lastUpdateTime").parse().ok();
        Ok(Self { kind, last_update_time, rest })
    }
}

/// As the API carries bytes.
pub fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}
