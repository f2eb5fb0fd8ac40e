//! The last look before something is taken from service: what was planned upon is read anew from the API, for a watch may
//! be behind.

use std::sync::Arc;
use std::time::Duration;

use kube::{Api, ResourceExt as _};
use muster_api::workflow::Run;
use muster_api::{Disruption, Machine, Problem};
use muster_brake::{ASKED_WITHIN, holds};

use super::Runner;
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

    async fn look_again(&self, run: &Run, world: &World) -> Result<Option<(Run, World)>, kube::Error> {
        let client = || self.context.client.clone();
        let (runs, machines) = (Api::<Run>::all(client()), Api::<Machine>::all(client()));
        let (grants, problems) = (Api::<Disruption>::all(client()), Api::<Problem>::all(client()));
        let name = run.name_any();
        let problem = async {
            if run.spec.problem.is_empty() { Ok(None) } else { problems.get_opt(&run.spec.problem).await }
        };
        let (paused, fresh, machine, grant, problem) = tokio::join!(
            self.pauses.missed(Duration::ZERO),
            runs.get_opt(&name),
            machines.get_opt(&run.spec.machine),
            grants.get_opt(&name),
            problem,
        );
        paused?;
        let Some(fresh) = fresh? else { return Ok(None) };
        let mut world =
            World { machine: machine?.map(Arc::new), disruption: grant?.map(Arc::new), ..world.clone() };
        world.problems.retain(|known| known.name_any() != run.spec.problem);
        world.problems.extend(problem?.map(Arc::new));
        let pauses = self.pauses.list();
        world.holds = holds(world.machine.as_deref(), pauses.iter().map(|pause| &**pause), world.now);
        Ok(Some((fresh, world)))
    }
}
