//! Builds every controller on shared informers and starts its driver.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;
use muster_base::clock::SharedClock;
use muster_base::task::{Kind, Tasks};
use muster_control::{Driver, Informer, Informers, Metrics, ObjectKey, Pass, Queue, Watched};

use crate::apps::daemonset::pass::DaemonSets;
use crate::apps::deployment::pass::Deployments;
use crate::apps::replicaset::pass::ReplicaSets;
use crate::budget::pass::Budgets;
use crate::certificate::Signer;
use crate::certificate::pass::Certificates;
use crate::garbage::pass::Garbage;
use crate::garbage::watch::{Watches, World};
use crate::index::Index;
use crate::kit::Kit;
use crate::namespace::pass::{Defaults, Deletion};
use crate::node::addresses::Range;
use crate::node::lifecycle::Limits;
use crate::node::pass::{self as node, Addresses, Eviction, Lifecycle, Orphans};
use crate::service::pass::Services;

#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The certificate bundle (PEM) that pods use to know the API server; kept in every namespace.
    pub root_ca: Option<Arc<str>>,
    /// The range of pod addresses to divide among the nodes; `None` if something else gives them out.
    pub pod_addresses: Option<Range>,
    /// Signs approved requests for client certificates; `None` if something else does.
    pub signer: Option<Signer>,
    /// When a silent node counts as lost, and how fast its pods are moved.
    pub node_limits: Limits,
}

type Start = Box<dyn FnOnce(&Tasks) + Send>;

/// Built, not yet running.
pub struct Workloads {
    ready: Vec<BoxFuture<'static, ()>>,
    starts: Vec<Start>,
}

/// What building needs at every step.
struct Builder<'a> {
    client_for: &'a dyn Fn(&str) -> Client,
    clock: SharedClock,
    metrics: Metrics,
    informers: &'a Informers,
    ready: Vec<BoxFuture<'static, ()>>,
    starts: Vec<Start>,
}

impl Builder<'_> {
    fn informer<K: Watched>(&mut self) -> Informer<K> {
        let informer = self.informers.of::<K>();
        let seen = informer.clone();
        self.ready.push(Box::pin(async move { seen.ready().await }));
        informer
    }

    fn kit(&self, component: &str) -> Kit {
        Kit::new((self.client_for)(component), component, self.clock.clone())
    }

    fn add<P: Pass<Key = ObjectKey>>(
        &mut self,
        name: &'static str,
        workers: usize,
        queue: Queue<ObjectKey>,
        pass: P,
    ) {
        let driver = Driver::new(name, self.metrics.clone()).workers(workers);
        self.starts.push(Box::new(move |tasks| driver.start(tasks, &queue, pass)));
    }
}

impl Workloads {
    /// `client_for` gives the client of a component's own identity; [`crate::rules`] says what each must be allowed.
    pub fn build(
        config: Config,
        client_for: &dyn Fn(&str) -> Client,
        informers: &Informers,
        clock: SharedClock,
        metrics: Metrics,
    ) -> Workloads {
        let mut builder =
            Builder { client_for, clock, metrics, informers, ready: Vec::new(), starts: Vec::new() };
        sets(&mut builder);
        services(&mut builder);
        nodes(&mut builder, &config);
        certificates(&mut builder, config.signer.clone());
        namespaces(&mut builder, config);
        garbage(&mut builder);
        Workloads { ready: builder.ready, starts: builder.starts }
    }

    /// Starts every controller once all they read has been seen; they end with `tasks`.
    ///
    /// A controller that counted by a half-filled cache would create what is there already.
    pub fn start(self, tasks: &Tasks) {
        let (token, within) = (tasks.shutdown_token(), tasks.clone());
        tasks.spawn(Kind::Job, "workloads start", async move {
            if token.run_until_cancelled(futures::future::join_all(self.ready)).await.is_some() {
                for start in self.starts {
                    start(&within);
                }
            }
        });
    }
}

fn sets(builder: &mut Builder<'_>) {
    let (deployments, sets, pods) = (builder.informer(), builder.informer(), builder.informer());
    let queue = Queue::new();
    let pass = ReplicaSets::new(builder.kit("replicaset-controller"), &sets, &pods, &queue);
    builder.add("replicaset", 4, queue, pass);
    let queue = Queue::new();
    let kit = builder.kit("deployment-controller");
    let pass = Deployments::new(kit, &deployments, &sets, &pods, &queue);
    builder.add("deployment", 4, queue, pass);
    let (daemons, nodes, queue) = (builder.informer(), builder.informer(), Queue::new());
    let pass = DaemonSets::new(builder.kit("daemon-set-controller"), &daemons, &pods, &nodes, &queue);
    builder.add("daemonset", 2, queue, pass);
    let (budgets, queue) = (builder.informer(), Queue::new());
    let kit = builder.kit("disruption-controller");
    let pass = Budgets::new(kit, &budgets, &pods, &sets, &deployments, &queue);
    builder.add("disruption", 1, queue, pass);
}

fn services(builder: &mut Builder<'_>) {
    let queue = Queue::new();
    let kit = builder.kit("endpointslice-controller");
    let (services, pods) = (builder.informer(), builder.informer());
    let (nodes, slices) = (builder.informer(), builder.informer());
    let pass = Services::new(kit, &services, &pods, &nodes, &slices, &queue);
    builder.add("endpointslice", 4, queue, pass);
}

fn nodes(builder: &mut Builder<'_>, config: &Config) {
    let (nodes, pods, leases) = (builder.informer(), builder.informer(), builder.informer());
    let pods_on = Arc::new(Index::over(&pods, node::on_node));
    let queue = Queue::new();
    let kit = builder.kit("node-controller");
    let pass = Lifecycle::new(kit, config.node_limits, &nodes, &leases, Arc::clone(&pods_on), &queue);
    builder.add("node", 1, queue, pass);
    let queue = Queue::new();
    let kit = builder.kit("taint-eviction-controller");
    let pass = Eviction::new(kit, &nodes, &pods, pods_on, &queue);
    builder.add("taint-eviction", 2, queue, pass);
    let queue = Queue::new();
    let pass = Orphans::new(builder.kit("pod-garbage-collector"), &nodes, &pods, &queue);
    builder.add("pod-garbage", 1, queue, pass);
    if let Some(range) = config.pod_addresses {
        let queue = Queue::new();
        let pass = Addresses::new(builder.kit("node-address-controller"), range, &nodes, &queue);
        builder.add("node-address", 1, queue, pass);
    }
}

fn certificates(builder: &mut Builder<'_>, signer: Option<Signer>) {
    let Some(signer) = signer else { return };
    let (requests, queue) = (builder.informer(), Queue::new());
    let pass = Certificates::new(builder.kit("certificate-controller"), signer, &requests, &queue);
    builder.add("certificate", 1, queue, pass);
}

fn namespaces(builder: &mut Builder<'_>, config: Config) {
    let namespaces = builder.informer();
    let queue = Queue::new();
    let kit = builder.kit("namespace-defaults-controller");
    let (accounts, maps) = (builder.informer(), builder.informer());
    let pass = Defaults::new(kit, config.root_ca, &namespaces, &accounts, &maps, &queue);
    builder.add("namespace-defaults", 2, queue, pass);
    let queue = Queue::new();
    let pass = Deletion::new(builder.kit("namespace-controller"), &namespaces, &queue);
    builder.add("namespace", 4, queue, pass);
}

/// Watches by metadata on its own, and under its own identity: no other controller reads everything.
fn garbage(builder: &mut Builder<'_>) {
    const NAME: &str = "generic-garbage-collector";
    let queue = Queue::new();
    let world = World::new(queue.clone());
    let (client, kit) = ((builder.client_for)(NAME), builder.kit(NAME));
    let driver = Driver::new("garbage", builder.metrics.clone()).workers(8);
    builder.starts.push(Box::new(move |tasks| {
        let (token, within) = (tasks.shutdown_token(), tasks.clone());
        let watches = Watches::new(Arc::clone(&world), client, tasks.clone());
        tasks.spawn(Kind::Service, "garbage watches", async move {
            let pass = Garbage::new(kit, world);
            let ready = move || driver.start(&within, &queue, pass);
            token.run_until_cancelled(watches.run(ready)).await;
        });
    }));
}
