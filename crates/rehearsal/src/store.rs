//! The objects of the fleet in memory, and who has to look at what because one of them changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt as _};
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::inventory::InventoryStatus;
use muster_api::machine::{Bmc, MachineSpec, MachineStatus, Phase, Transition};
use muster_api::role::Image;
use muster_api::workflow::{RunPhase, WorkflowStatus};
use muster_api::{Condition, Disruption, Machine, MachineRole, Order, Problem, RepairPolicy, Run, Workflow};
use muster_workflow::planner::{Book, NodeView, Opening, Tried};

/// Who has to look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    /// The one who starts runs, at a machine.
    Start(usize),
    /// The one who carries a run on.
    Run(String),
    /// The ledger.
    Ledger,
    /// The one who obeys an order.
    Obey(String),
}

/// All objects.
pub(crate) struct Store {
    version: u64,
    pub(crate) machines: Vec<Arc<Machine>>,
    pub(crate) inventories: Vec<InventoryStatus>,
    index: HashMap<String, usize>,
    pub(crate) nodes: Vec<Arc<NodeView>>,
    pub(crate) problems: Vec<Vec<Arc<Problem>>>,
    /// Problems of many machines.
    pub(crate) parents: Vec<Arc<Problem>>,
    pub(crate) runs: HashMap<String, Arc<Run>>,
    /// Runs that are not over, by machine.
    open: Vec<BTreeSet<String>>,
    pub(crate) orders: HashMap<String, Arc<Order>>,
    pub(crate) requests: Vec<Disruption>,
    pub(crate) workflows: Vec<Arc<Workflow>>,
    pub(crate) policies: Vec<Arc<RepairPolicy>>,
    pub(crate) role: Arc<MachineRole>,
    pub(crate) book: Book,
    /// Who has to look, since this was asked last.
    pub(crate) tasks: BTreeSet<Task>,
    /// Problems of machines that were written, since this was asked last.
    pub(crate) told: BTreeSet<(usize, String)>,
}

pub(crate) fn accepted(now: Timestamp) -> Vec<Condition> {
    let mut conditions = Vec::new();
    let verdict = Condition {
        r#type: ACCEPTED.to_owned(),
        status: Status::True,
        reason: "Valid".to_owned(),
        message: String::new(),
        last_transition_time: now,
        observed_generation: None,
    };
    condition::set(&mut conditions, verdict);
    conditions
}

/// Where a machine stands.
pub(crate) struct Place {
    pub(crate) site: String,
    pub(crate) rack: String,
}

impl Store {
    pub(crate) fn new(places: Vec<Place>, policies: Vec<RepairPolicy>, now: Timestamp) -> Self {
        let judged = |mut workflow: Workflow| {
            workflow.status = Some(WorkflowStatus { conditions: accepted(now) });
            Arc::new(workflow)
        };
        let policy = |mut policy: RepairPolicy| {
            policy.status.get_or_insert_default().conditions = accepted(now);
            Arc::new(policy)
        };
        let mut role = muster_machines::builtin::worker();
        role.spec.kernel_features.clear();
        role.spec.image = Some(Image::default());
        let mut store = Self {
            version: 1,
            machines: Vec::new(),
            inventories: Vec::new(),
            index: HashMap::new(),
            nodes: Vec::new(),
            problems: vec![Vec::new(); places.len()],
            parents: Vec::new(),
            runs: HashMap::new(),
            open: vec![BTreeSet::new(); places.len()],
            orders: HashMap::new(),
            requests: Vec::new(),
            workflows: muster_workflow::builtin::all().into_iter().map(judged).collect(),
            policies: policies.into_iter().map(policy).collect(),
            role: Arc::new(role),
            book: Book::default(),
            tasks: BTreeSet::new(),
            told: BTreeSet::new(),
        };
        for (number, place) in places.into_iter().enumerate() {
            store.add(number, place, now);
        }
        store
    }

    fn add(&mut self, number: usize, place: Place, now: Timestamp) {
        let name = format!("m{number:06}");
        let spec = MachineSpec {
            site: place.site,
            rack: place.rack,
            role: muster_machines::builtin::WORKER.to_owned(),
            bmc: Some(Bmc { address: format!("redfish://bmc-{name}/1"), secret_ref: String::new() }),
            ..MachineSpec::default()
        };
        let mut machine = Machine::new(&name, spec);
        let mut status = MachineStatus { boot_id: "boot-0".to_owned(), ..MachineStatus::default() };
        for phase in
            [Phase::Registered, Phase::Inspecting, Phase::Provisioning, Phase::Probation, Phase::Healthy]
        {
            let step =
                Transition { at: now, from: None, to: phase, reason: String::new(), run: String::new() };
            status.enter(step, None).expect("a life begins in this order");
        }
        status.conditions = accepted(now);
        machine.status = Some(status);
        machine.metadata.resource_version = Some("1".to_owned());
        self.index.insert(name.clone(), number);
        self.nodes.push(Arc::new(NodeView::named(&name)));
        let models = ["R640", "R750"];
        self.inventories.push(InventoryStatus {
            boot_id: "boot-0".to_owned(),
            model: models[number % models.len()].to_owned(),
            image: "rack 7".to_owned(),
            ..InventoryStatus::default()
        });
        self.machines.push(Arc::new(machine));
    }

    pub(crate) fn number(&self, machine: &str) -> usize {
        self.index[machine]
    }

    fn stamped<K: Resource>(&mut self, mut object: K) -> K {
        self.version += 1;
        object.meta_mut().resource_version = Some(self.version.to_string());
        object
    }

    pub(crate) fn put_machine(&mut self, number: usize, machine: Machine) {
        let phase = |machine: &Machine| machine.status.as_ref().map(|status| status.phase);
        if phase(&self.machines[number]) != phase(&machine) {
            self.tasks.insert(Task::Ledger);
        }
        self.machines[number] = Arc::new(self.stamped(machine));
        self.look(number);
    }

    /// Whoever is concerned with a machine looks.
    fn look(&mut self, number: usize) {
        self.tasks.insert(Task::Start(number));
        self.tasks.extend(self.open[number].iter().cloned().map(Task::Run));
    }

    pub(crate) fn problem(&self, number: usize, name: &str) -> Option<&Arc<Problem>> {
        self.problems[number].iter().find(|problem| problem.name_any() == name)
    }

    pub(crate) fn put_problem(&mut self, number: usize, problem: Problem) {
        if let Some(last) = Opening::of(&problem) {
            self.book.saw(&problem.name_any(), last);
        }
        let name = problem.name_any();
        match self.problems[number].iter_mut().find(|there| there.name_any() == name) {
            Some(there) => *there = Arc::new(problem),
            None => self.problems[number].push(Arc::new(problem)),
        }
        self.told.insert((number, name));
        self.look(number);
    }

    /// A problem of many: whatever it held, or holds now, is looked at.
    pub(crate) fn put_parent(&mut self, problem: Problem) {
        let name = problem.name_any();
        match self.parents.iter_mut().find(|there| there.name_any() == name) {
            Some(there) => *there = Arc::new(problem),
            None => self.parents.push(Arc::new(problem)),
        }
        for number in 0..self.problems.len() {
            if !self.problems[number].is_empty() {
                self.look(number);
            }
        }
    }

    /// Names what holds a problem; whether that is news.
    pub(crate) fn hold(&mut self, name: &str, parent: &str) -> bool {
        let Some(number) = name.split_once('.').and_then(|(machine, _)| self.index.get(machine).copied())
        else {
            return false;
        };
        let Some(there) = self.problems[number].iter_mut().find(|there| there.name_any() == name) else {
            return false;
        };
        if there.status.as_ref().is_some_and(|status| status.parent == parent) {
            return false;
        }
        let mut held = (**there).clone();
        parent.clone_into(&mut held.status.get_or_insert_default().parent);
        *there = Arc::new(held);
        self.told.insert((number, name.to_owned()));
        self.look(number);
        true
    }

    pub(crate) fn put_run(&mut self, run: Run) {
        let name = run.name_any();
        let number = self.number(&run.spec.machine);
        let over = run.status.as_ref().is_some_and(|status| status.phase.is_final());
        if over {
            self.open[number].remove(&name);
            self.tasks.extend([Task::Ledger, Task::Start(number)]);
        } else {
            self.open[number].insert(name.clone());
        }
        if run.spec.repair.is_some() {
            self.book.ran(&run.spec.problem, &name, Tried::of(&run));
        }
        self.tasks.insert(Task::Run(name.clone()));
        let run = self.stamped(run);
        self.runs.insert(name, Arc::new(run));
    }

    pub(crate) fn put_order(&mut self, order: Order) {
        let name = order.name_any();
        self.tasks.insert(Task::Run(order.spec.run.clone()));
        if order.status.is_none() {
            self.tasks.insert(Task::Obey(name.clone()));
        }
        self.orders.insert(name, Arc::new(order));
    }

    pub(crate) fn request(&self, name: &str) -> Option<&Disruption> {
        self.requests.iter().find(|request| request.metadata.name.as_deref() == Some(name))
    }

    pub(crate) fn put_request(&mut self, request: Disruption) {
        self.tasks.insert(Task::Ledger);
        self.tasks.insert(Task::Run(request.spec.run.clone()));
        let request = self.stamped(request);
        match self.requests.iter_mut().find(|there| there.metadata.name == request.metadata.name) {
            Some(there) => *there = request,
            None => self.requests.push(request),
        }
    }

    /// Runs and orders that are over are forgotten by their runs' machines; what was tried stays in the book.
    pub(crate) fn forget_orders_of(&mut self, run: &str) {
        self.orders.retain(|_, order| order.spec.run != run);
    }

    pub(crate) fn is_run_over(&self, name: &str) -> Option<RunPhase> {
        match self.runs.get(name) {
            None => Some(RunPhase::Cancelled),
            Some(run) => run.status.as_ref().map(|status| status.phase).filter(|phase| phase.is_final()),
        }
    }
}
