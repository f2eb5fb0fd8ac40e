//! Update, and the read-change-write round that patches, deletes and subresources share.

use std::sync::Arc;

use http::StatusCode;
use muster_store::{CommitError, Entry, Expect, Write};
use serde_json::{Value, json};

use super::{Call, Target, codec, create, meta};
use crate::admission;
use crate::extend::webhooks::{self, Attempt, Operation};
use crate::object::Object;
use crate::request::DryRun;
use crate::server::{ApiServer, Origin, Reply, object};
use crate::status::{About, Reason, Refusal};

/// Rounds before a write that keeps losing against others is given up.
const ROUNDS_MAX: usize = 10;

/// How a change came out.
#[derive(Debug)]
pub(crate) enum Change {
    /// The object is there in this version, perhaps the one it had.
    Kept(Arc<Entry<Object>>),
    /// The change removed the last thing that held the object.
    Gone(Arc<Entry<Object>>),
}

impl Change {
    /// The entry, gone or not.
    pub(crate) fn entry(&self) -> &Arc<Entry<Object>> {
        match self {
            Self::Kept(entry) | Self::Gone(entry) => entry,
        }
    }
}

pub(super) async fn update(server: &ApiServer, call: &mut Call, target: &Target) -> Result<Reply, Refusal> {
    let format = call.accept.object()?;
    let value = codec::decode(&target.served, call)?;
    check_names(target, &value)?;
    let changed = change(server, call, target, |_| Ok(value.clone())).await?;
    let now = server.inner().clock.now();
    Ok(object(StatusCode::OK, &target.served, changed.entry(), format, now))
}

fn check_names(target: &Target, value: &Value) -> Result<(), Refusal> {
    let name = meta::text(value, "/metadata/name");
    if name.is_empty() {
        return Err(Refusal::bad_request("name must be provided"));
    }
    if name != target.name {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    let namespace = meta::text(value, "/metadata/namespace");
    if !namespace.is_empty() && namespace != target.namespace {
        return Err(Refusal::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({})",
            target.namespace
        )));
    }
    Ok(())
}

/// Reads the object, lets `make` turn it into a new version, and writes that; again if somebody else wrote between.
pub(crate) async fn change(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
    mut make: impl FnMut(&Value) -> Result<Value, Refusal> + Send,
) -> Result<Change, Refusal> {
    let store = &server.inner().store;
    let key = target.key();
    for _ in 0..ROUNDS_MAX {
        let entry = store.get(&key).ok_or_else(|| target.not_found())?;
        let old = target.served.document(&entry);
        let mut new = make(&old)?;
        check_version(target, &entry, &new)?;
        let hold = ready(server, call, target, &old, &mut new).await?;
        let done = meta::is_done(&new);
        let built = create::build(&target.served, new)?;
        if built.same_content(&entry.value) && !done {
            return Ok(Change::Kept(entry));
        }
        if call.dry_run()? == DryRun::All {
            let key = key.clone();
            let (created, revision) = (entry.created, entry.revision);
            return Ok(Change::Kept(Arc::new(Entry { key, created, revision, value: built })));
        }
        let expect = Expect::Revision(entry.revision);
        let mut writes = vec![Write::Put { key: key.clone(), value: built, expect }];
        if done {
            // Two writes in one batch: watchers see the last change, then the deletion.
            let unchanged = match &writes[0] {
                Write::Put { value, .. } => value.same_content(&entry.value),
                Write::Delete { .. } => false,
            };
            if unchanged {
                writes.clear();
            }
            let expect = if unchanged { expect } else { Expect::Exists };
            writes.push(Write::Delete { key: key.clone(), expect });
        }
        let committed = store.commit(writes).await;
        drop(hold);
        match committed {
            Ok(committed) => {
                let last = committed.entries.into_iter().next_back();
                let last = last.ok_or_else(|| Refusal::internal("the store acknowledged nothing"))?;
                return Ok(if done { Change::Gone(last) } else { Change::Kept(last) });
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(commit_error(target.served.about(), &target.name, error)),
        }
    }
    Err(Refusal::modified(target.served.about(), &target.name))
}

/// The client's own idea of what it changes: uid and revision, where it gives them.
fn check_version(target: &Target, entry: &Entry<Object>, new: &Value) -> Result<(), Refusal> {
    let about = target.served.about();
    let uid = meta::text(new, "/metadata/uid");
    let found = &*entry.value.header().uid;
    if !uid.is_empty() && uid != found {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}");
        return Err(Refusal::conflict(about, &target.name, &why));
    }
    let revision = meta::text(new, "/metadata/resourceVersion");
    if revision.is_empty() || revision == "0" {
        if target.served.origin == Origin::Custom && target.subresource.is_empty() {
            let path = "metadata.resourceVersion";
            let error = muster_schema::FieldError::invalid(path, json!(0), "must be specified for an update");
            return Err(Refusal::invalid(target.served.about_kind(), &target.name, &[error]));
        }
        return Ok(());
    }
    if revision != entry.revision.get().to_string() {
        return Err(Refusal::modified(about, &target.name));
    }
    Ok(())
}

/// An object is where its target says.
fn name(target: &Target, new: &mut Value) {
    if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".into(), json!(target.name));
        if target.served.namespaced() {
            metadata.insert("namespace".into(), json!(target.namespace));
        }
    }
}

async fn ready(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
    old: &Value,
    new: &mut Value,
) -> Result<Option<admission::Hold>, Refusal> {
    let served = &target.served;
    name(target, new);
    meta::prepare_update(served, &target.subresource, old, new)?;
    if target.subresource == meta::DELETING {
        return Ok(None);
    }
    codec::default(served, new);
    // What these are sent is judged where it is read.
    let judged = !["scale", "binding"].contains(&target.subresource.as_str())
        && webhooks::concern(server, call, target);
    let options = if judged { webhooks::options::of(call, Operation::Update) } else { Value::Null };
    let attempt = Attempt {
        operation: Operation::Update,
        target,
        name: &target.name,
        message: None,
        old: Some(old),
        options: &options,
    };
    if judged && webhooks::mutate(server, call, &attempt, new).await? {
        name(target, new);
        meta::prepare_update(served, &target.subresource, old, new)?;
    }
    let hold = admission::update(server, call, target, old, new).await?;
    // What binding, finalizing or resizing may change, their own handlers decide; to the rules for updates of
    // the whole object it would be forbidden.
    let before = ["", "status"].contains(&target.subresource.as_str()).then_some(old);
    let errors = codec::validate(served, new, before);
    if !errors.is_empty() {
        return Err(Refusal::invalid(served.about_kind(), &target.name, &errors));
    }
    if judged {
        webhooks::validate(server, call, &attempt, Some(new)).await?;
    }
    Ok(hold)
}

/// A store's refusal as a client's.
pub(crate) fn commit_error(about: About<'_>, name: &str, error: CommitError<Object>) -> Refusal {
    match error {
        CommitError::Conflict { .. } => Refusal::modified(about, name),
        CommitError::KeyTooLong { .. } => Refusal::bad_request(error.to_string()),
        CommitError::BatchTooLarge { max, .. } => Refusal::too_large(max),
        CommitError::BatchTooLong { .. } => Refusal::internal(error),
        CommitError::Failed(failure) => Refusal::new(
            Reason::ServiceUnavailable,
            format!("the store does not take writes: {}", muster_base::error::chain(&*failure)),
        ),
        CommitError::Closed => Refusal::new(Reason::ServiceUnavailable, "the server is shutting down"),
    }
}
