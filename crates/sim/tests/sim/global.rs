//! The global doctor: silence, words that run out, and what fails together. The machines of these stories are paper: an
//! object and a heartbeat each, so that there can be many.

mod canary;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use muster_api::inventory::InventorySpec;
use muster_api::machine::{HandsOff, MachineSpec, Maintenance};
use muster_api::problem::{ProblemSpec, ProblemStatus, State};
use muster_api::rack::RackSpec;
use muster_api::site::SiteSpec;
use muster_api::workflow::RunPhase;
use muster_api::{Inventory, Machine, Problem, Rack, RepairPolicy, Run, Site};
use muster_base::task::{Kind, Tasks};
use muster_sim::{Options, Rates, World};
use parking_lot::Mutex;
use serde_json::json;

use crate::support::{healthy, seconds};

/// Machines on paper. Their heartbeats stop with it.
struct Paper {
    world: World,
    names: Vec<String>,
    cut: Arc<Mutex<BTreeSet<String>>>,
    tasks: Tasks,
}

impl Drop for Paper {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

fn heartbeats(client: Client) -> Api<Lease> {
    Api::namespaced(client, "kube-node-lease")
}

async fn beat(client: &Client, machine: &str, now: Timestamp) {
    let renewed = Patch::Merge(json!({"spec": {"renewTime": MicroTime(now)}}));
    heartbeats(client.clone())
        .patch(machine, &PatchParams::default(), &renewed)
        .await
        .expect("the API answers");
}

impl Paper {
    /// Racks `SITE-rN` with so many machines each, in service and heard every ten seconds.
    async fn new(seed: u64, racks: &[(&str, usize, usize)]) -> Self {
        Self::with(Options::new(seed), racks).await
    }

    async fn with(options: Options, racks: &[(&str, usize, usize)]) -> Self {
        let world = World::with(options).await;
        let mut names = Vec::new();
        for (site, count, machines) in racks {
            let object = Site::new(site, SiteSpec::default());
            Api::<Site>::all(world.admin())
                .create(&PostParams::default(), &object)
                .await
                .expect("the API answers");
            for rack in 0..*count {
                let name = format!("{site}-r{rack}");
                let spec = RackSpec { site: (*site).to_owned(), ..RackSpec::default() };
                Api::<Rack>::all(world.admin())
                    .create(&PostParams::default(), &Rack::new(&name, spec))
                    .await
                    .expect("the API answers");
                for machine in 0..*machines {
                    names.push(serve(&world, site, &name, machine).await);
                }
            }
        }
        let paper = Self { world, names, cut: Arc::default(), tasks: Tasks::new() };
        paper.keep_beating();
        tokio::time::sleep(seconds(30)).await;
        paper
    }

    fn keep_beating(&self) {
        let (names, cut) = (self.names.clone(), Arc::clone(&self.cut));
        let (client, clock) = (self.world.admin(), self.world.clock());
        self.tasks.spawn(Kind::Service, "heartbeats", async move {
            loop {
                for name in names.iter().filter(|name| !cut.lock().contains(*name)) {
                    beat(&client, name, clock.now()).await;
                }
                tokio::time::sleep(seconds(10)).await;
            }
        });
    }

    fn of(&self, prefix: &str) -> Vec<String> {
        self.names.iter().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    fn silence(&self, machines: &[String]) {
        self.cut.lock().extend(machines.iter().cloned());
    }

    fn give_back(&self) {
        self.cut.lock().clear();
    }

    /// The state of each problem of many, with what it says of its suspect.
    fn parents(&self) -> BTreeMap<String, (State, u32, i64)> {
        let of_many = |problem: &Problem| problem.spec.machine.is_empty();
        let parents = self.world.list::<Problem>().into_iter().filter(of_many);
        parents
            .map(|problem| {
                let status = problem.status.clone().unwrap_or_default();
                let machines = status.suspect.map_or(0, |suspect| suspect.machines);
                (problem.name_any(), (status.state, machines, status.episode))
            })
            .collect()
    }

    /// Waits for that one problem of many, and for it to hold so many.
    async fn wait_parent(&self, name: &str, machines: u32, held: usize) {
        let what = format!("{name} of {machines} that holds {held}");
        self.world
            .wait(&what, seconds(400), |_| {
                let holds = self.held_by(name).len();
                let parents = self.parents();
                let only = BTreeMap::from([(name.to_owned(), (State::Open, machines, 1))]);
                if parents == only && holds == held {
                    Ok(())
                } else {
                    Err(format!("{parents:?}, holds {holds}"))
                }
            })
            .await;
    }

    async fn wait_cleared(&self, name: &str) {
        self.world
            .wait(&format!("{name} to clear and all to be let go"), seconds(600), |_| {
                let parents = self.parents();
                let held = self.held_by(name).len();
                let clear = parents.get(name).is_some_and(|(state, ..)| *state == State::Clear);
                if clear && held == 0 { Ok(()) } else { Err(format!("{parents:?}, holds {held}")) }
            })
            .await;
    }

    fn held_by(&self, parent: &str) -> Vec<String> {
        let held = |problem: &Problem| problem.status.as_ref().is_some_and(|status| status.parent == parent);
        self.world.list::<Problem>().into_iter().filter(held).map(|problem| problem.name_any()).collect()
    }
}

/// Writes a machine down that is in service.
async fn serve(world: &World, site: &str, rack: &str, number: usize) -> String {
    let name = format!("{rack}-m{number}");
    let spec = MachineSpec { site: site.to_owned(), rack: rack.to_owned(), ..MachineSpec::default() };
    let api: Api<Machine> = Api::all(world.admin());
    api.create(&PostParams::default(), &Machine::new(&name, spec)).await.expect("the API answers");
    let (now, reason) = (world.now(), "of paper");
    let life = json!([{"at": now, "to": "Registered", "reason": reason}, {"at": now, "to": "Healthy", "reason": reason}]);
    let status = json!({"status": {"phase": "Healthy", "node": name, "since": now, "transitions": life}});
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.expect("the API answers");
    let mut lease = Lease::default();
    lease.metadata.name = Some(name.clone());
    heartbeats(world.admin()).create(&PostParams::default(), &lease).await.expect("the API answers");
    name
}

fn state(world: &World, problem: &str) -> Option<State> {
    world.get::<Problem>("", problem)?.status.map(|status| status.state)
}

async fn wait_state(world: &World, problem: &str, wanted: State, max: u64) {
    world
        .wait(&format!("{problem} to be {}", wanted.as_str()), seconds(max), |world| {
            let found = state(world, problem);
            if found == Some(wanted) { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
}

/// Each state a problem was in, in order, without repetition.
fn states(world: &World, problem: &str) -> Vec<State> {
    let mut states: Vec<State> = Vec::new();
    for seen in world.history::<Problem>().into_iter().filter(|seen| seen.object.name_any() == problem) {
        let Some(status) = seen.object.status else { continue };
        if status.episode > 0 && states.last() != Some(&status.state) {
            states.push(status.state);
        }
    }
    states
}

/// What a local doctor would file.
async fn file(world: &World, machine: &str, class: &str, rule: &str, state: State) {
    let spec = ProblemSpec { machine: machine.into(), component: String::new(), class: class.into() };
    let name = muster_api::problem::name(machine, class, "");
    let api: Api<Problem> = Api::all(world.admin());
    if api.get_opt(&name).await.expect("the API answers").is_none() {
        api.create(&PostParams::default(), &Problem::new(&name, spec)).await.expect("the API answers");
    }
    let now = world.now();
    let lease = now + SignedDuration::from_hours(10);
    let mut status =
        json!({"state": state, "episode": 1, "count": 1, "lastSeen": now, "rule": rule, "leaseUntil": lease});
    match state {
        State::Open => status["openedAt"] = json!(now),
        State::Clear => status["clearedAt"] = json!(now),
        State::Suspect | State::Unknown => {}
    }
    let patch = Patch::Merge(json!({ "status": status }));
    api.patch_status(&name, &PatchParams::default(), &patch).await.expect("the API answers");
}

#[tokio::test(start_paused = true)]
async fn a_silent_machine_is_filed_in_time_and_clears_when_it_is_heard_again() {
    let paper = Paper::new(70, &[("a", 2, 4)]).await;
    let begin = paper.world.now();
    paper.silence(&["a-r0-m1".to_owned()]);
    wait_state(&paper.world, "a-r0-m1.machine.silent", State::Open, 60).await;
    let took = paper.world.now().duration_since(begin);
    assert!(SignedDuration::from_secs(30) <= took && took <= SignedDuration::from_secs(52), "after {took}");
    tokio::time::sleep(seconds(900)).await;
    let status: ProblemStatus =
        paper.world.get::<Problem>("", "a-r0-m1.machine.silent").unwrap().status.unwrap();
    assert_eq!((status.state, status.episode), (State::Open, 1));
    assert!(paper.world.now() < status.lease_until.unwrap(), "it is vouched for");
    paper.give_back();
    wait_state(&paper.world, "a-r0-m1.machine.silent", State::Clear, 60).await;
    assert_eq!(states(&paper.world, "a-r0-m1.machine.silent"), [State::Open, State::Clear]);
    assert_eq!(paper.world.list::<Problem>().len(), 1, "nothing else was filed");
}

/// Maintenance from now on.
async fn plan(paper: &Paper, machine: &str, minutes: i64) {
    let now = paper.world.now();
    let to = now + SignedDuration::from_mins(minutes);
    let window = Maintenance { from: now, to, reason: "firmware".into() };
    let patch = Patch::Merge(json!({"spec": {"maintenance": [window]}}));
    let api: Api<Machine> = Api::all(paper.world.admin());
    api.patch(machine, &PatchParams::default(), &patch).await.expect("the API answers");
}

#[tokio::test(start_paused = true)]
async fn a_day_of_peace_and_planned_reboots_has_no_problem_and_the_first_silence_unplanned_has_one() {
    let paper = Paper::new(79, &[("a", 1, 3)]).await;
    for hour in 0..24 {
        let began = paper.world.now();
        // One machine after the other, and once the whole rack.
        let rebooted = match hour {
            13 => paper.names.clone(),
            1 | 5 | 9 | 17 | 21 => vec![paper.names[hour / 4 % 3].clone()],
            _ => Vec::new(),
        };
        for machine in &rebooted {
            plan(&paper, machine, 20).await;
        }
        for _ in 0..3 {
            paper.silence(&rebooted);
            tokio::time::sleep(seconds(180)).await;
            paper.give_back();
            tokio::time::sleep(seconds(120)).await;
        }
        let passed = paper.world.now().duration_since(began).as_secs().unsigned_abs();
        tokio::time::sleep(seconds(3600 - passed)).await;
        assert_eq!(paper.world.list::<Problem>().len(), 0, "hour {hour}");
    }
    paper.silence(&paper.names[..1]);
    wait_state(&paper.world, "a-r0-m0.machine.silent", State::Open, 60).await;
    assert_eq!(paper.world.list::<Problem>().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn planned_maintenance_is_silent_in_peace_and_what_is_silent_after_it_is_filed() {
    let paper = Paper::new(71, &[("a", 1, 4)]).await;
    plan(&paper, "a-r0-m1", 20).await;
    paper.silence(&["a-r0-m1".to_owned()]);
    tokio::time::sleep(seconds(24 * 60)).await;
    assert_eq!(paper.world.list::<Problem>().len(), 0);
    wait_state(&paper.world, "a-r0-m1.machine.silent", State::Open, 130).await;
}

#[tokio::test(start_paused = true)]
async fn a12a_a_rack_of_which_thirty_of_forty_fall_silent_within_two_minutes_is_one_problem() {
    let paper = Paper::new(72, &[("a", 1, 40), ("b", 2, 4)]).await;
    let rack = paper.of("a-r0");
    for five in rack[..30].chunks(5) {
        paper.silence(five);
        tokio::time::sleep(seconds(18)).await;
    }
    paper.wait_parent("correlated.rack.a-r0", 30, 30).await;
    let parent: Problem = paper.world.get("", "correlated.rack.a-r0").unwrap();
    assert_eq!((parent.spec.machine.as_str(), parent.spec.component.as_str()), ("", "a-r0"));
    let suspect = parent.status.unwrap().suspect.unwrap();
    assert_eq!((suspect.name.as_str(), suspect.site.as_str(), suspect.of), ("a-r0", "a", 40));
    tokio::time::sleep(seconds(1800)).await;
    paper.wait_parent("correlated.rack.a-r0", 30, 30).await;
    paper.give_back();
    paper.wait_cleared("correlated.rack.a-r0").await;
    for machine in &rack[..30] {
        assert_eq!(states(&paper.world, &format!("{machine}.machine.silent")), [State::Open, State::Clear]);
    }
    assert_eq!(states(&paper.world, "correlated.rack.a-r0"), [State::Open, State::Clear]);
}

#[tokio::test(start_paused = true)]
async fn a12b_a_site_that_is_cut_off_is_one_problem_and_comes_back_as_one() {
    let paper = Paper::new(73, &[("a", 5, 4), ("b", 5, 4)]).await;
    paper.silence(&paper.of("a-"));
    paper.wait_parent("correlated.site.a", 20, 20).await;
    tokio::time::sleep(seconds(20 * 60)).await;
    paper.wait_parent("correlated.site.a", 20, 20).await;
    paper.give_back();
    paper.wait_cleared("correlated.site.a").await;
    assert_eq!(paper.parents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a12c_a_bad_rule_on_a_fifth_of_the_fleet_is_named_and_clears_flow() {
    let paper = Paper::new(74, &[("a", 5, 5), ("b", 5, 5)]).await;
    let marked: Vec<String> = paper.names.iter().step_by(5).cloned().collect();
    for machine in &marked {
        file(&paper.world, machine, "mem.ecc", "ecc-by-night", State::Open).await;
    }
    paper.wait_parent("correlated.rule.ecc-by-night", 10, 10).await;
    file(&paper.world, &marked[0], "mem.ecc", "ecc-by-night", State::Clear).await;
    tokio::time::sleep(seconds(300)).await;
    assert_eq!(state(&paper.world, &format!("{}.mem.ecc", marked[0])), Some(State::Clear));
    assert_eq!(paper.parents()["correlated.rule.ecc-by-night"].0, State::Open);
    for machine in &marked {
        file(&paper.world, machine, "mem.ecc", "ecc-by-night", State::Clear).await;
    }
    paper.wait_cleared("correlated.rule.ecc-by-night").await;
}

#[tokio::test(start_paused = true)]
async fn independent_faults_have_no_common_problem() {
    let paper = Paper::new(75, &[("a", 5, 4), ("b", 5, 4)]).await;
    for (number, class) in
        ["disk.media_error", "mem.ecc", "fs.full", "nic.flap", "clock.skew"].iter().enumerate()
    {
        file(&paper.world, &paper.names[7 * number], class, "", State::Open).await;
        tokio::time::sleep(seconds(7)).await;
    }
    paper.silence(&[paper.names[3].clone(), paper.names[17].clone()]);
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(paper.parents(), BTreeMap::new());
    assert_eq!(paper.world.list::<Problem>().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_vouches_for_is_unknown_and_comes_back_with_its_doctor() {
    let world = World::build(76).await;
    world.add_machine("m0", "site-a").await;
    healthy(&world, &["m0"]).await;
    let until = world.now() + SignedDuration::from_hours(5);
    let hands_off = HandsOff { until, by: "night shift".into(), reason: "being measured".into() };
    let patch = Patch::Merge(json!({"spec": {"handsOff": hands_off}}));
    Api::<Machine>::all(world.admin())
        .patch("m0", &PatchParams::default(), &patch)
        .await
        .expect("the API answers");
    world.machine("m0").hang_runtime();
    let hung = "m0.runtime.hung.containerd";
    wait_state(&world, hung, State::Open, 60).await;
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(state(&world, hung), Some(State::Open), "its doctor vouches for it");
    world.agent_faults().set_rates(Rates { lost_request: 1.0, ..Rates::default() });
    wait_state(&world, hung, State::Unknown, 240).await;
    wait_state(&world, "m0.machine.silent", State::Open, 60).await;
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(state(&world, hung), Some(State::Unknown), "never silently healthy or sick");
    world.agent_faults().set_rates(Rates::default());
    wait_state(&world, hung, State::Open, 120).await;
    wait_state(&world, "m0.machine.silent", State::Clear, 120).await;
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(states(&world, hung), [State::Open, State::Unknown, State::Open]);
    assert_eq!(world.get::<Problem>("", hung).unwrap().status.unwrap().episode, 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_neither_clears_nor_duplicates() {
    let paper = Paper::new(77, &[("a", 1, 8), ("b", 2, 8)]).await;
    let rack = paper.of("a-r0");
    paper.silence(&rack[..6]);
    paper.wait_parent("correlated.rack.a-r0", 6, 6).await;
    for _ in 0..3 {
        paper.world.crash_controllers();
        tokio::time::sleep(seconds(100)).await;
        paper.wait_parent("correlated.rack.a-r0", 6, 6).await;
    }
    paper.give_back();
    paper.wait_cleared("correlated.rack.a-r0").await;
    paper.world.crash_controllers();
    tokio::time::sleep(seconds(300)).await;
    assert_eq!(states(&paper.world, "correlated.rack.a-r0"), [State::Open, State::Clear]);
    for machine in &rack[..6] {
        assert_eq!(states(&paper.world, &format!("{machine}.machine.silent")), [State::Open, State::Clear]);
    }
}

/// What each machine was measured to do, told as their agents do every ten minutes, so often.
async fn tell_speeds(paper: &Paper, rounds: u32, of: impl Fn(usize) -> usize) {
    let api = Api::<Inventory>::all(paper.world.admin());
    for _ in 0..rounds {
        for (number, name) in paper.names.iter().enumerate() {
            if paper.world.list::<Inventory>().iter().all(|there| there.name_any() != *name) {
                let empty = Inventory::new(name, InventorySpec {});
                api.create(&PostParams::default(), &empty).await.expect("the API answers");
            }
            let speed = json!({"cpuStepsPerUs": of(number), "memoryMBps": 20_000 + number, "by": "0.1.0"});
            let now = paper.world.clock().now();
            let told = json!({"status": {"observedAt": now, "model": "R650", "speed": speed}});
            let told = Patch::Merge(told);
            api.patch_status(name, &PatchParams::default(), &told).await.expect("the API answers");
        }
        tokio::time::sleep(seconds(600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_peer_is_told_after_several_looks_and_clears_when_it_is_as_fast_as_its_like() {
    let paper = Paper::new(31, &[("a", 1, 10)]).await;
    let slow = |paper: &Paper| {
        let slow = paper.world.list::<Problem>().into_iter().filter(|problem| problem.spec.class == "slow");
        let row = |problem: Problem| {
            let status = problem.status.unwrap_or_default();
            let text = status.evidence.first().map(|evidence| evidence.text.clone()).unwrap_or_default();
            format!("{} {} {text}", problem.spec.machine, status.state.as_str())
        };
        slow.map(row).collect::<Vec<String>>()
    };
    let one_is_slow = |number: usize| if number == 3 { 600 } else { 1000 + number };
    tell_speeds(&paper, 2, one_is_slow).await;
    assert_eq!(slow(&paper), [""; 0], "two looks are not enough");
    tell_speeds(&paper, 3, one_is_slow).await;
    let name = &paper.names[3];
    let text = "600 steps per µs, 60 % of the 1005 of its like";
    assert_eq!(slow(&paper), [format!("{name} Open {text}")]);
    tell_speeds(&paper, 4, |number| 1000 + number).await;
    assert_eq!(slow(&paper), [format!("{name} Clear {text}")]);
}

/// The runs that repair, as they began: their machine, begin and end.
fn repairs(world: &World) -> Vec<(String, Timestamp, Timestamp)> {
    let runs = world.list::<Run>().into_iter().filter(|run| run.spec.repair.is_some());
    let mut rows: Vec<_> = runs
        .filter_map(|run| {
            let status = run.status.filter(|status| status.phase == RunPhase::Succeeded)?;
            Some((run.spec.machine, status.started_at?, status.ended_at?))
        })
        .collect();
    rows.sort_by_key(|(_, began, _)| *began);
    rows
}

#[tokio::test(start_paused = true)]
async fn a_true_burst_in_one_site_is_held_then_one_is_tried_and_then_the_others() {
    let world = World::build(78).await;
    let all = crate::support::names(10);
    for (number, name) in all.iter().enumerate() {
        world.add_machine(name, if number < 5 { "site-a" } else { "site-b" }).await;
    }
    healthy(&world, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // Watched first, so that what they have in common is known before anything is begun.
    let spec = json!({"spec": {"tryHeldAfter": "10m", "rungs": [
        {"action": "observe", "deadline": "1m"}, {"action": "restartService", "deadline": "15m"}]}});
    Api::<RepairPolicy>::all(world.admin())
        .patch("runtime", &PatchParams::default(), &Patch::Merge(spec))
        .await
        .expect("the API answers");
    for name in &all[..5] {
        world.machine(name).hang_runtime();
    }
    wait_state(&world, "correlated.site.site-a", State::Open, 120).await;
    let opened = world.now();
    world
        .wait("five machines to be well", seconds(3 * 3600), |world| {
            let done = repairs(world).len();
            if done == 5 { Ok(()) } else { Err(format!("{done} repaired")) }
        })
        .await;
    let rows = repairs(&world);
    let first = rows[0].1.duration_since(opened);
    assert!(SignedDuration::from_secs(500) < first, "nothing was tried for ten minutes, but after {first}");
    assert!(rows[1..].iter().all(|(_, began, _)| rows[0].2 <= *began), "one first: {rows:?}");
    wait_state(&world, "correlated.site.site-a", State::Clear, 300).await;
    let parent: Problem = world.get("", "correlated.site.site-a").unwrap();
    assert_eq!(parent.status.unwrap().episode, 1);
}
