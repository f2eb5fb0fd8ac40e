//! The disruption ledger under a fault of the whole site.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use muster_api::budget::{DisruptionBudgetSpec, Scope};
use muster_api::disruption::{DisruptionPhase, DisruptionSpec, Purpose};
use muster_api::machine::MachineSpec;
use muster_api::{Disruption, DisruptionBudget, Machine};
use muster_base::task::Tasks;
use muster_control::{Informers, Metrics};
use muster_sim::{Phase, Rates, World};
use serde_json::json;

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

const ASKED: usize = 24;

/// Two requests for each of twelve machines in two sites, nobody's role, so that nothing else happens to them.
async fn ask(world: &World) {
    let (machines, asked): (Api<Machine>, Api<Disruption>) =
        (Api::all(world.admin()), Api::all(world.admin()));
    for number in 0..ASKED {
        let (name, request) = (format!("m{}", number / 2), format!("ask-{number}"));
        if number % 2 == 0 {
            let site = if number % 4 == 0 { "site-a" } else { "site-b" };
            let spec = MachineSpec { site: site.into(), ..MachineSpec::default() };
            machines.create(&PostParams::default(), &Machine::new(&name, spec)).await.expect("a machine");
        }
        let spec = DisruptionSpec {
            machine: name,
            purpose: Purpose::Person,
            act: None,
            intends: None,
            phase: None,
            run: String::new(),
            until: "2027-01-01T00:00:00Z".parse().expect("a time"),
            released: false,
        };
        asked.create(&PostParams::default(), &Disruption::new(&request, spec)).await.expect("a request");
    }
}

fn phase(asked: &Disruption) -> DisruptionPhase {
    asked.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn two_ledgers_at_once_never_grant_more_than_one_would() {
    for seed in 60..66 {
        let world = World::build(seed).await;
        let scope = Scope { site: Some("site-a".into()), ..Scope::default() };
        let spec = DisruptionBudgetSpec { scope, max: Some(2), ..Default::default() };
        let budgets: Api<DisruptionBudget> = Api::all(world.admin());
        budgets.create(&PostParams::default(), &DisruptionBudget::new("two", spec)).await.unwrap();
        world.fleet_faults().set_rates(Rates::BAD_DAY);
        let tasks = Tasks::new();
        let informers = Informers::new(world.admin(), tasks.clone());
        let config = muster_machines::Config::default();
        muster_machines::start(&informers, &world.clock(), &tasks, &Metrics::default(), config);
        ask(&world).await;
        let asked: Api<Disruption> = Api::all(world.admin());
        for _ in 0..4000 {
            tokio::time::sleep(seconds(1)).await;
            let all = world.list::<Disruption>();
            if all.iter().all(|asked| phase(asked) == DisruptionPhase::Released) {
                break;
            }
            for held in all.iter().filter(|asked| phase(asked) == DisruptionPhase::Granted) {
                let back = Patch::Merge(json!({"spec": {"released": true}}));
                let name = held.metadata.name.as_deref().unwrap();
                asked.patch(name, &PatchParams::default(), &back).await.unwrap();
            }
        }
        tasks.abort();
        let mut granted: BTreeMap<String, String> = BTreeMap::new();
        let mut ended = 0;
        for seen in world.history::<Disruption>() {
            let (name, machine) =
                (seen.object.metadata.name.clone().unwrap(), seen.object.spec.machine.clone());
            match phase(&seen.object) {
                DisruptionPhase::Granted => {
                    granted.insert(name, machine);
                }
                DisruptionPhase::Released => ended += usize::from(granted.remove(&name).is_some()),
                DisruptionPhase::Waiting | DisruptionPhase::Denied => {}
            }
            let number = |machine: &String| machine[1..].parse::<usize>().unwrap();
            let in_a = granted.values().filter(|machine| number(machine) % 2 == 0).count();
            assert!(in_a <= 2, "seed {seed}, revision {}: {granted:?}", seen.revision);
            let in_b = granted.len() - in_a;
            assert!(in_b <= 1, "seed {seed}, revision {}: {granted:?}", seen.revision);
        }
        assert_eq!(ended, ASKED, "seed {seed}: each was granted and given back once");
    }
}
