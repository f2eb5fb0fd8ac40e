//! The control plane: each part looks, asks its planner and does what that says. Any of them may die after any effect;
//! what it had not done yet is planned again from what stands.

mod breaker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::condition;
use muster_api::workflow::{Action, Run, RunPhase};
use muster_api::{CORDONED_BY, Disruption, Pause};
use muster_base::clock::elapsed;
use muster_brake::holds;
use muster_machines::planner as ledger;
use muster_workflow::planner::{self, Answer, Around, Effect, NodeView};

use crate::dice::Dice;
use crate::store::Store;

/// Rounds of one part at one moment; more is a plan that does not come to rest.
const ROUNDS_MAX: usize = 200;

/// What the control plane is beside its objects: nothing that may not be lost.
pub(crate) struct Plane {
    dice: Dice,
    /// How probable it is that a part dies after an effect.
    crashes: f64,
    pub(crate) pauses: Vec<Pause>,
    sites: BTreeSet<String>,
    pub(crate) told: BTreeMap<String, u64>,
    pub(crate) deaths: u64,
}

/// A ticket: its key, and the machine it is about.
pub(crate) struct Ticket {
    pub(crate) key: String,
    pub(crate) machine: String,
}

/// What a look led to.
#[derive(Default)]
pub(crate) struct Looked {
    /// When to look again although nothing changed.
    pub(crate) again: Option<Duration>,
    /// Tickets that were written.
    pub(crate) tickets: Vec<Ticket>,
}

impl Plane {
    pub(crate) fn new(seed: u64, crashes: f64, store: &Store) -> Self {
        let sites = store.machines.iter().map(|machine| machine.spec.site.clone()).collect();
        Self { dice: Dice::new(seed), crashes, pauses: Vec::new(), sites, told: BTreeMap::new(), deaths: 0 }
    }

    fn dies(&mut self) -> bool {
        let dies = self.dice.happens(self.crashes);
        self.deaths += u64::from(dies);
        dies
    }

    /// Starts what a machine calls for.
    pub(crate) fn start(&mut self, store: &mut Store, number: usize, now: Timestamp) -> Looked {
        let machine = Arc::clone(&store.machines[number]);
        let (tries, again_at) = breaker::tries(store, number, now);
        let plan = breaker::wanted(store, number, &tries, now);
        let tried_again = again_at.map(|at| elapsed(now, at));
        if let Some(told) = plan.told {
            *self.told.entry(told.reason.clone()).or_default() += 1;
            let mut written = (*machine).clone();
            condition::set(&mut written.status.get_or_insert_default().conditions, told);
            store.put_machine(number, written);
            if self.dies() {
                return again(Duration::from_secs(2));
            }
        }
        if let Some(mut run) = plan.run
            && !store.runs.contains_key(&run.name_any())
        {
            run.metadata.creation_timestamp = Some(k8s_time(now));
            store.put_run(run);
            if self.dies() {
                return again(Duration::from_secs(2));
            }
        }
        let again = plan.look_again.into_iter().chain(tried_again).min();
        Looked { again, tickets: Vec::new() }
    }

    /// Carries a run on until it waits for somebody else.
    pub(crate) fn carry_on(&mut self, store: &mut Store, name: &str, now: Timestamp) -> Looked {
        let mut looked = Looked::default();
        let mut answers = BTreeMap::new();
        for _ in 0..ROUNDS_MAX {
            let Some(run) = store.runs.get(name).cloned() else { return looked };
            let mut world = self.around(store, &run, now);
            world.answers.clone_from(&answers);
            let plan = planner::round(&run, &world);
            looked.again = plan.look_again;
            if let Some(status) = plan.status {
                let over = status.phase.is_final();
                store.put_run(Run { status: Some(status), ..(*run).clone() });
                if over {
                    store.forget_orders_of(name);
                }
            } else if plan.effects.is_empty() {
                return looked;
            } else {
                for effect in plan.effects {
                    if let Effect::Call(call) = &effect {
                        looked
                            .tickets
                            .push(Ticket { key: call.key.clone(), machine: run.spec.machine.clone() });
                        answers.insert(call.key.clone(), Answer::Status { code: 200, text: String::new() });
                    }
                    perform(store, &run, &world, effect, now);
                    if self.dies() {
                        looked.again = Some(Duration::from_secs(2));
                        return looked;
                    }
                }
            }
        }
        panic!("run {name} does not come to rest");
    }

    fn around(&self, store: &Store, run: &Run, now: Timestamp) -> Around {
        let number = store.number(&run.spec.machine);
        let machine = Arc::clone(&store.machines[number]);
        let workflow = store.workflows.iter().find(|one| one.name_any() == run.spec.workflow).cloned();
        let mut world = Around {
            workflow,
            holds: holds(Some(&machine), &self.pauses, now),
            machine: Some(machine),
            role: Some(Arc::clone(&store.role)),
            node: Some(Arc::clone(&store.nodes[number])),
            disruption: store.request(&planner::grant_name(run)).cloned().map(Arc::new),
            destruction: store.request(&planner::destruction_name(run)).cloned().map(Arc::new),
            problems: store.problems[number].clone(),
            fresh: true,
            now,
            ..Around::default()
        };
        world.ticket = planner::ticket(run, &store.policies);
        for step in run.status.iter().flat_map(|status| &status.steps) {
            let orders = matches!(step.step.action, Action::Order | Action::Probation | Action::Verify);
            if step.phase != RunPhase::Running || !orders {
                continue;
            }
            for name in planner::order_names(run, step, Some(&store.role.spec)) {
                if let Some(order) = store.orders.get(&name) {
                    world.orders.insert(name, Arc::clone(order));
                }
            }
        }
        world
    }

    /// Decides requests.
    pub(crate) fn ledger(&mut self, store: &mut Store, now: Timestamp) -> Looked {
        for _ in 0..ROUNDS_MAX {
            let plan = self.decide(store, now);
            let more = plan.more || !plan.grants.is_empty();
            let again = plan.look_again_at.map(|at| elapsed(now, at));
            if !self.write(store, plan) {
                return Looked { again: Some(Duration::from_secs(2)), tickets: Vec::new() };
            }
            if !more {
                return Looked { again, tickets: Vec::new() };
            }
        }
        panic!("the ledger does not come to rest");
    }

    fn decide(&self, store: &Store, now: Timestamp) -> ledger::Plan {
        let lost =
            store.requests.iter().filter(|request| !request.spec.run.is_empty()).filter_map(|request| {
                let phase = store.is_run_over(&request.spec.run)?;
                Some((request.name_any(), format!("its run {} ended: {}", request.spec.run, phase.as_str())))
            });
        let lost: BTreeMap<String, String> = lost.collect();
        let mut fresh = ledger::Fresh::new();
        let timing = ledger::Timing {
            look_again_every: Duration::from_secs(30),
            look_again_max: Duration::from_secs(900),
            kept_after: Duration::from_secs(600),
        };
        loop {
            let plan = ledger::decide(&ledger::World {
                requests: &store.requests,
                machines: &store.machines,
                fresh: &fresh,
                budgets: &[],
                pauses: &self.pauses,
                sites: &self.sites,
                lost: &lost,
                now,
                timing,
            });
            if plan.look_at.is_empty() || !fresh.is_empty() {
                return plan;
            }
            for name in plan.look_at {
                let machine = (*store.machines[store.number(&name)]).clone();
                fresh.insert(name, Some(machine));
            }
        }
    }

    /// Whether all of it was written.
    fn write(&mut self, store: &mut Store, plan: ledger::Plan) -> bool {
        for decision in plan.grants.into_iter().chain(plan.decisions) {
            let Some(request) = store.request(&decision.request) else { continue };
            let written = Disruption { status: Some(decision.status), ..request.clone() };
            store.put_request(written);
            if self.dies() {
                return false;
            }
        }
        store.requests.retain(|request| !plan.forget.contains(&request.name_any()));
        true
    }
}

fn again(wait: Duration) -> Looked {
    Looked { again: Some(wait), tickets: Vec::new() }
}

fn k8s_time(now: Timestamp) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now)
}

fn perform(store: &mut Store, run: &Run, world: &Around, effect: Effect, now: Timestamp) {
    let number = store.number(&run.spec.machine);
    match effect {
        Effect::Machine(change) => {
            let machine = world.machine.as_ref().expect("a machine that is changed is there");
            if let Ok(changed) = planner::changed(machine, run, world, change) {
                store.put_machine(number, changed);
            }
        }
        Effect::Order(order) => {
            if !store.orders.contains_key(&order.name_any()) {
                store.put_order(*order);
            }
        }
        Effect::Disruption(mut asked) => {
            if store.request(&asked.name_any()).is_none() {
                asked.metadata.creation_timestamp = Some(k8s_time(now));
                asked.metadata.uid = Some(asked.name_any());
                store.put_request(*asked);
            }
        }
        Effect::Release(name) => {
            if let Some(request) = store.request(&name) {
                let mut released = request.clone();
                released.spec.released = true;
                store.put_request(released);
            }
        }
        Effect::Cordon => cordon(store, number, Some(run.name_any())),
        Effect::Uncordon => cordon(store, number, None),
        // Nobody else runs anything on these machines, and their repairs have no parts.
        Effect::Evict(_)
        | Effect::Container(_)
        | Effect::RemovePod(_)
        | Effect::Call(_)
        | Effect::Mail(_)
        | Effect::Child(_)
        | Effect::CancelChild(_)
        | Effect::Chunk(_)
        | Effect::Remove => {}
    }
}

fn cordon(store: &mut Store, number: usize, owner: Option<String>) {
    let mut node: NodeView = (*store.nodes[number]).clone();
    node.spec.unschedulable = owner.is_some();
    node.metadata.annotations = owner.map(|owner| [(CORDONED_BY.to_owned(), owner)].into());
    store.nodes[number] = Arc::new(node);
}
