//! Delete and deletecollection: grace, finalizers, propagation.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use muster_store::{CommitError, Expect, Write};
use serde_json::{Value, json};

use super::{Call, Change, Target, change, codec, commit_error, list, meta};
use crate::admission;
use crate::extend::webhooks::{self, Attempt, Operation};
use crate::request::{DeleteParams, DryRun};
use crate::server::{ApiServer, Reply, document, object};
use crate::status::{Refusal, success};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// Kinds that answer a delete with the object (upstream's `ReturnDeletedObject`).
const RETURNED: &[&str] = &[
    "pods",
    "services",
    "serviceaccounts",
    "persistentvolumes",
    "persistentvolumeclaims",
    "podtemplates",
    "resourcequotas",
    "leases.coordination.k8s.io",
];
const POD_GRACE_SECONDS: i64 = 30;

/// A deletion asked for, from wherever.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(pub(crate) DeleteParams);

async fn asked(call: &mut Call) -> Result<DeleteParams, Refusal> {
    let params = call.query.delete()?;
    let body = codec::decode_message(call, "DeleteOptions")?;
    let params = params.with_body(&body)?;
    let known = ["Background", "Foreground", "Orphan"];
    match &params.propagation {
        Some(policy) if !known.contains(&policy.as_str()) => Err(Refusal::bad_request(format!(
            "propagationPolicy: Unsupported value: {policy:?}: supported values: \"Foreground\", \"Background\", \
             \"Orphan\", \"nil\""
        ))),
        Some(_) | None => Ok(params),
    }
}

pub(super) async fn delete(server: &ApiServer, call: &mut Call, target: &Target) -> Result<Reply, Refusal> {
    let format = call.accept.object()?;
    let params = asked(call).await?;
    let changed = delete_entry(server, call, target, &Asked(params)).await?;
    let entry = changed.entry();
    let now = server.inner().clock.now();
    match &changed {
        Change::Gone(_) if !RETURNED.contains(&&*target.served.resource) => {
            let about = target.served.about();
            let status = success(about.group, about.resource, &target.name, &entry.value.header().uid);
            Ok(document(StatusCode::OK, &status, format.syntax))
        }
        Change::Gone(_) | Change::Kept(_) => Ok(object(StatusCode::OK, &target.served, entry, format, now)),
    }
}

/// Deletes an object, or marks it for those that hold it.
pub(crate) async fn delete_entry(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
    asked: &Asked,
) -> Result<Change, Refusal> {
    admission::delete(target)?;
    let inner = server.inner();
    let now = inner.clock.now();
    let params = &asked.0;
    let mut judged = false;
    // A change that leaves nothing to hold the object is a deletion; see `change`.
    loop {
        let entry = inner.store.get(&target.key()).ok_or_else(|| target.not_found())?;
        let old = target.served.document(&entry);
        check_preconditions(target, params, &old)?;
        if !std::mem::replace(&mut judged, true) {
            judge(server, call, target, params, &old).await?;
        }
        let mut new = old.clone();
        mark(target, params, &mut new, now)?;
        if !meta::is_done(&new) {
            let marking = Target { subresource: meta::DELETING.to_owned(), ..target.clone() };
            return change(server, call, &marking, |current| {
                check_preconditions(target, params, current)?;
                let mut new = current.clone();
                mark(target, params, &mut new, now)?;
                Ok(new)
            })
            .await;
        }
        if params.dry_run == DryRun::All || call.dry_run()? == DryRun::All {
            return Ok(Change::Gone(entry));
        }
        let expect = Expect::Revision(entry.revision);
        let write = Write::Delete { key: target.key(), expect };
        match inner.store.commit(vec![write]).await {
            Ok(committed) => {
                let last = committed.entries.into_iter().next_back();
                let last = last.ok_or_else(|| Refusal::internal("the store acknowledged nothing"))?;
                return Ok(Change::Gone(last));
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(commit_error(target.served.about(), &target.name, error)),
        }
    }
}

/// Asks the webhooks whether an object may go.
async fn judge(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
    params: &DeleteParams,
    old: &Value,
) -> Result<(), Refusal> {
    if !webhooks::concern(server, call, target) {
        return Ok(());
    }
    let attempt = Attempt {
        operation: Operation::Delete,
        target,
        name: &target.name,
        message: None,
        old: Some(old),
        options: &webhooks::options::of_delete(params),
    };
    webhooks::mutate(server, call, &attempt, &mut Value::Null).await?;
    webhooks::validate(server, call, &attempt, None).await
}

fn check_preconditions(target: &Target, params: &DeleteParams, old: &Value) -> Result<(), Refusal> {
    let pairs = [
        ("UID", &params.uid, "/metadata/uid"),
        ("ResourceVersion", &params.revision, "/metadata/resourceVersion"),
    ];
    for (what, wanted, path) in pairs {
        let found = meta::text(old, path);
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found) {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            );
            return Err(Refusal::conflict(target.served.about(), &target.name, &why));
        }
    }
    Ok(())
}

/// Writes into the object that it is to go, when, and who has to agree.
fn mark(target: &Target, params: &DeleteParams, value: &mut Value, now: Timestamp) -> Result<(), Refusal> {
    let grace = grace_seconds(target, params, value);
    let namespace = &*target.served.resource == "namespaces";
    if namespace {
        value["status"]["phase"] = json!("Terminating");
    }
    let metadata = meta::metadata(value)?;
    let mut finalizers: Vec<String> = metadata
        .get("finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect();
    if let Some(policy) = &params.propagation {
        finalizers.retain(|one| one != ORPHAN && one != FOREGROUND);
        match policy.as_str() {
            "Orphan" => finalizers.push(ORPHAN.to_owned()),
            "Foreground" => finalizers.push(FOREGROUND.to_owned()),
            _ => {}
        }
    }
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), json!(finalizers));
    }
    let before = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64);
    let marked = metadata.contains_key("deletionTimestamp");
    // A second request may shorten the time, never lengthen it.
    if !marked || before.is_some_and(|before| grace < before) {
        let when = now + SignedDuration::from_secs(grace);
        metadata.insert("deletionTimestamp".into(), json!(meta::time(when)));
        metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
    }
    Ok(())
}

fn grace_seconds(target: &Target, params: &DeleteParams, value: &Value) -> i64 {
    if &*target.served.resource != "pods" {
        return 0;
    }
    let unscheduled = meta::text(value, "/spec/nodeName").is_empty();
    let ended = ["Succeeded", "Failed"].contains(&meta::text(value, "/status/phase"));
    if unscheduled || ended {
        return 0;
    }
    let own = value.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    params.grace_seconds.or(own).unwrap_or(POD_GRACE_SECONDS).max(0)
}

pub(super) async fn delete_collection(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
) -> Result<Reply, Refusal> {
    let mut params = list::params(call, target)?;
    let options = asked(call).await?;
    params.limit = 0;
    let page = list::page(server, target, &params)?;
    let mut items = Vec::new();
    for entry in page.entries {
        let one = Target::new(&target.served, &entry.key.namespace, &entry.key.name, "");
        match delete_entry(server, call, &one, &Asked(options.clone())).await {
            Ok(changed) => items.push(target.served.document(changed.entry())),
            Err(refusal) if refusal.reason() == crate::status::Reason::NotFound => {}
            Err(refusal) => return Err(refusal),
        }
    }
    let revision = server.inner().store.revision().get().to_string();
    let list = json!({
        "kind": target.served.kind.list_kind, "apiVersion": target.served.kind.gvk.api_version(),
        "metadata": {"resourceVersion": revision}, "items": items,
    });
    Ok(document(StatusCode::OK, &list, call.accept.syntax()))
}
