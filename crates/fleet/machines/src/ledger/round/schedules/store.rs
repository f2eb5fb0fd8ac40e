//! A store in memory with versions, as far as a round needs one; every request rests before it is carried out and before
//! it is answered, so that others come between.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt as _};
use muster_api::disruption::ledger::{LEDGER, LedgerSpec};
use muster_api::machine::Phase;
use muster_api::workflow::{Run, RunPhase};
use muster_api::{Disruption, DisruptionBudget, Ledger, Machine, Pause};

use super::judge::Judge;
use crate::ledger::books::{Books, Written};
use crate::ledger::plan;

/// Nothing breaks here.
pub(super) type Broken = std::convert::Infallible;

#[derive(Default)]
pub(super) struct Store {
    version: u64,
    millis: i64,
    calm: bool,
    ledger: Option<Ledger>,
    requests: BTreeMap<String, Disruption>,
    pub(super) budgets: BTreeMap<String, DisruptionBudget>,
    pub(super) pauses: BTreeMap<String, Pause>,
    pub(super) machines: BTreeMap<String, Machine>,
    runs: BTreeMap<String, Run>,
    judge: Judge,
}

#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Store>>);

fn stamp<K: Resource>(object: &mut K, version: u64) {
    object.meta_mut().resource_version = Some(version.to_string());
}

/// Puts a status or an object in the place of the same version.
fn replace<K: Resource + Clone>(all: &mut BTreeMap<String, K>, written: &K, version: u64) -> Written {
    let name = written.meta().name.clone().unwrap_or_default();
    match all.get_mut(&name) {
        Some(there) if there.meta().resource_version == written.meta().resource_version => {
            *there = written.clone();
            stamp(there, version);
            Written::Taken
        }
        Some(_) | None => Written::Stale,
    }
}

impl Store {
    fn next(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + self.millis).unwrap()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.lock().now()
    }

    pub(super) fn after(&self, millis: i64) -> Timestamp {
        self.now().checked_add(SignedDuration::from_millis(millis)).unwrap()
    }

    pub(super) fn pass(&self, millis: i64) {
        self.lock().millis += millis;
    }

    pub(super) fn calm(&self) -> bool {
        self.lock().calm
    }

    pub(super) fn judge(&self) -> JudgeGuard<'_> {
        JudgeGuard(self.lock())
    }

    pub(super) fn put_machine(&self, mut machine: Machine) {
        let mut store = self.lock();
        let version = store.next();
        stamp(&mut machine, version);
        store.machines.insert(machine.name_any(), machine);
    }

    pub(super) fn change_machine(&self, name: &str, change: impl Fn(&mut Machine)) {
        let mut store = self.lock();
        let version = store.next();
        let machine = store.machines.get_mut(name).expect("machines stay");
        change(machine);
        stamp(machine, version);
    }

    pub(super) fn change_phase(&self, name: &str, phase: Phase) {
        self.change_machine(name, |machine| machine.status.as_mut().unwrap().phase = phase);
    }

    pub(super) fn machine(&self, name: &str) -> Option<Machine> {
        self.lock().machines.get(name).cloned()
    }

    pub(super) fn machine_names(&self) -> Vec<String> {
        self.lock().machines.keys().cloned().collect()
    }

    pub(super) fn put_budget(&self, mut budget: DisruptionBudget) {
        let mut store = self.lock();
        let version = store.next();
        stamp(&mut budget, version);
        store.budgets.insert(budget.name_any(), budget);
        store.note_budgets();
    }

    pub(super) fn remove_budget(&self, name: &str) {
        let mut store = self.lock();
        store.budgets.remove(name);
        store.note_budgets();
    }

    pub(super) fn put_pause(&self, mut pause: Pause) {
        let mut store = self.lock();
        if store.pauses.contains_key(&pause.name_any()) {
            return;
        }
        let version = store.next();
        stamp(&mut pause, version);
        pause.metadata.creation_timestamp = Some(Time(store.now()));
        store.pauses.insert(pause.name_any(), pause.clone());
        store.judge.pressed(&pause);
    }

    pub(super) fn remove_pause(&self, name: &str) {
        let mut store = self.lock();
        store.pauses.remove(name);
        store.judge.resumed(name);
    }

    pub(super) fn pauses(&self) -> Vec<Pause> {
        self.lock().pauses.values().cloned().collect()
    }

    pub(super) fn put_run(&self, run: Run) {
        self.lock().runs.insert(run.name_any(), run);
    }

    pub(super) fn remove_run(&self, name: &str) {
        self.lock().runs.remove(name);
    }

    pub(super) fn end_run(&self, name: &str, phase: RunPhase) {
        if let Some(run) = self.lock().runs.get_mut(name) {
            run.status.as_mut().unwrap().phase = phase;
        }
    }

    pub(super) fn create_request(&self, mut request: Disruption) {
        let mut store = self.lock();
        let version = store.next();
        stamp(&mut request, version);
        request.metadata.uid = Some(format!("uid-{version}"));
        request.metadata.creation_timestamp = Some(Time(store.now()));
        store.judge.asked(&request);
        store.requests.insert(request.name_any(), request);
    }

    pub(super) fn request(&self, name: &str) -> Option<Disruption> {
        self.lock().requests.get(name).cloned()
    }

    pub(super) fn give_back(&self, name: &str) {
        let mut store = self.lock();
        let version = store.next();
        if let Some(request) = store.requests.get_mut(name) {
            request.spec.released = true;
            stamp(request, version);
        }
    }

    /// From now on every budget has room, so that whatever waits can come to its end.
    pub(super) fn let_all_through(&self) {
        let mut store = self.lock();
        store.calm = true;
        let version = store.next();
        for budget in store.budgets.values_mut() {
            (budget.spec.max, budget.spec.max_percent) = (Some(100), None);
            stamp(budget, version);
        }
        store.note_budgets();
        // Machines nobody repairs would hold the default bounds for ever.
        for machine in store.machines.values_mut() {
            machine.status.as_mut().unwrap().phase = Phase::Healthy;
            stamp(machine, version);
        }
    }

    fn open(&self) -> Vec<Disruption> {
        let store = self.lock();
        let open = store.requests.values().filter(|request| !plan::is_over(plan::phase(request)));
        open.cloned().collect()
    }

    pub(super) fn open_requests(&self) -> usize {
        self.open().len()
    }

    pub(super) fn describe_open(&self) -> String {
        self.open().iter().map(|r| format!("{}: {:?}; ", r.name_any(), r.status)).collect()
    }
}

impl Store {
    fn note_budgets(&mut self) {
        let (version, budgets) = (self.next(), self.budgets.values().cloned().collect());
        self.judge.budgets(version, budgets);
    }
}

/// The judge, locked together with the store it judges.
pub(super) struct JudgeGuard<'a>(MutexGuard<'a, Store>);

impl JudgeGuard<'_> {
    pub(super) fn begins(&self, machine: &str, site: &str, now: Timestamp) {
        self.0.judge.begins(machine, site, now);
    }
}

/// What one decider sees: its own watches, which lag.
pub(super) struct Desk {
    store: Shared,
    machines: Mutex<BTreeMap<String, Arc<Machine>>>,
    runs: Mutex<BTreeMap<String, Arc<Run>>>,
    /// The version of the store when its round began.
    began: Mutex<u64>,
}

async fn rest() {
    let mut rested = false;
    poll_fn(|_| if std::mem::replace(&mut rested, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn shared<K: Clone>(all: &BTreeMap<String, K>) -> BTreeMap<String, Arc<K>> {
    all.iter().map(|(name, object)| (name.clone(), Arc::new(object.clone()))).collect()
}

impl Desk {
    pub(super) fn new(store: &Shared) -> Self {
        let desk = Self {
            store: store.clone(),
            machines: Mutex::default(),
            runs: Mutex::default(),
            began: Mutex::default(),
        };
        desk.deliver_all();
        desk
    }

    pub(super) fn begin(&self) {
        *self.began.lock().unwrap() = self.store.lock().version;
    }

    /// One event of one object arrives.
    pub(super) fn deliver(&self, throw: u64) {
        let store = self.store.lock();
        let names: Vec<&String> = store.machines.keys().chain(store.runs.keys()).collect();
        let name = names[usize::try_from(throw % names.len() as u64).unwrap()];
        if let Some(machine) = store.machines.get(name) {
            self.machines.lock().unwrap().insert(name.clone(), Arc::new(machine.clone()));
        }
        let mut runs = self.runs.lock().unwrap();
        match store.runs.get(name) {
            Some(run) => runs.insert(name.clone(), Arc::new(run.clone())),
            None => runs.remove(name),
        };
    }

    pub(super) fn deliver_all(&self) {
        let store = self.store.lock();
        *self.machines.lock().unwrap() = shared(&store.machines);
        *self.runs.lock().unwrap() = shared(&store.runs);
    }

    async fn carried_out<T>(&self, request: impl FnOnce(&mut Store) -> T) -> Result<T, Broken> {
        rest().await;
        let answer = request(&mut self.store.lock());
        rest().await;
        Ok(answer)
    }
}

impl Books for Desk {
    type Error = Broken;

    fn now(&self) -> Timestamp {
        self.store.now()
    }

    fn watched_machines(&self) -> Vec<Arc<Machine>> {
        self.machines.lock().unwrap().values().cloned().collect()
    }

    fn watched_run(&self, name: &str) -> Option<Arc<Run>> {
        self.runs.lock().unwrap().get(name).cloned()
    }

    fn watched_sites(&self) -> BTreeSet<String> {
        super::SITES.map(str::to_owned).into()
    }

    async fn ledger(&self) -> Result<Ledger, Broken> {
        let fresh = || {
            let mut ledger = Ledger::new(LEDGER, LedgerSpec {});
            stamp(&mut ledger, 0);
            ledger
        };
        self.carried_out(|store| store.ledger.get_or_insert_with(fresh).clone()).await
    }

    async fn requests(&self) -> Result<Vec<Disruption>, Broken> {
        self.carried_out(|store| store.requests.values().cloned().collect()).await
    }

    async fn budgets(&self) -> Result<Vec<DisruptionBudget>, Broken> {
        self.carried_out(|store| store.budgets.values().cloned().collect()).await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, Broken> {
        self.carried_out(|store| store.pauses.values().cloned().collect()).await
    }

    async fn machine(&self, name: &str) -> Result<Option<Machine>, Broken> {
        self.carried_out(|store| store.machines.get(name).cloned()).await
    }

    async fn run(&self, name: &str) -> Result<Option<Run>, Broken> {
        self.carried_out(|store| store.runs.get(name).cloned()).await
    }

    async fn write_ledger(&self, ledger: &Ledger) -> Result<Written, Broken> {
        let (view, began) = (self.machines.lock().unwrap().clone(), *self.began.lock().unwrap());
        self.carried_out(|store| {
            let version = store.next();
            let there = store.ledger.as_mut().expect("it was read");
            if there.metadata.resource_version != ledger.metadata.resource_version {
                return Written::Stale;
            }
            *there = ledger.clone();
            stamp(there, version);
            let machines = store.machines.clone();
            // A grant of a request that is over by now is void: its status says so already.
            let mut batch = ledger.status.as_ref().unwrap().batch.clone();
            batch.retain(|entry| {
                store.requests.get(&entry.request).is_some_and(|request| !plan::is_over(plan::phase(request)))
            });
            store.judge.granted(&batch, &machines, &view, began);
            Written::Taken
        })
        .await
    }

    async fn write_request(&self, request: &Disruption) -> Result<Written, Broken> {
        self.carried_out(|store| {
            let version = store.next();
            let written = replace(&mut store.requests, request, version);
            if written == Written::Taken {
                store.judge.written(request);
            }
            written
        })
        .await
    }

    async fn write_budget(&self, budget: &DisruptionBudget) -> Result<Written, Broken> {
        self.carried_out(|store| {
            let version = store.next();
            replace(&mut store.budgets, budget, version)
        })
        .await
    }

    async fn write_pause(&self, pause: &Pause) -> Result<Written, Broken> {
        self.carried_out(|store| {
            let version = store.next();
            replace(&mut store.pauses, pause, version)
        })
        .await
    }

    async fn forget(&self, request: &Disruption) -> Result<Written, Broken> {
        self.carried_out(|store| match store.requests.remove(&request.name_any()) {
            Some(_) => Written::Taken,
            None => Written::Stale,
        })
        .await
    }
}
