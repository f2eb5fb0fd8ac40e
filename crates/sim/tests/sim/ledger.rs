//! The disruption ledger under a fault of the whole site.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::PostParams;
use muster_api::budget::{DisruptionBudgetSpec, Scope};
use muster_api::{DisruptionBudget, Machine};
use muster_sim::{Phase, World};

use crate::support::{names, repaired, seconds};

#[tokio::test(start_paused = true)]
async fn of_forty_machines_hung_at_once_never_more_than_the_budget_is_down_and_all_are_healed() {
    let world = World::build(30).await;
    let scope = Scope { site: Some("site-a".into()), ..Scope::default() };
    let budget =
        DisruptionBudget::new("two", DisruptionBudgetSpec { scope, max: Some(2), ..Default::default() });
    Api::<DisruptionBudget>::all(world.admin()).create(&PostParams::default(), &budget).await.unwrap();
    let names = names(40);
    for name in &names {
        world.add_machine(name, "site-a").await;
    }
    for name in &names {
        world.wait_phase(name, Phase::Healthy).await;
    }
    let begin = world.server().store().revision().get();
    for name in &names {
        world.machine(name).hang_runtime();
    }
    for name in &names {
        repaired(&world, name, 1, seconds(3600)).await;
    }
    let mut down: BTreeMap<String, Phase> = BTreeMap::new();
    let mut most = 0;
    for seen in world.history::<Machine>() {
        let name = seen.object.metadata.name.unwrap();
        match seen.object.status.map(|status| status.phase) {
            Some(phase) if phase != Phase::Healthy => down.insert(name, phase),
            _ => down.remove(&name),
        };
        if seen.revision > begin {
            most = most.max(down.len());
            assert!(down.len() <= 2, "at revision {} down: {down:?}", seen.revision);
        }
    }
    assert_eq!(most, 2, "the budget was used");
    assert!(down.is_empty(), "{down:?}");
}
