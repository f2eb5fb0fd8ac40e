//! Kubeconfig files.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Pki, PkiError, ServingNames, authority, files};
use crate::authn::Identity;

pub(super) fn write(
    pki: &Pki,
    path: &Path,
    server: &str,
    who: &Identity,
    now: Timestamp,
) -> Result<(), PkiError> {
    if let Some(text) = files::read(path)?
        && still_good(&text, pki, server, now)
    {
        return Ok(());
    }
    let credentials = pki.client(who, now)?;
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "muster", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(pki.authority_pem()),
        }}],
        "users": [{"name": who.user, "user": {
            "client-certificate-data": STANDARD.encode(credentials.certificate_pem),
            "client-key-data": STANDARD.encode(credentials.key_pem),
        }}],
        "contexts": [{"name": "muster", "context": {"cluster": "muster", "user": who.user}}],
        "current-context": "muster",
    });
    // JSON is YAML; kubectl reads either.
    files::write(path, &format!("{document:#}\n"))
}

fn still_good(text: &str, pki: &Pki, server: &str, now: Timestamp) -> bool {
    let Ok(document) = serde_json::from_str::<Value>(text) else { return false };
    let get = |path: &str| document.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
    let cluster = "/clusters/0/cluster";
    let same = get(&format!("{cluster}/server")) == server
        && get(&format!("{cluster}/certificate-authority-data")) == STANDARD.encode(pki.authority_pem());
    let certificate = STANDARD.decode(get("/users/0/user/client-certificate-data")).unwrap_or_default();
    same && authority::still_good(&String::from_utf8_lossy(&certificate), &ServingNames::default(), now)
}
