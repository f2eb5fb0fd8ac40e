//! Writes what a diagnosis says into its Problem. Nothing is written twice, nothing is lost while the API is away: the
//! next round writes what stands then.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use muster_api::problem::{self, ProblemSpec, ProblemStatus, State};
use muster_api::{MACHINE_LABEL, Problem};
use muster_base::clock::elapsed;

use crate::diagnosis::{Diagnosis, Rule};

/// Evidence of a state that stands is written this often at most.
const COALESCE: Duration = Duration::from_secs(5);

/// The problem of one rule on one machine.
pub(crate) struct Report {
    api: Api<Problem>,
    name: String,
    spec: ProblemSpec,
    lease: Duration,
    filed: Option<Problem>,
    filed_at: Option<Timestamp>,
}

impl Report {
    pub(crate) fn new(api: Api<Problem>, machine: &str, rule: &Rule, lease: Duration) -> Self {
        let spec = ProblemSpec {
            machine: machine.to_owned(),
            component: rule.component.to_owned(),
            class: rule.class.to_owned(),
        };
        let name = problem::name(machine, rule.class, rule.component);
        Self { api, name, spec, lease, filed: None, filed_at: None }
    }

    /// What was filed in an earlier life.
    pub(crate) async fn load(&mut self) -> Result<Option<ProblemStatus>, kube::Error> {
        self.filed = self.api.get_opt(&self.name).await?;
        Ok(self.filed.as_ref().and_then(|problem| problem.status.clone()))
    }

    /// Brings the filed problem to what `diagnosis` says.
    pub(crate) async fn file(&mut self, diagnosis: &Diagnosis, now: Timestamp) -> Result<(), kube::Error> {
        let Some(wanted) = diagnosis.status() else { return Ok(()) };
        if !self.is_due(wanted, now) {
            return Ok(());
        }
        let there = match self.api.get_opt(&self.name).await? {
            Some(there) => there,
            None => self.api.create(&PostParams::default(), &self.fresh()).await?,
        };
        let before = there.status.clone().unwrap_or_default();
        let status = ProblemStatus {
            lease_until: now.checked_add(self.lease).ok(),
            conditions: before.conditions,
            parent: before.parent,
            ..wanted.clone()
        };
        if before.state != status.state || there.status.is_none() {
            tracing::info!(problem = self.name, state = status.state.as_str(), "a problem changed its state");
        }
        let written = Problem { status: Some(status), ..there };
        self.filed = Some(self.api.replace_status(&self.name, &PostParams::default(), &written).await?);
        self.filed_at = Some(now);
        Ok(())
    }

    fn fresh(&self) -> Problem {
        let mut problem = Problem::new(&self.name, self.spec.clone());
        problem.labels_mut().insert(MACHINE_LABEL.to_owned(), self.spec.machine.clone());
        problem
    }

    /// A change of state at once, more of the same now and then, a standing one before its lease ends.
    fn is_due(&self, wanted: &ProblemStatus, now: Timestamp) -> bool {
        let Some(filed) = self.filed.as_ref().and_then(|problem| problem.status.as_ref()) else {
            return true;
        };
        if (filed.state, filed.episode) != (wanted.state, wanted.episode) {
            return true;
        }
        let rested = self.filed_at.map_or(Duration::MAX, |at| elapsed(at, now));
        let more = filed.count != wanted.count && COALESCE <= rested;
        let standing = matches!(wanted.state, State::Open | State::Suspect) && self.lease / 3 <= rested;
        more || standing
    }
}
