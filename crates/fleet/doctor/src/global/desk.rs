//! Writes Problems, each from what stands in the API at that moment.

use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use muster_api::problem::{self, ProblemSpec, ProblemStatus};
use muster_api::{MACHINE_LABEL, Problem};
use muster_control::{Informer, Informers, ObjectKey, is_not_found};
use serde_json::json;

/// Writes under the identity of the global doctor. Cheap to clone.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) problems: Informer<Problem>,
    pub(super) lease: Duration,
    api: Api<Problem>,
}

/// The key of the problem of a class of one machine.
pub(super) fn spec(machine: &str, class: &str) -> ProblemSpec {
    ProblemSpec { machine: machine.to_owned(), class: class.to_owned(), component: String::new() }
}

impl Desk {
    pub(super) fn new(informers: &Informers, lease: Duration) -> Self {
        Self { problems: informers.of(), lease, api: Api::all(informers.client()) }
    }

    /// As last seen.
    pub(super) fn filed(&self, spec: &ProblemSpec) -> Option<Arc<Problem>> {
        let name = problem::name(&spec.machine, &spec.class, &spec.component);
        self.problems.get(&ObjectKey::cluster(name))
    }

    /// Brings a problem to what `wanted` makes of what stands there; `None` leaves it. What others write stays: the
    /// parent is set by [`Desk::hold`] alone. True if it was written.
    pub(super) async fn file(
        &self,
        spec: &ProblemSpec,
        wanted: impl FnOnce(Option<&ProblemStatus>) -> Option<ProblemStatus> + Send,
    ) -> Result<bool, kube::Error> {
        let name = problem::name(&spec.machine, &spec.class, &spec.component);
        let there = self.api.get_opt(&name).await?;
        let before = there.as_ref().and_then(|there| there.status.clone());
        let Some(status) = wanted(before.as_ref()) else { return Ok(false) };
        let there = match there {
            Some(there) => there,
            None => self.api.create(&PostParams::default(), &fresh(&name, spec)).await?,
        };
        let before = there.status.clone().unwrap_or_default();
        if before.state != status.state || there.status.is_none() {
            tracing::info!(problem = name, state = status.state.as_str(), "a problem changed its state");
        }
        let status = ProblemStatus { conditions: before.conditions, parent: before.parent, ..status };
        let written = Problem { status: Some(status), ..there };
        let stands = self.api.replace_status(&name, &PostParams::default(), &written).await?;
        self.problems.saw(stands);
        Ok(true)
    }

    /// Sets or removes what holds a problem, and touches nothing else of it.
    pub(super) async fn hold(&self, name: &str, parent: &str) -> Result<(), kube::Error> {
        let parent = if parent.is_empty() { None } else { Some(parent) };
        let patch = Patch::Merge(json!({ "status": { "parent": parent } }));
        match self.api.patch_status(name, &PatchParams::default(), &patch).await {
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(stands) => {
                self.problems.saw(stands);
                Ok(())
            }
        }
    }
}

fn fresh(name: &str, spec: &ProblemSpec) -> Problem {
    let mut problem = Problem::new(name, spec.clone());
    if !spec.machine.is_empty() {
        problem.labels_mut().insert(MACHINE_LABEL.to_owned(), spec.machine.clone());
    }
    problem
}
