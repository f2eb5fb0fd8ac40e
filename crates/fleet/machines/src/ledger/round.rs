//! One round of the ledger: what may be read in which order, and what must be written before what.
//!
//! The book of the ledger is read first and written against that version before any grant is: of two deciders one is
//! refused. Whoever reads the book writes first what stands in it and was not written, so that every list it reads
//! afterwards holds every grant ever given. A writer that comes late writes against a version that has gone.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::disruption::DisruptionPhase;
use muster_api::disruption::ledger::{Entry, LedgerStatus};
use muster_api::{Disruption, DisruptionBudget, Ledger, Pause, Run};
use muster_base::clock::elapsed;

use super::books::{Books, Written};
use super::plan::{self, Decision, Fresh, Plan, Timing, World};

/// Grants are written in the book while what is known of pauses is not older.
const PAUSES_KNOWN_FOR: Duration = Duration::from_millis(500);
/// So many statuses are written in one round.
const WRITES_MAX: usize = 256;

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) acted: bool,
    /// There is more to do at once.
    pub(crate) again: bool,
    pub(crate) look_again_at: Option<Timestamp>,
}

const AGAIN: Told = Told { acted: true, again: true, look_again_at: None };

/// What a round has read.
struct Seen {
    requests: Vec<Disruption>,
    budgets: Vec<DisruptionBudget>,
    pauses: Vec<Pause>,
    lost: BTreeMap<String, String>,
    fresh: Fresh,
}

/// Does one round. It may be given up at any await: nothing is lost and nothing is granted twice.
pub(crate) async fn round<B: Books>(books: &B, timing: Timing) -> Result<Told, B::Error> {
    let ledger = books.ledger().await?;
    let requests = books.requests().await?;
    if finish(books, &ledger, &requests).await? {
        return Ok(AGAIN);
    }
    let lost = lost(books, &requests).await?;
    let (budgets, pauses) = (books.budgets().await?, books.pauses().await?);
    let mut seen = Seen { requests, budgets, pauses, lost, fresh: Fresh::new() };
    let mut plan = decide(books, &seen, timing);
    let mut pauses_read_at = books.now();
    if !plan.look_at.is_empty() {
        for name in &plan.look_at {
            seen.fresh.insert(name.clone(), books.machine(name).await?);
        }
        pauses_read_at = books.now();
        seen.pauses = books.pauses().await?;
        plan = decide(books, &seen, timing);
    }
    if !plan.grants.is_empty() {
        let known_for = elapsed(pauses_read_at, books.now());
        if PAUSES_KNOWN_FOR < known_for || !enter(books, &ledger, &seen, &mut plan).await? {
            return Ok(AGAIN);
        }
    }
    write(books, &seen, &plan).await
}

fn decide<B: Books>(books: &B, seen: &Seen, timing: Timing) -> Plan {
    plan::plan(&World {
        requests: &seen.requests,
        machines: &books.watched_machines(),
        fresh: &seen.fresh,
        budgets: &seen.budgets,
        pauses: &seen.pauses,
        sites: &books.watched_sites(),
        lost: &seen.lost,
        now: books.now(),
        timing,
    })
}

/// Writes the grants that stand in the book and not yet in their requests; whether there were any.
async fn finish<B: Books>(books: &B, ledger: &Ledger, requests: &[Disruption]) -> Result<bool, B::Error> {
    let mut found = false;
    for entry in ledger.status.iter().flat_map(|status| &status.batch) {
        let unwritten = |request: &&Disruption| {
            request.name_any() == entry.request
                && request.uid().as_deref() == Some(&entry.uid)
                && plan::phase(request) == DisruptionPhase::Waiting
                // One that was written and taken back after a hold waits again, and its entry means nothing any more.
                && request.status.as_ref().is_none_or(|status| status.sequence < entry.status.sequence)
        };
        if let Some(request) = requests.iter().find(unwritten) {
            found = true;
            let written = Disruption { status: Some(entry.status.clone()), ..request.clone() };
            books.write_request(&written).await?;
        }
    }
    Ok(found)
}

/// Requests whose run is over or gone. What the watch does not show is looked up before it is believed.
async fn lost<B: Books>(books: &B, requests: &[Disruption]) -> Result<BTreeMap<String, String>, B::Error> {
    let mut lost = BTreeMap::new();
    for request in requests.iter().filter(|request| !request.spec.run.is_empty()) {
        let holder = &request.spec.run;
        let mut why = over(holder, books.watched_run(holder).as_deref());
        if why.is_some() && !plan::is_over(plan::phase(request)) {
            why = over(holder, books.run(holder).await?.as_ref());
        }
        if let Some(why) = why {
            lost.insert(request.name_any(), why);
        }
    }
    Ok(lost)
}

fn over(name: &str, run: Option<&Run>) -> Option<String> {
    let Some(run) = run else { return Some(format!("its run {name} is not there any more")) };
    let phase = run.status.as_ref().map(|status| status.phase).unwrap_or_default();
    phase.is_final().then(|| format!("its run {name} ended: {}", phase.as_str()))
}

/// Writes the grants into the book; `false` where another decider was faster, and then nothing is granted.
async fn enter<B: Books>(books: &B, ledger: &Ledger, seen: &Seen, plan: &mut Plan) -> Result<bool, B::Error> {
    let sequence = ledger.status.as_ref().map_or(0, |status| status.sequence) + 1;
    for grant in &mut plan.grants {
        grant.status.sequence = sequence;
    }
    let uid_of = |name: &str| {
        seen.requests.iter().find(|request| request.name_any() == name).and_then(Disruption::uid)
    };
    let batch = plan.grants.iter().map(|grant| Entry {
        request: grant.request.clone(),
        uid: uid_of(&grant.request).unwrap_or_default(),
        status: grant.status.clone(),
    });
    let status = LedgerStatus { sequence, decided_at: Some(books.now()), batch: batch.collect() };
    let written = Ledger { status: Some(status), ..ledger.clone() };
    Ok(books.write_ledger(&written).await? == Written::Taken)
}

async fn write<B: Books>(books: &B, seen: &Seen, plan: &Plan) -> Result<Told, B::Error> {
    let by_name: BTreeMap<String, &Disruption> =
        seen.requests.iter().map(|request| (request.name_any(), request)).collect();
    let all = plan.grants.iter().chain(&plan.decisions);
    let mut again = plan.more || WRITES_MAX < plan.grants.len() + plan.decisions.len();
    let mut acted = false;
    for Decision { request, status } in all.take(WRITES_MAX) {
        let Some(found) = by_name.get(request) else { continue };
        let written = Disruption { status: Some(status.clone()), ..(*found).clone() };
        acted = true;
        again |= books.write_request(&written).await? == Written::Stale;
    }
    for name in &plan.forget {
        let Some(found) = by_name.get(name) else { continue };
        acted = true;
        books.forget(found).await?;
    }
    acted |= report(books, seen, plan).await?;
    Ok(Told { acted, again, look_again_at: plan.look_again_at })
}

/// Shows what is used and held; a version that has gone is shown in the next round.
async fn report<B: Books>(books: &B, seen: &Seen, plan: &Plan) -> Result<bool, B::Error> {
    for (name, status) in &plan.pauses {
        if let Some(pause) = seen.pauses.iter().find(|pause| pause.name_any() == *name) {
            books.write_pause(&Pause { status: Some(status.clone()), ..pause.clone() }).await?;
        }
    }
    for (name, status) in &plan.budgets {
        if let Some(budget) = seen.budgets.iter().find(|budget| budget.name_any() == *name) {
            books.write_budget(&DisruptionBudget { status: Some(status.clone()), ..budget.clone() }).await?;
        }
    }
    Ok(!plan.pauses.is_empty() || !plan.budgets.is_empty())
}

#[cfg(test)]
mod schedules;
