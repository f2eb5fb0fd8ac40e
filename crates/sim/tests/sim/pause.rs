//! The big red button and `handsOff`, pressed on a living fleet.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use muster_api::order::Verb;
use muster_api::pause::{self, PauseSpec};
use muster_api::{Disruption, Machine, Pause};
use muster_sim::{Phase, Watches, World};
use serde_json::json;

use crate::support::{healthy, names, repaired, repairs_of, seconds};

async fn press(world: &World, site: Option<&str>) {
    let spec = PauseSpec {
        site: site.map(str::to_owned),
        everywhere: site.is_none(),
        by: "ops".into(),
        reason: "smoke in the hall".into(),
    };
    let button = Pause::new(&pause::name(site), spec);
    Api::<Pause>::all(world.admin()).create(&PostParams::default(), &button).await.expect("a pause");
}

async fn resume(world: &World, site: Option<&str>) {
    let pauses: Api<Pause> = Api::all(world.admin());
    pauses.delete(&pause::name(site), &DeleteParams::default()).await.expect("a pause");
}

/// Restarts ordered by repairs, by machine.
fn restarts(world: &World) -> BTreeMap<String, usize> {
    let mut restarts = BTreeMap::new();
    for effect in world.effects().into_iter().filter(|effect| effect.verb == Verb::RestartService) {
        *restarts.entry(effect.machine).or_insert(0) += 1;
    }
    restarts
}

/// What the fleet did until then, and how far its machines are.
fn still(world: &World) -> (usize, Vec<(String, Phase)>) {
    let machines = world.list::<Machine>().into_iter();
    let phases =
        machines.map(|m| (m.metadata.name.unwrap_or_default(), m.status.unwrap_or_default().phase)).collect();
    (restarts(world).values().sum(), phases)
}

#[tokio::test(start_paused = true)]
async fn while_paused_nothing_disruptive_begins_and_after_it_everything_goes_on() {
    let world = World::build(40).await;
    let names = names(4);
    for name in &names {
        world.add_machine(name, if name == "m3" { "site-b" } else { "site-a" }).await;
    }
    healthy(&world, &["m0", "m1", "m2", "m3"]).await;
    press(&world, Some("site-a")).await;
    for name in &names {
        world.machine(name).hang_runtime();
    }
    repaired(&world, "m3", 1, seconds(600)).await;
    tokio::time::sleep(seconds(2 * 3600)).await;
    assert_eq!(restarts(&world), BTreeMap::from([("m3".to_owned(), 1)]));
    for name in ["m0", "m1", "m2"] {
        let run = repairs_of(&world, name).remove(0);
        let message = run.status.unwrap().message;
        assert_eq!(message, "grant: no grant yet: paused in site site-a by ops: smoke in the hall");
    }
    resume(&world, Some("site-a")).await;
    for name in ["m0", "m1", "m2"] {
        repaired(&world, name, 1, seconds(3600)).await;
    }
    assert_eq!(restarts(&world), names.iter().map(|name| (name.clone(), 1)).collect());
}

/// Pressed at every moment of a repair, with watches and without: what began within a second of it is the last.
#[tokio::test(start_paused = true)]
async fn pressed_at_any_moment_of_a_repair_nothing_begins_more_than_a_second_later() {
    let world = World::build(41).await;
    world.add_machine("m0", "site-a").await;
    healthy(&world, &["m0"]).await;
    for episode in 1..=16_u64 {
        world.machine("m0").hang_runtime();
        tokio::time::sleep(seconds(4) + std::time::Duration::from_millis(episode * 650)).await;
        let cut = episode % 3 == 0;
        if cut {
            world.fleet_faults().set_watches(Watches::Denied);
        }
        press(&world, None).await;
        tokio::time::sleep(seconds(1)).await;
        let before = still(&world).0;
        let disrupted = |phases: &[(String, Phase)]| phases[0].1 == Phase::Disrupted;
        let down = disrupted(&still(&world).1);
        tokio::time::sleep(seconds(45)).await;
        assert_eq!(still(&world).0, before, "a restart began later in episode {episode}");
        assert!(down || !disrupted(&still(&world).1), "taken from service later in episode {episode}");
        world.fleet_faults().set_watches(Watches::Intact);
        resume(&world, None).await;
        repaired(&world, "m0", i64::try_from(episode).unwrap(), seconds(1800)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn hands_off_keeps_repairs_away_until_its_end() {
    let world = World::build(42).await;
    world.add_machine("m0", "site-a").await;
    healthy(&world, &["m0"]).await;
    let until = world.now() + jiff::SignedDuration::from_secs(1800);
    let wish = json!({"spec": {"handsOff": {"until": until, "by": "ops", "reason": "forensics"}}});
    let machines: Api<Machine> = Api::all(world.admin());
    machines.patch("m0", &PatchParams::default(), &Patch::Merge(&wish)).await.unwrap();
    world.machine("m0").hang_runtime();
    tokio::time::sleep(seconds(1790)).await;
    assert_eq!((restarts(&world).len(), world.phase("m0")), (0, Some(Phase::Healthy)));
    let text = format!("hands off until {until} by ops: forensics");
    assert!(repairs_of(&world, "m0").remove(0).status.unwrap().message.ends_with(&text));
    repaired(&world, "m0", 1, seconds(600)).await;
    assert_eq!(world.list::<Disruption>().len(), 1);
}
