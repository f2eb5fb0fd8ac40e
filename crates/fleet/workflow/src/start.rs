//! Starts the runs that the state of a machine calls for, and says on the machine why none is started.

pub(crate) mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};
use muster_api::condition;
use muster_api::problem::{State, canary};
use muster_api::workflow::Run;
use muster_api::{Condition, Inventory, Machine, MachineRole, Problem, RepairPolicy, Workflow};
use muster_control::{
    Cause, Change, Driver, Index, Informer, ObjectKey, Outcome, Pass, Queue, Sweep, is_conflict, is_not_found,
};
use parking_lot::Mutex;

use crate::Context;
use crate::repair::climb::{Opening, Tried};
use crate::repair::policy;
use crate::repair::rates::Book;

pub(crate) struct Starter {
    context: Context,
    machines: Informer<Machine>,
    inventories: Informer<Inventory>,
    problems: Informer<Problem>,
    /// By machine; those of many machines under no name.
    problems_of: Index<Problem>,
    workflows: Informer<Workflow>,
    policies: Informer<RepairPolicy>,
    roles: Informer<MachineRole>,
    runs: Informer<Run>,
    book: Arc<Mutex<Book>>,
    /// Problems that may be tried although they are held, with what holds them.
    tries: Mutex<BTreeMap<String, String>>,
    queue: Queue<ObjectKey>,
}

pub(crate) fn start(context: &Context) -> Arc<Starter> {
    let problems = context.informers.of::<Problem>();
    let book = Arc::default();
    let told = policy::start(context, &book);
    let queue = Queue::new();
    let starter = Arc::new(Starter {
        context: context.clone(),
        machines: context.informers.of(),
        inventories: context.informers.of(),
        problems_of: problems.index(|problem| Some(problem.spec.machine.clone())),
        problems,
        workflows: context.informers.of(),
        policies: context.informers.of(),
        roles: context.informers.of(),
        runs: context.informers.of(),
        book,
        tries: Mutex::default(),
        queue: queue.clone(),
    });
    starter.keep_book(&told);
    starter.wire(&queue);
    Sweep::new("starter", context.config.sweep_every, context.metrics.clone())
        .refreshing(&starter.inventories)
        .refreshing(&starter.problems)
        .refreshing(&starter.workflows)
        .refreshing(&starter.policies)
        .refreshing(&starter.roles)
        .refreshing(&starter.runs)
        .over_unsettled(&starter.machines, &queue, {
            let starter = Arc::clone(&starter);
            move |machine| starter.look(machine).is_idle()
        })
        .start(&context.tasks);
    Driver::new("starter", context.metrics.clone()).workers(4).start(
        &context.tasks,
        &queue,
        Arc::clone(&starter),
    );
    starter
}

/// Notes a run in the book.
fn note(book: &Mutex<Book>, change: &Change<Run>) {
    let Some(run) = change.new.as_ref().or(change.old.as_ref()) else { return };
    if run.spec.repair.is_some() {
        let tried = change.new.as_deref().and_then(Tried::of);
        book.lock().ran(&run.spec.problem, &run.name_any(), tried);
    }
}

fn is_open(problem: &Problem) -> bool {
    problem.status.as_ref().is_some_and(|status| status.state == State::Open)
}

impl Starter {
    fn look(&self, machine: &Machine) -> plan::Plan {
        let tries = self.tries.lock().clone();
        self.planned(machine, &tries)
    }

    /// What would be done about a problem now, were it not held by `parent`: whether that is a repair.
    pub(crate) fn would_repair(&self, problem: &Problem, parent: &str) -> bool {
        let name = problem.name_any();
        let Some(machine) = self.machines.get(&ObjectKey::cluster(&problem.spec.machine)) else {
            return false;
        };
        let tries = BTreeMap::from([(name.clone(), parent.to_owned())]);
        plan::is_repair_of(&self.planned(&machine, &tries), &name)
    }

    /// What was tried for a problem.
    pub(crate) fn tried(&self, problem: &str) -> Vec<Tried> {
        self.book.lock().tried(problem).to_vec()
    }

    /// These of what `parent` holds may be tried, and no others.
    pub(crate) fn allow(&self, parent: &str, problems: &BTreeSet<String>) {
        let mut tries = self.tries.lock();
        tries.retain(|problem, of| of != parent || problems.contains(problem));
        for problem in problems {
            let known = tries.insert(problem.clone(), parent.to_owned());
            let machine = self.problems.get(&ObjectKey::cluster(problem)).map(|one| one.spec.machine.clone());
            if let Some(machine) = machine.filter(|_| known.is_none()) {
                self.queue.add(ObjectKey::cluster(machine), Cause::Watch);
            }
        }
    }

    fn planned(&self, machine: &Machine, tries: &BTreeMap<String, String>) -> plan::Plan {
        let key = ObjectKey::of(machine);
        let inventory = self.inventories.get(&key);
        let (problems, parents) = (self.problems_of.get(&key.name), self.problems_of.get(""));
        let (workflows, policies) = (self.workflows.list(), self.policies.list());
        let role = self.roles.get(&ObjectKey::cluster(&machine.spec.role));
        let book = self.book.lock();
        let mut plan = plan::plan(
            machine,
            &plan::World {
                inventory: inventory.as_ref().and_then(|inventory| inventory.status.as_ref()),
                role: role.as_deref().map(|role| &role.spec),
                problems: &problems,
                parents: &parents,
                tries,
                workflows: &workflows,
                policies: &policies,
                book: &book,
                now: self.context.clock.now(),
            },
        );
        for problem in problems.iter().filter(|problem| canary::is_canary(&problem.spec)) {
            let run = self.runs.get(&ObjectKey::cluster(canary::answer(problem)));
            plan::answer(&mut plan, machine, problem, run.as_deref());
        }
        plan
    }

    /// What was tried stands in the runs; when one ends, its policy tells anew what its rungs have fixed.
    fn keep_book(&self, told: &Queue<ObjectKey>) {
        let (book, told, repairs) = (Arc::clone(&self.book), told.clone(), self.context.repairs.clone());
        self.runs.on_change(move |change| {
            note(&book, change);
            repairs.run(change);
            let ended = |run: &Option<Arc<Run>>| {
                run.as_ref().is_some_and(|run| run.status.as_ref().is_some_and(|s| s.phase.is_final()))
            };
            let repair = change.new.as_ref().and_then(|run| run.spec.repair.as_ref());
            if let Some(repair) = repair.filter(|_| ended(&change.old) != ended(&change.new)) {
                told.put_off(ObjectKey::cluster(&repair.policy), policy::TOLD_EVERY);
            }
        });
        let (book, repairs) = (Arc::clone(&self.book), self.context.repairs.clone());
        let machines = self.machines.clone();
        self.problems.on_change(move |change| {
            let machine = change.new.as_ref().map(|problem| ObjectKey::cluster(&problem.spec.machine));
            let machine = machine.and_then(|machine| machines.get(&machine));
            let site = machine.as_ref().map_or("", |machine| &machine.spec.site);
            repairs.problem(change, site, book.lock().tried(&change.key.name));
            if let Some(last) = change.new.as_deref().and_then(Opening::of) {
                book.lock().saw(&change.key.name, last);
            }
        });
    }

    /// Keys are names of machines.
    fn wire(&self, queue: &Queue<ObjectKey>) {
        let (to, repairs) = (queue.clone(), self.context.repairs.clone());
        self.machines.on_change(move |change| {
            repairs.machine(change);
            to.add(change.key.clone(), Cause::Watch);
        });
        let to = queue.clone();
        self.inventories.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
        let (to, problems) = (queue.clone(), self.problems.clone());
        let ill = Arc::new(move || {
            for problem in problems.filtered(is_open) {
                to.add(ObjectKey::cluster(&problem.spec.machine), Cause::Watch);
            }
        });
        let (to, held) = (queue.clone(), Arc::clone(&ill));
        self.problems.on_change(move |change| {
            match change.new.as_ref().or(change.old.as_ref()).map(|problem| problem.spec.machine.as_str()) {
                // Of many machines: whatever it held, or holds now.
                Some("") => held(),
                Some(machine) => to.add(ObjectKey::cluster(machine), Cause::Watch),
                None => {}
            }
        });
        self.policies.on_change(move |change| {
            let judged = |policy: &Option<Arc<RepairPolicy>>| {
                policy.as_ref().map(|policy| {
                    let status = policy.status.as_ref();
                    (policy.spec.clone(), status.map(|status| policy::is_accepted(&status.conditions)))
                })
            };
            if judged(&change.old) != judged(&change.new) {
                ill();
            }
        });
        let to = queue.clone();
        self.runs.on_change(move |change| {
            if let Some(run) = change.new.as_ref().filter(|run| run.spec.workflow == canary::CANARY) {
                to.add(ObjectKey::cluster(&run.spec.machine), Cause::Watch);
            }
        });
        let (to, machines) = (queue.clone(), self.machines.clone());
        self.workflows.on_change(move |_| {
            for machine in machines.list() {
                to.add(ObjectKey::of(&*machine), Cause::Watch);
            }
        });
    }

    async fn begin(&self, run: &Run) -> Result<bool, kube::Error> {
        let name = run.name_any();
        if self.runs.get(&ObjectKey::cluster(&name)).is_some() {
            return Ok(false);
        }
        match Api::<Run>::all(self.context.client.clone()).create(&PostParams::default(), run).await {
            Err(error) if !is_conflict(&error) => Err(error),
            Err(_) => Ok(false),
            Ok(created) => {
                self.runs.saw(created);
                tracing::info!(run = name, machine = run.spec.machine, "a run was started");
                Ok(true)
            }
        }
    }

    async fn forget(&self, run: &str) -> Result<(), kube::Error> {
        match Api::<Run>::all(self.context.client.clone()).delete(run, &DeleteParams::default()).await {
            Err(error) if !is_not_found(&error) => Err(error),
            Err(_) | Ok(_) => Ok(()),
        }
    }

    /// Somebody else may have written meanwhile; then the change of the machine has it looked at again.
    async fn tell(&self, machine: &Machine, told: Condition) -> Result<(), kube::Error> {
        let mut written = machine.clone();
        condition::set(&mut written.status.get_or_insert_default().conditions, told);
        let api = Api::<Machine>::all(self.context.client.clone());
        let stands = api.replace_status(&machine.name_any(), &PostParams::default(), &written).await?;
        self.machines.saw(stands);
        Ok(())
    }
}

impl Pass for Starter {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.inventories.ready().await;
        self.problems.ready().await;
        self.workflows.ready().await;
        self.policies.ready().await;
        self.roles.ready().await;
        self.runs.ready().await;
        let Some(machine) = self.machines.get(key) else { return Ok(Outcome::IDLE) };
        let plan = self.look(&machine);
        let mut acted = false;
        // Told first: the run takes the machine at once, and whoever is late finds another state of it.
        if let Some(told) = plan.told {
            self.tell(&machine, told).await?;
            acted = true;
        }
        if let Some(run) = &plan.run {
            acted |= self.begin(run).await?;
        }
        if let Some(run) = &plan.spent {
            self.forget(run).await?;
            acted = true;
        }
        let outcome = if acted { Outcome::ACTED } else { Outcome::IDLE };
        Ok(plan.look_again.map_or(outcome, |left| outcome.again_after(left)))
    }
}
