//! Create.

pub(crate) mod bulk;

use std::sync::Arc;

use http::StatusCode;
use muster_store::{CommitError, Entry, Expect, Revision, Write};
use serde_json::{Value, json};

use super::{Call, Target, codec, commit_error, meta};
use crate::admission;
use crate::extend::webhooks::{self, Attempt, Operation};
use crate::object::Object;
use crate::request::DryRun;
use crate::server::{ApiServer, Reply, Served, object};
use crate::status::{About, Refusal};

/// Names tried for a `generateName` (KEP-4420).
const NAMES_MAX: usize = 8;
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const NAME_BYTES_MAX: usize = 63;

pub(super) async fn create(server: &ApiServer, call: &mut Call, target: &Target) -> Result<Reply, Refusal> {
    let format = call.accept.object()?;
    let value = codec::decode(&target.served, call)?;
    let entry = create_entry(server, call, target, value).await?;
    let now = server.inner().clock.now();
    Ok(object(StatusCode::CREATED, &target.served, &entry, format, now))
}

/// Creates an object in `target`'s namespace: admission, checks, commit.
pub(crate) async fn create_entry(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
    mut value: Value,
) -> Result<Arc<Entry<Object>>, Refusal> {
    begin(server, target, &mut value, Status::Dropped)?;
    let prefix = generated_prefix(&value).map(str::to_owned);
    let dry_run = call.dry_run()?;
    let mut attempt = 1;
    loop {
        if let Some(prefix) = &prefix {
            meta::metadata(&mut value)?.insert("name".into(), json!(generate(prefix)));
        }
        let name = meta::text(&value, "/metadata/name").to_owned();
        let mut candidate = value.clone();
        let hold = admit(server, call, target, &name, &mut candidate).await?;
        let object = build(&target.served, candidate)?;
        let created = persist(server, target, &name, object, dry_run).await;
        drop(hold);
        match (created, &prefix) {
            (Ok(entry), _) => return Ok(entry),
            (Err(Failed::Exists), Some(_)) if attempt < NAMES_MAX => attempt += 1,
            (Err(Failed::Exists), Some(_)) => {
                return Err(Refusal::name_not_free(target.served.about(), &name));
            }
            (Err(Failed::Exists), None) => {
                return Err(Refusal::already_exists(target.served.about(), &name));
            }
            (Err(Failed::Refused(refusal)), _) => return Err(refusal),
        }
    }
}

/// Everything between a document that was read and its commit. A webhook may change the document, but neither its
/// identity nor what only the server sets.
async fn admit(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
    name: &str,
    candidate: &mut Value,
) -> Result<Option<admission::Hold>, Refusal> {
    let served = &target.served;
    admission::complete(server, target, candidate)?;
    let judged = webhooks::concern(server, call, target);
    let options = if judged { webhooks::options::of(call, Operation::Create) } else { Value::Null };
    let operation = Operation::Create;
    let attempt = Attempt { operation, target, name, message: None, old: None, options: &options };
    if judged {
        let before = candidate.clone();
        if webhooks::mutate(server, call, &attempt, candidate).await? {
            meta::keep_own(served, &before, candidate)?;
            place(target, candidate)?;
        }
    }
    let hold = admission::create(server, call, target, candidate).await?;
    let errors = codec::validate(served, candidate, None);
    if !errors.is_empty() {
        return Err(Refusal::invalid(served.about_kind(), name, &errors));
    }
    if judged {
        webhooks::validate(server, call, &attempt, Some(candidate)).await?;
    }
    Ok(hold)
}

/// A document as the store keeps it.
pub(super) fn build(served: &Served, value: Value) -> Result<Object, Refusal> {
    let value = super::convert::to_stored(served, value);
    Object::build(&value, &served.columns).map_err(|error| Refusal::bad_request(error.to_string()))
}

/// An object that may be written.
pub(super) struct Admitted {
    pub(super) name: String,
    pub(super) object: Object,
}

/// Does everything that a create does before its commit, for a kind that holds nothing and an object that has a name.
pub(super) async fn admitted(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
    mut value: Value,
    status: Status,
) -> Result<Admitted, Refusal> {
    begin(server, target, &mut value, status)?;
    let name = meta::text(&value, "/metadata/name").to_owned();
    admit(server, call, target, &name, &mut value).await?;
    let object = build(&target.served, value)?;
    Ok(Admitted { name, object })
}

/// What becomes of the status that a new object comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// As in every create: it is for the one who observes to write it.
    Dropped,
    /// Whoever asks may write it too.
    Kept,
}

/// What a create does whatever the object's name becomes.
fn begin(server: &ApiServer, target: &Target, value: &mut Value, status: Status) -> Result<(), Refusal> {
    place(target, value)?;
    codec::default(&target.served, value);
    let sent = match status {
        Status::Kept => value.get_mut("status").map(Value::take),
        Status::Dropped => None,
    };
    meta::prepare_create(&target.served, value, server.inner().clock.now())?;
    if let Some(sent) = sent {
        value["status"] = sent;
    }
    Ok(())
}

fn place(target: &Target, value: &mut Value) -> Result<(), Refusal> {
    let metadata = meta::metadata(value)?;
    let found = metadata.get("namespace").and_then(Value::as_str).unwrap_or("").to_owned();
    if target.served.namespaced() {
        if found.is_empty() {
            metadata.insert("namespace".into(), json!(target.namespace));
        } else if found != target.namespace {
            return Err(Refusal::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    } else if !found.is_empty() {
        return Err(Refusal::bad_request("namespace is not allowed on this type"));
    }
    Ok(())
}

fn generated_prefix(value: &Value) -> Option<&str> {
    let prefix = meta::text(value, "/metadata/generateName");
    (meta::text(value, "/metadata/name").is_empty() && !prefix.is_empty()).then_some(prefix)
}

fn generate(prefix: &str) -> String {
    let room = NAME_BYTES_MAX - 5;
    let cut = (0..=room.min(prefix.len())).rev().find(|at| prefix.is_char_boundary(*at)).unwrap_or(0);
    let random = uuid::Uuid::new_v4();
    let letter = |byte: &u8| char::from(SUFFIX_LETTERS[usize::from(*byte) % SUFFIX_LETTERS.len()]);
    // Bytes 6 and 8 of a random uuid hold its version and variant.
    let suffix: String = random.as_bytes()[..5].iter().map(letter).collect();
    format!("{}{suffix}", &prefix[..cut])
}

enum Failed {
    Exists,
    Refused(Refusal),
}

async fn persist(
    server: &ApiServer,
    target: &Target,
    name: &str,
    object: Object,
    dry_run: DryRun,
) -> Result<Arc<Entry<Object>>, Failed> {
    let store = &server.inner().store;
    let key = target.key_of(name);
    if dry_run == DryRun::All {
        if store.get(&key).is_some() {
            return Err(Failed::Exists);
        }
        return Ok(Arc::new(Entry { key, created: Revision::ZERO, revision: Revision::ZERO, value: object }));
    }
    match store.commit(vec![Write::Put { key, value: object, expect: Expect::Absent }]).await {
        Ok(committed) => committed.entries.into_iter().next().ok_or_else(|| {
            Failed::Refused(Refusal::internal("the store acknowledged a write without its entry"))
        }),
        Err(CommitError::Conflict { .. }) => Err(Failed::Exists),
        Err(error) => {
            let about = About { group: "", resource: "" };
            Err(Failed::Refused(commit_error(about, name, error)))
        }
    }
}
