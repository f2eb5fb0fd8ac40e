//! `muster controllers`: the fleet controllers against any Kubernetes.

mod metrics;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, Client};
use muster_base::clock::SharedClock;
use muster_base::task::{Kind, Tasks};
use muster_control::{Informers, Leadership, LeaseConfig, Metrics, install, is_conflict, lead};
use tokio_util::sync::CancellationToken;

use super::{machine_name, steady_clock};
use crate::cli::ControllersArgs;
use crate::client::{connect_service_now, kubeconfig_path};
use crate::failure::{Code, Failure};
use crate::plane::Shared;
use crate::signals;

/// How long a leader that has gone silent is waited for.
const LEASE: Duration = Duration::from_secs(6);
const RENEW_EVERY: Duration = Duration::from_millis(1500);

/// Where the leader lease and other shared objects of Muster live.
const NAMESPACE: &str = "kube-system";

/// What the fleet controllers are told.
#[derive(Clone, Debug)]
pub(crate) struct FleetConfig {
    pub(crate) identity: String,
    pub(crate) sweep_every: Duration,
    /// How long a run is kept once it has ended.
    pub(crate) keep_runs: Duration,
    pub(crate) history: muster_history::Config,
    /// What is counted of Problems.
    pub(crate) problems: muster_doctor::global::Metrics,
    /// What is counted of repairs.
    pub(crate) repairs: muster_workflow::RepairMetrics,
}

/// The clients of the fleet's parts, each under its own identity where the engine is our own.
#[derive(Clone)]
pub(crate) struct FleetClients {
    /// Installs kinds, competes for leadership.
    pub(crate) leader: Client,
    /// Reads for all of them: what they look at is in memory once.
    pub(crate) reader: Client,
    /// The machine database's.
    pub(crate) machines: Client,
    /// The workflow manager's.
    pub(crate) workflow: Client,
    /// The management controllers' actor's.
    pub(crate) bmc: Client,
    /// The global doctor's.
    pub(crate) doctor: Client,
    /// The history's.
    pub(crate) history: Client,
    /// Lets machines join.
    pub(crate) joining: Client,
    /// Gives machines the role of their claim.
    pub(crate) claims: Client,
}

/// Runs until told to end, or until leadership is lost.
pub(crate) async fn run(args: ControllersArgs) -> Result<(), Failure> {
    let client = connect_service_now(&kubeconfig_path(&args.client)?).await?;
    let identity = match args.identity {
        Some(identity) => identity,
        None => format!("{}-{}", machine_name(None)?, std::process::id()),
    };
    let history = args.history.config();
    let shared = Shared::new(steady_clock());
    // Each lock is given back at the end of its own statement.
    let problems = muster_doctor::global::Metrics::register(&mut shared.registry.lock());
    let repairs = muster_workflow::RepairMetrics::register(&mut shared.registry.lock());
    let config = FleetConfig {
        identity,
        sweep_every: args.sweep_every.0,
        keep_runs: args.keep_runs.0,
        history,
        problems,
        repairs,
    };
    let tasks = shared.tasks.clone();
    if let Some(address) = args.metrics_listen {
        metrics::serve(address, Arc::clone(&shared.registry), &tasks).await?;
    }
    prepare(&client).await?;
    let clients = FleetClients {
        leader: client.clone(),
        machines: client.clone(),
        workflow: client.clone(),
        bmc: client.clone(),
        doctor: client.clone(),
        history: client.clone(),
        reader: client.clone(),
        joining: client.clone(),
        claims: client,
    };
    let lost = start(&clients, &shared.clock, &tasks, &shared.metrics, config);
    tokio::select! {
        ended = signals::run_until_told(&tasks) => ended,
        () = lost.cancelled() => {
            Err(leadership_lost())
        }
    }
}

/// Why a former leader ends.
pub(crate) fn leadership_lost() -> Failure {
    let what = "leadership of the fleet was lost; this process ends, so that no two lead; start it again";
    Failure::Coded(Code::LeadershipLost, what.to_owned())
}

/// Brings the kinds, the role `worker` and the built-in workflows to the cluster.
pub(crate) async fn prepare(client: &Client) -> Result<(), Failure> {
    install::crds(client, muster_api::crds::all()).await.map_err(|error| {
        let what = format!("cannot bring Muster's kinds to the cluster: {}", muster_control::explain(&error));
        Failure::Coded(Code::KindsNotInstalled, what)
    })?;
    secrets_namespace(client).await.map_err(|error| {
        Failure::api("cannot create the namespace of the controllers' credentials", &error)
    })?;
    muster_machines::builtin::ensure(client)
        .await
        .map_err(|error| Failure::api("cannot create the role worker", &error))?;
    muster_workflow::builtin::ensure(client)
        .await
        .map_err(|error| Failure::api("cannot create the built-in workflows", &error))
}

/// The namespace in which the credentials of management controllers stand.
async fn secrets_namespace(client: &Client) -> Result<(), kube::Error> {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(muster_bmc::NAMESPACE.to_owned());
    match Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await {
        Err(error) if !is_conflict(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Competes for leadership and, once leading, runs the controllers. The token is cancelled when leadership is lost.
pub(crate) fn start(
    clients: &FleetClients,
    clock: &SharedClock,
    tasks: &Tasks,
    metrics: &Metrics,
    config: FleetConfig,
) -> CancellationToken {
    let lost = CancellationToken::new();
    let lease = LeaseConfig {
        namespace: NAMESPACE.to_owned(),
        name: "muster-fleet".to_owned(),
        identity: config.identity,
        duration: LEASE,
        renew_every: RENEW_EVERY,
    };
    let machines =
        muster_machines::Config { sweep_every: config.sweep_every, ..muster_machines::Config::default() };
    let workflow = muster_workflow::Config { sweep_every: config.sweep_every, keep_runs: config.keep_runs };
    let bmc = muster_bmc::Config { sweep_every: config.sweep_every, ..muster_bmc::Config::default() };
    let doctor = muster_doctor::global::Config {
        sweep_every: config.sweep_every,
        ..muster_doctor::global::Config::default()
    };
    let (history, problems, repairs) = (config.history, config.problems, config.repairs);
    let (clients, clock, all, metrics, told) =
        (clients.clone(), SharedClock::clone(clock), tasks.clone(), metrics.clone(), lost.clone());
    tasks.spawn(Kind::Job, "fleet leadership", async move {
        let begin = || async {
            let read = Informers::new(clients.reader.clone(), all.clone());
            let informers = read.shared_with(clients.machines.clone());
            muster_machines::start_claims(&clients.claims, &informers, &clock, &all, &metrics, &machines);
            muster_machines::start_joining(&clients.joining, &informers, &clock, &all, &metrics, &machines);
            muster_machines::start(&informers, &clock, &all, &metrics, machines);
            let informers = read.shared_with(clients.workflow.clone());
            muster_workflow::start(&informers, &clock, &all, &metrics, &repairs, workflow);
            let informers = read.shared_with(clients.bmc.clone());
            muster_bmc::start(&informers, &clock, &all, &metrics, bmc);
            let informers = read.shared_with(clients.doctor.clone());
            muster_doctor::global::start(&informers, &clock, &all, &metrics, &problems, doctor);
            if let Err(error) =
                muster_history::start(&clients.history, &clock, &all, &metrics, &history).await
            {
                tracing::error!(error = muster_base::error::chain(&error), "no history is kept");
            }
        };
        if lead(&clients.leader, &lease, &clock, &all, begin).await == Leadership::Lost {
            told.cancel();
        }
    });
    lost
}
