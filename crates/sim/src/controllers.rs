//! The process of all controllers: it can die at any moment and is started anew on the same store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use kube::Client;
use muster_apiserver::ApiServer;
use muster_base::clock::SharedClock;
use muster_base::task::{Kind, Tasks};
use muster_control::{Informers, Metrics};
use muster_scheduler::Scheduler;
use muster_workloads::Workloads;
use muster_workloads::node::lifecycle::Limits;
use muster_workloads::rules::INFORMERS;
use parking_lot::Mutex;

use crate::faults::Faults;
use crate::world::Options;
use crate::{rights, wire};

/// All controllers and the scheduler, as one process.
pub struct Controllers {
    server: ApiServer,
    clock: SharedClock,
    metrics: Metrics,
    problems: muster_doctor::global::Metrics,
    repairs: muster_workflow::RepairMetrics,
    options: Options,
    /// On the way of the fleet's controllers, and of all others.
    fleet: Arc<Faults>,
    engine: Arc<Faults>,
    world: Tasks,
    life: Mutex<Tasks>,
    deaths: AtomicU64,
    me: Weak<Self>,
}

/// What the controllers are made of.
pub(crate) struct Parts {
    pub(crate) server: ApiServer,
    pub(crate) clock: SharedClock,
    pub(crate) options: Options,
    pub(crate) fleet: Arc<Faults>,
    pub(crate) engine: Arc<Faults>,
    pub(crate) world: Tasks,
}

impl Controllers {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { server, clock, options, fleet, engine, world } = parts;
        Arc::new_cyclic(|me: &Weak<Self>| {
            let dying = Weak::clone(me);
            fleet.on_crash(Arc::new(move || {
                if let Some(controllers) = dying.upgrade() {
                    controllers.crash(Duration::from_secs(2));
                }
            }));
            Self {
                server,
                clock,
                metrics: Metrics::default(),
                problems: muster_doctor::global::Metrics::default(),
                repairs: muster_workflow::RepairMetrics::default(),
                options,
                fleet,
                engine,
                world,
                life: Mutex::new(Tasks::new()),
                deaths: AtomicU64::new(0),
                me: Weak::clone(me),
            }
        })
    }

    /// What the passes counted, over all lives.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How often they died.
    pub fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// Kills every controller where it stands; they start anew on the same store after `down_for`.
    pub fn crash(&self, down_for: Duration) {
        self.deaths.fetch_add(1, Ordering::Relaxed);
        self.life.lock().abort();
        let (me, token) = (Weak::clone(&self.me), self.world.shutdown_token());
        self.world.spawn(Kind::Job, "controllers start again", async move {
            if token.run_until_cancelled(tokio::time::sleep(down_for)).await.is_none() {
                return;
            }
            if let Some(controllers) = me.upgrade() {
                controllers.start();
            }
        });
    }

    /// Ends them for good.
    pub(crate) fn end(&self) {
        self.life.lock().abort();
    }

    fn engine_client(&self, component: &str) -> Client {
        wire::client(&self.server, rights::identity(component), &self.engine)
    }

    pub(crate) fn start(&self) {
        let tasks = Tasks::new();
        let mut life = self.life.lock();
        life.abort();
        *life = tasks.clone();
        drop(life);
        let fleet = wire::client(&self.server, rights::identity(rights::FLEET), &self.fleet);
        let informers = Informers::new(fleet, tasks.clone());
        let Options { sweep_every, keep_runs, .. } = self.options;
        let machines = muster_machines::Config { sweep_every, ..muster_machines::Config::default() };
        let workflow = muster_workflow::Config { sweep_every, keep_runs };
        let client = informers.client();
        muster_machines::start_claims(&client, &informers, &self.clock, &tasks, &self.metrics, &machines);
        muster_machines::start(&informers, &self.clock, &tasks, &self.metrics, machines);
        muster_workflow::start(&informers, &self.clock, &tasks, &self.metrics, &self.repairs, workflow);
        self.start_doctor(&informers, &tasks);
        self.start_engine(&tasks);
    }

    /// The global doctor, on the way of the fleet's controllers.
    fn start_doctor(&self, informers: &Informers, tasks: &Tasks) {
        let client = wire::client(&self.server, rights::identity(rights::GLOBAL_DOCTOR), &self.fleet);
        let config = muster_doctor::global::Config {
            sweep_every: self.options.sweep_every,
            canary: self.options.canary,
            ..muster_doctor::global::Config::default()
        };
        let informers = informers.shared_with(client);
        muster_doctor::global::start(&informers, &self.clock, tasks, &self.metrics, &self.problems, config);
    }

    fn start_engine(&self, tasks: &Tasks) {
        let informers = Informers::new(self.engine_client(INFORMERS), tasks.clone());
        let config = muster_workloads::Config {
            root_ca: None,
            // Each imagined runtime has its own range.
            pod_addresses: None,
            signer: None,
            node_limits: Limits::default(),
        };
        let client_for = |component: &str| self.engine_client(component);
        let clock = SharedClock::clone(&self.clock);
        Workloads::build(config, &client_for, &informers, SharedClock::clone(&clock), self.metrics.clone())
            .start(tasks);
        let client = self.engine_client(muster_scheduler::rules::COMPONENT);
        Scheduler::build(muster_scheduler::Config::default(), client, &informers, clock).start(tasks);
    }
}
