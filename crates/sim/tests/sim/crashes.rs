//! The controllers die at every point of a repair.

use muster_api::workflow::{Run, RunPhase};
use muster_sim::World;

use crate::support::{REPAIR, clean_repair, effects_of, healthy, repaired, seconds, steps};

#[tokio::test(start_paused = true)]
async fn controllers_that_die_after_any_write_of_a_repair_finish_it_with_each_effect_once() {
    let world = World::build(10).await;
    let mut writes = 0;
    // One machine for each: the same one again and again would come and go.
    for number in 1_u64.. {
        let machine = format!("m{number}");
        world.add_machine(&machine, &format!("site-{number}")).await;
        healthy(&world, &[&machine]).await;
        let deaths = world.controllers().deaths();
        world.fleet_faults().crash_after(Some(number));
        world.machine(&machine).hang_runtime();
        repaired(&world, &machine, 1, seconds(300)).await;
        let name = format!("repair-{machine}.runtime.hung.containerd-1");
        let run: Run = world.get("", &name).unwrap();
        assert_eq!(run.status.as_ref().unwrap().phase, RunPhase::Succeeded, "dead after write {number}");
        assert_eq!(steps(&run), REPAIR, "dead after write {number}");
        assert_eq!(effects_of(&world, &name), clean_repair(), "dead after write {number}");
        if world.controllers().deaths() == deaths {
            writes = number - 1;
            break;
        }
    }
    world.fleet_faults().crash_after(None);
    assert!((20..80).contains(&writes), "a repair took {writes} writes");
}

#[tokio::test(start_paused = true)]
async fn controllers_that_die_after_any_write_of_an_installation_finish_it_with_each_effect_once() {
    let world = World::build(11).await;
    for number in 1..60 {
        let name = format!("m{number}");
        let deaths = world.controllers().deaths();
        world.fleet_faults().crash_after(Some(number));
        world.add_machine(&name, &format!("site-{number}")).await;
        healthy(&world, &[&name]).await;
        let effects: Vec<_> =
            world.machine(&name).effects().into_iter().map(|effect| (effect.step, effect.attempt)).collect();
        let expected = ["check-kernel", "kernel-settings", "start-runtime", "register-node", "probation"];
        assert_eq!(effects, expected.map(|step| (step.to_owned(), 1)), "dead after write {number}");
        if world.controllers().deaths() == deaths {
            assert!(number > 15, "an installation took {number} writes");
            return;
        }
    }
    panic!("an installation takes more writes than were tried");
}
