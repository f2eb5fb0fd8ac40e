//! The last look before something is taken from service: what was planned upon is read anew from the API, for a watch may
//! be behind.

use std::time::Duration;

use kube::ResourceExt as _;
use muster_api::workflow::Run;
use muster_brake::{ASKED_WITHIN, holds};

use super::Runner;
use super::observe::From;
use super::plan::{self, Plan, World};

/// When a plan that did not stand is made again, watch events apart.
pub(super) const AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Runner {
    /// Whether the same plan is made from what the API says at this moment. An answer that takes too long is none.
    pub(super) async fn still_stands(
        &self,
        run: &Run,
        world: &World,
        plan: &Plan,
    ) -> Result<bool, kube::Error> {
        let Ok(seen) = tokio::time::timeout(ASKED_WITHIN, self.look_again(run, world)).await else {
            return Ok(false);
        };
        let Some((run, world)) = seen? else { return Ok(false) };
        let again = plan::plan(&run, &world);
        Ok((&again.status, &again.effects) == (&plan.status, &plan.effects))
    }

    /// What is read is seen by everybody: were the watch broken, the next plan would be made from the same old things.
    async fn look_again(&self, run: &Run, world: &World) -> Result<Option<(Run, World)>, kube::Error> {
        let (name, grant) = (run.name_any(), plan::grant_name(run));
        let (paused, fresh, machine, grant, destruction, problem) = tokio::join!(
            self.pauses.missed(Duration::ZERO),
            self.one(&self.runs, &name, From::Api),
            self.one(&self.machines, &run.spec.machine, From::Api),
            async {
                // A part of a run works under the grant of the whole.
                match &world.disruption {
                    Some(known) => self.one(&self.disruptions, &known.name_any(), From::Api).await,
                    None => self.one(&self.disruptions, &grant, From::Api).await,
                }
            },
            self.destruction(run, From::Api),
            self.one(&self.problems, &run.spec.problem, From::Api),
        );
        paused?;
        let Some(fresh) = fresh? else { return Ok(None) };
        let mut world =
            World { machine: machine?, disruption: grant?, destruction: destruction?, ..world.clone() };
        world.problems.retain(|known| known.name_any() != run.spec.problem);
        world.problems.extend(problem?);
        let pauses = self.pauses.list();
        world.holds = holds(world.machine.as_deref(), pauses.iter().map(|pause| &**pause), world.now);
        Ok(Some(((*fresh).clone(), world)))
    }
}
