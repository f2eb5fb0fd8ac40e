//! Eviction: a deletion that disruption budgets may refuse.

use http::StatusCode;
use muster_store::Entry;
use serde_json::{Value, json};

use crate::extend::webhooks::{self, Message, Operation};
use crate::object::Object;
use crate::request::{DryRun, LabelSelector};
use crate::rest::{Asked, Call, Target, change, codec, delete_entry, meta};
use crate::server::{ApiServer, Reply, document};
use crate::status::{Cause, Reason, Refusal};

const EVICTION: Message = Message { group: "policy", version: "v1", kind: "Eviction" };
const BUDGETS: &str = "poddisruptionbudgets.policy";

pub(super) async fn evict(server: &ApiServer, call: &mut Call, target: &Target) -> Result<Reply, Refusal> {
    let mut eviction = codec::decode_message(call, "policy/v1/Eviction")?;
    let named = meta::text(&eviction, "/metadata/name");
    if !named.is_empty() && named != target.name {
        return Err(Refusal::bad_request(format!(
            "name in URL does not match name in Eviction object: {named}"
        )));
    }
    webhooks::admit_message(server, call, target, (Operation::Create, EVICTION), &mut eviction, None).await?;
    let options = eviction.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
    let params = call.query.delete()?.with_body(&options)?;
    let pod = server.store().get(&target.key()).ok_or_else(|| target.not_found())?;
    let document_of = target.served.document(&pod);
    let harmless = ["Succeeded", "Failed", "Pending"].contains(&meta::text(&document_of, "/status/phase"))
        || document_of.pointer("/metadata/deletionTimestamp").is_some();
    if !harmless && params.dry_run == DryRun::No {
        take_budget(server, target, &pod).await?;
    }
    let whole = Target { subresource: String::new(), ..target.clone() };
    // As upstream, webhooks for deletions have no say in evictions.
    delete_entry(server, &mut Call::internal(), &whole, &Asked(params)).await?;
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(document(StatusCode::CREATED, &status, call.accept.syntax()))
}

fn too_many(message: String, cause: &str) -> Refusal {
    Refusal::new(Reason::TooManyRequests, message).with_causes(vec![Cause::new(
        "DisruptionBudget",
        cause,
        "",
    )])
}

/// Takes one disruption from the pod's budget, if it has one.
async fn take_budget(server: &ApiServer, target: &Target, pod: &Entry<Object>) -> Result<(), Refusal> {
    let snapshot = server.store().snapshot(BUDGETS);
    let document = |entry: &Entry<Object>| entry.value.stored_document(entry.revision.get());
    let fits = |budget: &Value| {
        let selector = &budget["spec"]["selector"];
        LabelSelector::of_document(selector).is_some_and(|selector| selector.matches(pod.value.header()))
    };
    let mut budgets = snapshot.namespace(&target.namespace).map(|entry| document(entry)).filter(fits);
    let Some(budget) = budgets.next() else { return Ok(()) };
    if budgets.next().is_some() {
        return Err(Refusal::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    let name = meta::text(&budget, "/metadata/name").to_owned();
    let registry = server.inner().registry.current();
    let served =
        registry.find("policy", "v1", "poddisruptionbudgets").ok_or_else(Refusal::no_such_resource)?;
    let budget_target = Target::new(served, &target.namespace, &name, "status");
    let now = meta::time(server.inner().clock.now());
    change(server, &mut Call::internal(), &budget_target, |old| {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
        let observed = old["status"]["observedGeneration"].as_i64().unwrap_or(0);
        if observed < generation {
            let cause = format!("The disruption budget {name} is still being processed by the server.");
            let text = "Cannot evict pod as it would violate the pod's disruption budget.".to_owned();
            return Err(too_many(text, &cause).with_retry_after(10));
        }
        let allowed = old["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
        if allowed <= 0 {
            let cause = format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                old["status"]["desiredHealthy"].as_i64().unwrap_or(0),
                old["status"]["currentHealthy"].as_i64().unwrap_or(0)
            );
            let text = "Cannot evict pod as it would violate the pod's disruption budget.".to_owned();
            return Err(too_many(text, &cause));
        }
        let mut new = old.clone();
        new["status"]["disruptionsAllowed"] = json!(allowed - 1);
        new["status"]["disruptedPods"][&target.name] = json!(now);
        Ok(new)
    })
    .await
    .map(|_| ())
}
