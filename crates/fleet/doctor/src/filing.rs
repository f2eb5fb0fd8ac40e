//! Writes what the cases say into Problems: changes of state in their order, more of the same now and then.
//!
//! Nothing is written twice, and nothing is lost while the API is away: what changed meanwhile waits in the spool.

pub(crate) mod spool;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use muster_api::problem::{self, ProblemSpec, ProblemStatus, State};
use muster_api::{MACHINE_LABEL, Problem};
use muster_base::backoff::Backoff;
use muster_base::clock::elapsed;
use muster_control::{explain, is_conflict};

use crate::diagnosis::cases::{Cases, Key};
use crate::filing::spool::{Change, Spool};
use crate::state::StateFile;

/// Evidence of a state that stands is written this often at most.
const COALESCE: Duration = Duration::from_secs(5);
/// How long one request may take before the looks go on without it.
const REQUEST_MAX: Duration = Duration::from_secs(5);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));

/// Why something is not filed yet.
#[derive(Debug, thiserror::Error)]
enum FilingError {
    #[error("the API refused or failed")]
    Request(#[from] kube::Error),
    #[error("the API did not answer within {0:?}")]
    TooLate(Duration),
}

/// What stands in the API as far as is known.
struct Filed {
    state: State,
    episode: i64,
    count: u64,
    at: Timestamp,
}

/// What is written, and what waits for it.
pub(crate) struct Filing {
    api: Api<Problem>,
    machine: String,
    lease: Duration,
    spool: Spool,
    /// Every case as it stands, for a start while the API is away.
    book: StateFile,
    filed: BTreeMap<Key, Filed>,
    failures: u32,
    again_at: Option<Timestamp>,
}

impl Filing {
    pub(crate) fn new(client: Client, machine: &str, lease: Duration, state_dir: Option<&Path>) -> Self {
        Self {
            api: Api::all(client),
            machine: machine.to_owned(),
            lease,
            spool: Spool::open(state_dir),
            book: StateFile::new(state_dir, "cases.json"),
            filed: BTreeMap::new(),
            failures: 0,
            again_at: None,
        }
    }

    /// What was filed in an earlier life, and what was found since and could not be filed.
    pub(crate) async fn load(&self, cases: &mut Cases) -> Result<(), kube::Error> {
        let own = ListParams::default().labels(&format!("{MACHINE_LABEL}={}", self.machine));
        let read = async {
            let found = self.api.list(&own).await?;
            for problem in found.items {
                let key = Key { class: problem.spec.class, component: problem.spec.component };
                if let Some(status) = problem.status.filter(|_| problem.spec.machine == self.machine) {
                    cases.restore(key, status);
                }
            }
            Ok(())
        };
        if let Err(error) = read.await {
            let Some(book) = self.book.read::<Vec<Change>>() else { return Err(error) };
            tracing::warn!(
                error = explain(&error),
                "the Problems filed before cannot be read; the doctor's own book counts"
            );
            for change in book {
                cases.restore(change.key(), change.status);
            }
        }
        for change in self.spool.changes() {
            cases.restore(change.key(), change.status.clone());
        }
        Ok(())
    }

    /// These cases changed their state.
    pub(crate) fn note(&mut self, changed: Vec<Key>, cases: &Cases) {
        if changed.is_empty() {
            return;
        }
        for key in changed {
            if let Some(status) = cases.get(&key).and_then(|diagnosis| diagnosis.status()) {
                let Key { class, component } = key;
                self.spool.push(Change { class, component, status: status.clone(), is_old: false });
            }
        }
        let change = |(key, status): (&Key, &ProblemStatus)| {
            let Key { class, component } = key.clone();
            Change { class, component, status: status.clone(), is_old: false }
        };
        let all = cases.all().filter_map(|(key, diagnosis)| Some(change((key, diagnosis.status()?))));
        self.book.write(&all.collect::<Vec<_>>());
    }

    /// Brings the filed problems to what the cases say, as far as the API lets it.
    pub(crate) async fn file(&mut self, cases: &Cases, now: Timestamp) {
        if self.again_at.is_some_and(|at| now < at) {
            return;
        }
        match self.try_file(cases, now).await {
            Ok(()) => {
                if 0 < self.failures {
                    tracing::info!("the API answers again; everything found meanwhile is filed");
                }
                (self.failures, self.again_at) = (0, None);
            }
            Err(FilingError::Request(error)) if is_conflict(&error) => {
                tracing::debug!("a problem changed meanwhile; the next round files it");
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.again_at = now.checked_add(BACKOFF.wait(self.failures)).ok();
                let reason = match &error {
                    FilingError::Request(error) => explain(error),
                    FilingError::TooLate(_) => error.to_string(),
                };
                if self.failures == 1 {
                    tracing::warn!(error = reason, "a problem could not be filed yet; it waits");
                } else {
                    tracing::debug!(error = reason, waiting = self.spool.len(), "problems wait to be filed");
                }
            }
        }
    }

    async fn try_file(&mut self, cases: &Cases, now: Timestamp) -> Result<(), FilingError> {
        while let Some(change) = self.spool.front().cloned() {
            self.write(&change.key(), &change.status, change.is_old, now).await?;
            self.spool.pop();
        }
        for (key, diagnosis) in cases.all() {
            let Some(wanted) = diagnosis.status() else { continue };
            let unseen = diagnosis.unseen_since().is_some_and(|since| self.lease <= elapsed(since, now));
            if self.is_due(key, wanted, unseen, now) {
                self.write(key, wanted, false, now).await?;
            }
        }
        Ok(())
    }

    /// A standing one before its lease ends, unless nobody sees it any more; more of the same now and then.
    fn is_due(&self, key: &Key, wanted: &ProblemStatus, unseen: bool, now: Timestamp) -> bool {
        let standing = matches!(wanted.state, State::Open | State::Suspect);
        let Some(filed) = self.filed.get(key) else { return standing };
        let rested = elapsed(filed.at, now);
        let more = filed.count != wanted.count && COALESCE <= rested;
        more || (filed.state, filed.episode) != (wanted.state, wanted.episode)
            || (standing && !unseen && self.lease / 3 <= rested)
    }

    async fn write(
        &mut self,
        key: &Key,
        wanted: &ProblemStatus,
        is_old: bool,
        now: Timestamp,
    ) -> Result<(), FilingError> {
        let written = tokio::time::timeout(REQUEST_MAX, self.bring(key, wanted, is_old, now)).await;
        match written.map_err(|_| FilingError::TooLate(REQUEST_MAX))? {
            Err(error) if is_refused(&error) => {
                let (class, component) = (&key.class, &key.component);
                tracing::error!(
                    class,
                    component,
                    error = explain(&error),
                    "the API refuses a problem; it is not filed"
                );
            }
            written => written?,
        }
        let (state, episode, count) = (wanted.state, wanted.episode, wanted.count);
        self.filed.insert(key.clone(), Filed { state, episode, count, at: now });
        Ok(())
    }

    async fn bring(
        &self,
        key: &Key,
        wanted: &ProblemStatus,
        is_old: bool,
        now: Timestamp,
    ) -> Result<(), kube::Error> {
        let name = problem::name(&self.machine, &key.class, &key.component);
        let there = match self.api.get_opt(&name).await? {
            Some(there) => there,
            None => self.api.create(&PostParams::default(), &self.fresh(&name, key)).await?,
        };
        let before = there.status.clone().unwrap_or_default();
        if is_old && is_older(wanted, &before) {
            return Ok(());
        }
        let status = ProblemStatus {
            lease_until: now.checked_add(self.lease).ok(),
            conditions: before.conditions,
            parent: before.parent,
            ..wanted.clone()
        };
        if before.state != status.state || there.status.is_none() {
            tracing::info!(problem = name, state = status.state.as_str(), "a problem changed its state");
        }
        let written = Problem { status: Some(status), ..there };
        self.api.replace_status(&name, &PostParams::default(), &written).await?;
        Ok(())
    }

    fn fresh(&self, name: &str, key: &Key) -> Problem {
        let spec = ProblemSpec {
            machine: self.machine.clone(),
            component: key.component.clone(),
            class: key.class.clone(),
        };
        let mut problem = Problem::new(name, spec);
        problem.labels_mut().insert(MACHINE_LABEL.to_owned(), self.machine.clone());
        problem
    }
}

/// Whether it will never be taken: it is not as the schema wants it.
fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 422))
}

/// Whether the API knows of something later: the change was filed before the doctor died.
fn is_older(wanted: &ProblemStatus, there: &ProblemStatus) -> bool {
    let last = |status: &ProblemStatus| status.last_seen.max(status.cleared_at);
    there.episode > wanted.episode || last(there) > last(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(episode: i64, seen: i64, cleared: Option<i64>) -> ProblemStatus {
        let at = |second| Timestamp::from_second(second).unwrap();
        ProblemStatus {
            episode,
            last_seen: Some(at(seen)),
            cleared_at: cleared.map(at),
            ..ProblemStatus::default()
        }
    }

    #[test]
    fn what_was_filed_before_the_doctor_died_is_not_filed_over_later_news() {
        let cleared = status(1, 10, Some(20));
        assert!(is_older(&status(1, 10, None), &cleared));
        assert!(!is_older(&cleared, &cleared), "the same again changes nothing");
        assert!(!is_older(&status(1, 25, None), &cleared), "suspect again");
        assert!(is_older(&status(1, 25, None), &status(2, 26, None)));
        assert!(!is_older(&status(2, 26, None), &cleared));
    }
}
