//! Subresources through which only a part of the object is written.

use http::StatusCode;
use serde_json::Value;

use crate::rest::{Call, Target, change, codec};
use crate::server::{ApiServer, Reply, object};
use crate::status::Refusal;

/// `namespaces/finalize`: what still holds a namespace.
pub(super) async fn finalize(server: &ApiServer, call: &mut Call, target: &Target) -> Result<Reply, Refusal> {
    let format = call.accept.object()?;
    let sent = codec::decode(&target.served, call)?;
    let finalizers =
        sent.pointer("/spec/finalizers").cloned().unwrap_or_else(|| Value::from(Vec::<Value>::new()));
    let revision = sent.pointer("/metadata/resourceVersion").cloned();
    let changed = change(server, call, target, |old| {
        let mut new = old.clone();
        new["spec"]["finalizers"] = finalizers.clone();
        if let Some(revision) = &revision {
            new["metadata"]["resourceVersion"] = revision.clone();
        }
        Ok(new)
    })
    .await?;
    Ok(object(StatusCode::OK, &target.served, changed.entry(), format, server.inner().clock.now()))
}
