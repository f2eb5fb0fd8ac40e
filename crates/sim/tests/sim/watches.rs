//! The watch alone suffices; the sweep alone suffices.

use muster_sim::{Phase, Watches, World};

use crate::support::{REPAIR, healthy, names, repaired, repairs_of, seconds, steps};

const CONTROLLERS: [&str; 6] = ["machines", "problems", "ledger", "starter", "runs", "workflows"];

#[tokio::test(start_paused = true)]
async fn without_any_watch_the_sweep_alone_takes_in_and_repairs_at_its_usual_pace() {
    let world = World::build(20).await;
    tokio::time::sleep(seconds(1)).await;
    world.fleet_faults().set_watches(Watches::Denied);
    world.add_machine("m0", "site-a").await;
    world
        .wait("m0 to be Healthy", seconds(4 * 3600), |world| match world.phase("m0") {
            Some(Phase::Healthy) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    world.machine("m0").hang_runtime();
    repaired(&world, "m0", 1, seconds(4 * 3600)).await;
    let began = |run: &muster_api::workflow::Run| run.status.as_ref().map(|status| status.phase);
    for run in world.list::<muster_api::workflow::Run>() {
        assert_eq!(began(&run), Some(muster_api::workflow::RunPhase::Succeeded), "{:?}", run.status);
    }
    assert_eq!(steps(&repairs_of(&world, "m0")[0]), REPAIR);
    let missed: u64 =
        CONTROLLERS.iter().map(|controller| world.controllers().metrics().missed_total(controller)).sum();
    assert!(missed > 0, "what the sweep found is counted");
}

#[tokio::test(start_paused = true)]
async fn with_its_watches_the_sweep_finds_nothing_in_hours_of_work() {
    let world = World::build(21).await;
    for name in names(3) {
        world.add_machine(&name, "site-a").await;
    }
    for repair in 1..=6 {
        healthy(&world, &["m0", "m1", "m2"]).await;
        world.machine("m1").hang_runtime();
        repaired(&world, "m1", repair, seconds(600)).await;
        tokio::time::sleep(seconds(25 * 60)).await;
    }
    for controller in CONTROLLERS {
        assert_eq!(world.controllers().metrics().missed_total(controller), 0, "{controller}");
    }
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_are_taken_up_again_and_miss_nothing() {
    let world = World::build(22).await;
    world.add_machine("m0", "site-a").await;
    for cut in 0..40 {
        tokio::time::sleep(seconds(1)).await;
        if cut == 25 {
            healthy(&world, &["m0"]).await;
            world.machine("m0").hang_runtime();
        }
        world.fleet_faults().cut_watches();
    }
    repaired(&world, "m0", 1, seconds(300)).await;
    assert_eq!(steps(&repairs_of(&world, "m0")[0]), REPAIR);
}
