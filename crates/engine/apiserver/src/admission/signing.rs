//! Requests for certificates: who asks is noted and stays, and only who may speak for a signer approves or signs.

use serde_json::{Map, Value, json};

use crate::authz::Attributes;
use crate::rest::{Call, Target, meta};
use crate::server::ApiServer;
use crate::status::Refusal;

pub(super) const RESOURCE: &str = "certificatesigningrequests.certificates.k8s.io";

/// Writes down who asks, whatever the request itself says.
pub(super) fn note_requestor(call: &Call, value: &mut Value) {
    let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for key in ["username", "uid", "groups", "extra"] {
        spec.remove(key);
    }
    spec.insert("username".into(), json!(call.who.user));
    spec.insert("groups".into(), json!(call.who.groups));
    if !call.who.uid.is_empty() {
        spec.insert("uid".into(), json!(call.who.uid));
    }
    if !call.who.extra.is_empty() {
        let extra: Map<String, Value> =
            call.who.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect();
        spec.insert("extra".into(), Value::Object(extra));
    }
}

/// What was asked for never changes; approving and signing take the right to speak for the signer.
pub(super) fn update(
    server: &ApiServer,
    call: &Call,
    target: &Target,
    old: &Value,
    new: &mut Value,
) -> Result<(), Refusal> {
    if target.subresource.is_empty() {
        new["spec"] = old["spec"].clone();
    }
    let signed = old.pointer("/status/certificate") != new.pointer("/status/certificate");
    let verb = match target.subresource.as_str() {
        "approval" => "approve",
        "status" if signed => "sign",
        _ => return Ok(()),
    };
    let signer = meta::text(old, "/spec/signerName");
    let attributes = |name: &str| Attributes {
        verb: verb.to_owned(),
        group: "certificates.k8s.io".to_owned(),
        version: "*".to_owned(),
        resource: "signers".to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    let whole_domain = format!("{}/*", signer.split('/').next().unwrap_or(""));
    let authorizer = &server.inner().authorizer;
    authorizer
        .require(&call.who, &attributes(signer))
        .or_else(|refusal| authorizer.require(&call.who, &attributes(&whole_domain)).map_err(|_| refusal))
}
