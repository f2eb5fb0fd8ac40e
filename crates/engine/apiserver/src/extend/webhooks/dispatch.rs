//! Asking the webhooks of a write: those that change it one after the other, those that judge it together.

use std::sync::Arc;

use futures::future::join_all;
use muster_schema::{Gvk, merge};
use muster_store::Key;
use serde_json::{Map, Value};
use tracing::warn;

use super::call::ask;
use super::configuration::{Failure, Hook, Stage};
use super::review::{self, Patch, Shown, Verdict};
use super::rules::{self, Request, Scope};
use super::{Attempt, Operation};
use crate::request::DryRun;
use crate::rest::{Call, codec, convert};
use crate::server::{ApiServer, Origin, Served};
use crate::status::Refusal;

/// A webhook that is to be asked, and the version of the kind it asked for.
struct Invocation {
    hook: Arc<Hook>,
    served: Arc<Served>,
}

/// Why a write does not go through.
enum Denial {
    /// The webhook said no, or may not be asked.
    Refused(Refusal),
    /// It could not be asked.
    Failed(String),
}

/// What is left of an answer when the write goes on.
#[derive(Default)]
struct Told {
    warnings: Vec<String>,
    annotations: Vec<(String, String)>,
    patch: Option<Patch>,
}

impl Told {
    fn tell(self, call: &mut Call) -> Option<Patch> {
        call.warnings.extend(self.warnings);
        call.annotations.extend(self.annotations);
        self.patch
    }
}

/// Lets webhooks change an object, or refuse the write. Whether one changed it.
pub(crate) async fn mutate(
    server: &ApiServer,
    call: &mut Call,
    attempt: &Attempt<'_>,
    object: &mut Value,
) -> Result<bool, Refusal> {
    let hooks = about(server, attempt, Stage::Mutating);
    if hooks.is_empty() {
        return Ok(false);
    }
    let mut round = Round { server, attempt, changed: false, earlier: Vec::new(), again: Vec::new() };
    for (at, hook) in hooks.iter().enumerate() {
        round.one(call, at, hook, object).await?;
    }
    // Once more, those that asked for it and that a later one may have undone; what they change now is final.
    let again = std::mem::take(&mut round.again);
    for at in again {
        round.one(call, at, &hooks[at], object).await?;
    }
    Ok(round.changed)
}

struct Round<'a> {
    server: &'a ApiServer,
    attempt: &'a Attempt<'a>,
    changed: bool,
    earlier: Vec<usize>,
    again: Vec<usize>,
}

impl Round<'_> {
    async fn one(
        &mut self,
        call: &mut Call,
        at: usize,
        hook: &Arc<Hook>,
        object: &mut Value,
    ) -> Result<(), Refusal> {
        let (server, attempt) = (self.server, self.attempt);
        let shown = (attempt.operation != Operation::Delete).then_some(&*object);
        let Some(invocation) = invocation(server, call, attempt, hook, shown)? else { return Ok(()) };
        let told = invoke(server, call, attempt, &invocation, Stage::Mutating, shown).await;
        let patch = settle(hook, told)?.and_then(|told| told.tell(call));
        if let Some(patch) = patch {
            let patched = patched(attempt, &invocation, shown, &patch)?;
            if patched != *object {
                *object = patched;
                self.changed = true;
                self.again.append(&mut self.earlier);
            }
        }
        if hook.reinvoked {
            self.earlier.push(at);
        }
        Ok(())
    }
}

/// Lets webhooks refuse a write.
pub(crate) async fn validate(
    server: &ApiServer,
    call: &mut Call,
    attempt: &Attempt<'_>,
    object: Option<&Value>,
) -> Result<(), Refusal> {
    let hooks = about(server, attempt, Stage::Validating);
    let mut invocations = Vec::new();
    for hook in &hooks {
        invocations.extend(invocation(server, call, attempt, hook, object)?);
    }
    let asked = invocations
        .iter()
        .map(|invocation| invoke(server, call, attempt, invocation, Stage::Validating, object));
    let answers = join_all(asked).await;
    for (invocation, told) in invocations.iter().zip(answers) {
        if let Some(told) = settle(&invocation.hook, told)? {
            told.tell(call);
        }
    }
    Ok(())
}

fn about(server: &ApiServer, attempt: &Attempt<'_>, stage: Stage) -> Vec<Arc<Hook>> {
    server.inner().webhooks.current().about(stage, &attempt.served().kind.plural)
}

/// Whether a webhook is to be asked about a write, and in which version.
fn invocation(
    server: &ApiServer,
    call: &Call,
    attempt: &Attempt<'_>,
    hook: &Arc<Hook>,
    object: Option<&Value>,
) -> Result<Option<Invocation>, Refusal> {
    if !rules::selects(&hook.objects, [object, attempt.old]) {
        return Ok(None);
    }
    let Some(served) = asked_version(server, attempt, hook) else { return Ok(None) };
    if !in_selected_namespace(server, attempt, hook, object)? {
        return Ok(None);
    }
    let invocation = Invocation { hook: Arc::clone(hook), served };
    Ok(meets_conditions(call, attempt, &invocation, object)?.then_some(invocation))
}

/// The version of the kind that a rule names: the one written, or another of the same objects.
fn asked_version(server: &ApiServer, attempt: &Attempt<'_>, hook: &Hook) -> Option<Arc<Served>> {
    let scope = if attempt.target.namespace.is_empty() { Scope::Cluster } else { Scope::Namespaced };
    let matches = |served: &Arc<Served>| {
        let request = Request {
            group: &served.kind.gvk.group,
            version: &served.kind.gvk.version,
            resource: &served.kind.plural,
            subresource: &attempt.target.subresource,
            operation: attempt.operation.word(),
            scope,
        };
        hook.rules.iter().any(|rule| rule.matches(&request))
    };
    let own = &attempt.target.served;
    if matches(own) {
        return Some(Arc::clone(own));
    }
    if !hook.equivalent {
        return None;
    }
    let registry = server.inner().registry.current();
    let others =
        registry.all().filter(|other| other.resource == own.resource && other.kind.gvk != own.kind.gvk);
    others.into_iter().find(|other| matches(other)).cloned()
}

/// What lives in no namespace is never left out by a namespace selector, a Namespace is judged by itself.
fn in_selected_namespace(
    server: &ApiServer,
    attempt: &Attempt<'_>,
    hook: &Hook,
    object: Option<&Value>,
) -> Result<bool, Refusal> {
    let namespace = attempt.namespace();
    if hook.namespaces.is_empty() || namespace.is_empty() {
        return Ok(true);
    }
    if attempt.is_namespace() && attempt.target.subresource.is_empty() && object.is_some() {
        return Ok(rules::selects(&hook.namespaces, [object, None]));
    }
    let found = server.store().get(&Key::new("namespaces", "", namespace));
    let found = found.ok_or_else(|| Refusal::not_found(crate::rest::NAMESPACES, namespace))?;
    Ok(hook.namespaces.matches(found.value.header()))
}

fn meets_conditions(
    call: &Call,
    attempt: &Attempt<'_>,
    invocation: &Invocation,
    object: Option<&Value>,
) -> Result<bool, Refusal> {
    let hook = &invocation.hook;
    let verdict = match &hook.conditions {
        Ok(conditions) if conditions.is_empty() => return Ok(true),
        Ok(conditions) => {
            let documents = Documents::of(attempt, invocation, object);
            let request = request(call, attempt, invocation, &documents)?;
            let (request, null) = (Value::Object(request), Value::Null);
            let (object, old) =
                (documents.object.as_ref().unwrap_or(&null), documents.old.as_ref().unwrap_or(&null));
            let named = [("object", object), ("oldObject", old), ("request", &request)];
            muster_schema::cel::condition::all_hold(conditions, &named)
        }
        Err(why) => Err(why.clone()),
    };
    match (verdict, hook.failure) {
        (Ok(holds), _) => Ok(holds),
        (Err(_), Failure::Ignore) => Ok(false),
        (Err(why), Failure::Refuse) => Err(Refusal::forbidden(attempt.served().about(), attempt.name, &why)),
    }
}

/// The documents in the version that a webhook asked for.
struct Documents {
    object: Option<Value>,
    old: Option<Value>,
}

impl Documents {
    fn of(attempt: &Attempt<'_>, invocation: &Invocation, object: Option<&Value>) -> Self {
        let (from, to) = (attempt.served(), &*invocation.served);
        let whole = |document: &Value| converted(from, to, document.clone());
        // What a subresource is sent is of its own kind, in whichever version its parent is.
        if attempt.message.is_some() {
            return Self { object: object.cloned(), old: attempt.old.cloned() };
        }
        Self { object: object.map(whole), old: attempt.old.map(whole) }
    }

    fn shown<'a>(&'a self, served: &'a Served, kind: &'a Gvk) -> Shown<'a> {
        Shown { kind, resource: resource_of(served), object: self.object.as_ref(), old: self.old.as_ref() }
    }
}

fn resource_of(served: &Served) -> (&str, &str, &str) {
    (&served.kind.gvk.group, &served.kind.gvk.version, &served.kind.plural)
}

fn converted(from: &Served, to: &Served, document: Value) -> Value {
    if from.kind.gvk == to.kind.gvk {
        return document;
    }
    let mut document = convert::to_served(to, convert::to_stored(from, document));
    document["apiVersion"] = Value::from(to.kind.gvk.api_version());
    document["kind"] = Value::from(to.kind.gvk.kind.as_str());
    document
}

fn kind_of(attempt: &Attempt<'_>, served: &Served) -> Gvk {
    attempt.message.map_or_else(
        || served.kind.gvk.clone(),
        |message| Gvk {
            group: message.group.into(),
            version: message.version.into(),
            kind: message.kind.into(),
        },
    )
}

fn request(
    call: &Call,
    attempt: &Attempt<'_>,
    invocation: &Invocation,
    documents: &Documents,
) -> Result<Map<String, Value>, Refusal> {
    let kind = kind_of(attempt, &invocation.served);
    let asked = kind_of(attempt, attempt.served());
    let shown = documents.shown(&invocation.served, &kind);
    let dry_run = is_dry_run(call, attempt)?;
    Ok(review::request(attempt, &call.who, &shown, (&asked, resource_of(attempt.served())), dry_run))
}

fn is_dry_run(call: &Call, attempt: &Attempt<'_>) -> Result<bool, Refusal> {
    let listed = attempt.options["dryRun"].as_array().is_some_and(|list| !list.is_empty());
    Ok(listed || call.dry_run()? == DryRun::All)
}

async fn invoke(
    server: &ApiServer,
    call: &Call,
    attempt: &Attempt<'_>,
    invocation: &Invocation,
    stage: Stage,
    object: Option<&Value>,
) -> Result<Told, Denial> {
    let hook = &invocation.hook;
    if is_dry_run(call, attempt).map_err(Denial::Refused)? && !hook.takes_dry_runs() {
        let text = format!("admission webhook {:?} does not support dry run", hook.name);
        return Err(Denial::Refused(Refusal::bad_request(text)));
    }
    let documents = Documents::of(attempt, invocation, object);
    let kind = kind_of(attempt, &invocation.served);
    let shown = documents.shown(&invocation.served, &kind);
    let request = request(call, attempt, invocation, &documents).map_err(Denial::Refused)?;
    let verdict = ask(server.store(), stage, hook, &request, &shown).await.map_err(Denial::Failed)?;
    judge(&hook.name, verdict)
}

fn judge(name: &str, verdict: Verdict) -> Result<Told, Denial> {
    if !verdict.allowed {
        return Err(Denial::Refused(Refusal::denied_by_webhook(name, verdict.status)));
    }
    let named = |(key, value): (String, String)| (format!("{name}/{key}"), value);
    Ok(Told {
        warnings: verdict.warnings,
        annotations: verdict.annotations.into_iter().map(named).collect(),
        patch: verdict.patch,
    })
}

/// What an answer means for the request. A webhook that may be left out, and failed, is told in the log.
fn settle(hook: &Hook, told: Result<Told, Denial>) -> Result<Option<Told>, Refusal> {
    match told {
        Ok(told) => Ok(Some(told)),
        Err(Denial::Refused(refusal)) => Err(refusal),
        Err(Denial::Failed(why)) if hook.failure == Failure::Ignore => {
            warn!(webhook = hook.name, configuration = hook.configuration, why, "a webhook was left out");
            Ok(None)
        }
        Err(Denial::Failed(why)) => {
            Err(Refusal::internal(format!("failed calling webhook {:?}: {why}", hook.name)))
        }
    }
}

/// The object with a webhook's changes, as if it had been sent so: read by its type, with defaults.
fn patched(
    attempt: &Attempt<'_>,
    invocation: &Invocation,
    object: Option<&Value>,
    patch: &Patch,
) -> Result<Value, Refusal> {
    let name = &invocation.hook.name;
    let failed = |why: String| Refusal::internal(format!("failed calling webhook {name:?}: {why}"));
    let operations: Value = serde_json::from_slice(&patch.bytes)
        .map_err(|error| failed(format!("received undecodable patch in webhook response: {error}")))?;
    let Some(object) = object else {
        return Err(Refusal::internal(format!(
            "admission webhook {name:?} attempted to modify the object, which is not supported for this operation"
        )));
    };
    if patch.form != "JSONPatch" {
        return Err(failed(format!("unsupported patch type {:?}", patch.form)));
    }
    let (own, other) = (attempt.served(), &*invocation.served);
    let mut value = converted(own, other, object.clone());
    merge::json_patch(&mut value, &operations).map_err(Refusal::internal)?;
    if attempt.message.is_some() {
        return Ok(value);
    }
    let value = converted(other, own, value);
    let validation = crate::request::FieldValidation::Ignore;
    let (mut value, _) = codec::recheck(own, &value, validation).map_err(Refusal::internal)?;
    if own.origin == Origin::Custom {
        muster_schema::prune::prune(&own.kind, &mut value);
    }
    codec::default(own, &mut value);
    Ok(value)
}
