//! A fault that is made up every so often: answered, cleared and gone; told when nobody answers.

use std::time::Duration;

use muster_api::machine::Phase;
use muster_api::problem::State;
use muster_api::{Problem, Run};
use muster_doctor::global::plan::canary::Limits;
use muster_sim::{Options, World};

use super::{Paper, file, state, states, wait_state};
use crate::support::{healthy, seconds};

const HOUR: u64 = 3600;

fn options(seed: u64) -> Options {
    Options { canary: Some(Limits::default()), ..Options::new(seed) }
}

fn runs(world: &World) -> Vec<Run> {
    world.list()
}

#[tokio::test(start_paused = true)]
async fn a_made_up_fault_is_answered_once_an_hour_and_leaves_nothing_behind() {
    let world = World::with(options(41)).await;
    for name in ["m0", "m1"] {
        world.add_machine(name, "here").await;
    }
    healthy(&world, &["m0", "m1"]).await;
    let provisions = runs(&world).len();
    tokio::time::sleep(seconds(3 * HOUR)).await;
    let problem: Problem = world.get("", "m0.canary.here").expect("one was made up");
    let status = problem.status.clone().unwrap_or_default();
    assert_eq!(status.state, State::Clear);
    assert!((2..=3).contains(&status.episode), "{status:?}");
    let took = status.cleared_at.unwrap().duration_since(status.opened_at.unwrap());
    assert!(took.as_secs() < 5, "{took}");
    assert_eq!(runs(&world).len(), provisions, "the runs that answered are gone");
    assert_eq!(world.list::<Problem>().len(), 1);
    for machine in ["m0", "m1"] {
        assert_eq!(world.phase(machine), Some(Phase::Healthy));
        assert_eq!(crate::support::phases(&world, machine).len(), 5, "it was never out of service");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_answered_is_told_and_stays_open_until_the_next() {
    // Machines of paper answer no order.
    let paper = Paper::with(options(42), &[("a", 1, 2)]).await;
    let problem = "a-r0-m0.canary.a";
    wait_state(&paper.world, problem, State::Open, HOUR).await;
    tokio::time::sleep(seconds(310)).await;
    let told = paper.world.get::<Problem>("", problem).and_then(|problem| problem.status).unwrap_or_default();
    assert_eq!((told.state, told.count), (State::Open, 2));
    assert!(
        told.evidence[0].text.starts_with("not answered within 300 s: run a-r0-m0.canary.a-1 is "),
        "{told:?}"
    );
    paper.world.crash_controllers();
    tokio::time::sleep(seconds(HOUR - 320)).await;
    let told = paper.world.get::<Problem>("", problem).and_then(|problem| problem.status).unwrap_or_default();
    assert_eq!((told.state, told.episode, told.count), (State::Open, 2, 1), "{told:?}");
    assert_eq!(states(&paper.world, problem), [State::Open, State::Clear, State::Open]);
    let late: Vec<_> =
        paper.world.history::<Problem>().into_iter().filter_map(|seen| seen.object.status).collect();
    let most = late.iter().filter(|status| status.episode == 1).map(|status| status.count).max();
    assert_eq!(most, Some(2), "it is told once, by whoever leads");
}

#[tokio::test(start_paused = true)]
async fn a_real_fault_comes_first_and_the_machine_that_has_one_is_left_alone() {
    let world = World::with(options(43)).await;
    world.add_machine("m0", "here").await;
    healthy(&world, &["m0"]).await;
    file(&world, "m0", "drift", "", State::Open).await;
    tokio::time::sleep(Duration::from_secs(2 * HOUR)).await;
    assert_eq!(state(&world, "m0.canary.here"), None, "its site has no other machine");
}
