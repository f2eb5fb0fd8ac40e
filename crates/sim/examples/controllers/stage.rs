//! The API server in this process, the controllers of the fleet over it, and machines that need nothing.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use kube::api::PostParams;
use kube::{Api, Client};
use muster_api::machine::Phase;
use muster_api::site::SiteSpec;
use muster_api::{Machine, Site};
use muster_apiserver::pki::{Pki, ServingNames};
use muster_apiserver::{ApiServer, Config, Identity, InProcess, NoNodes, Object, Parts, bulk};
use muster_base::clock::{SharedClock, SystemClock};
use muster_base::task::Tasks;
use muster_control::{Informers, Metrics, install};
use muster_store::Store;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const SITES: usize = 84;
/// How long nothing happens before it is believed that nothing will.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(3);
const MACHINES: &str = "/apis/muster.dev/v1alpha1/machines";

/// Where it plays.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) clock: SharedClock,
    pub(crate) tasks: Tasks,
    service: InProcess,
    _directory: tempfile::TempDir,
}

impl Stage {
    /// An API server over `store` with all kinds and sites.
    pub(crate) async fn build(
        store: impl FnOnce(&Path) -> Result<Store<Object>, Box<dyn Error>>,
    ) -> Result<Self, Box<dyn Error>> {
        let tasks = Tasks::new();
        let clock: SharedClock = Arc::new(SystemClock);
        let directory = tempfile::tempdir()?;
        let server = server(&clock, &tasks, directory.path(), store(directory.path())?).await?;
        let service = InProcess::new(server, Identity::new("admin", &["system:masters"]));
        let client = Client::new(service.clone(), "default");
        install::crds(&client, muster_api::crds::all()).await?;
        muster_machines::builtin::ensure(&client).await?;
        muster_workflow::builtin::ensure(&client).await?;
        for site in 0..SITES {
            let site = Site::new(&format!("site-{site:02}"), SiteSpec::default());
            Api::<Site>::all(client.clone()).create(&PostParams::default(), &site).await?;
        }
        Ok(Self { client, clock, tasks, service, _directory: directory })
    }

    /// The controllers of the fleet.
    pub(crate) fn controllers(&self, metrics: &Metrics, sweep_every: Duration) {
        controllers(&self.client, &self.clock, &self.tasks, metrics, sweep_every);
    }

    pub(crate) fn global_doctor(&self, metrics: &Metrics) {
        let informers = Informers::new(self.client.clone(), self.tasks.clone());
        let (counts, config) =
            (muster_doctor::global::Metrics::default(), muster_doctor::global::Config::default());
        muster_doctor::global::start(&informers, &self.clock, &self.tasks, metrics, &counts, config);
    }

    /// So many machines that the controllers have nothing to do for.
    pub(crate) async fn machines(&self, count: usize) -> Result<(), Box<dyn Error>> {
        self.machines_in(count, None).await
    }

    /// The same in another phase.
    pub(crate) async fn machines_in(&self, count: usize, phase: Option<Phase>) -> Result<(), Box<dyn Error>> {
        let mut status = settled(&self.client, &self.clock).await?;
        if let Some(phase) = phase {
            status["phase"] = serde_json::to_value(phase)?;
        }
        let path = format!("{MACHINES}?{}=true", bulk::KEEP_STATUS);
        self.load(&path, count, move |n| machine(n, &status)).await
    }

    /// Creates objects with one stream.
    pub(crate) async fn load(
        &self,
        path: &str,
        count: usize,
        object: impl Fn(usize) -> Value + Send + 'static,
    ) -> Result<(), Box<dyn Error>> {
        let lines = (0..count).map(move |n| {
            let mut line = object(n).to_string().into_bytes();
            line.push(b'\n');
            Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from(line)))
        });
        let body = http_body_util::StreamBody::new(futures::stream::iter(lines));
        let answer = self.service.clone().oneshot(bulk::request(path, body)?).await?;
        let report: bulk::Report = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
        if report.created != count as u64 {
            return Err(
                format!("{} of {count} were created: {:?}", report.created, report.told.first()).into()
            );
        }
        Ok(())
    }
}

async fn server(
    clock: &SharedClock,
    tasks: &Tasks,
    directory: &Path,
    store: Store<Object>,
) -> Result<ApiServer, Box<dyn Error>> {
    let config = Config::new(([127, 0, 0, 1], 6443).into());
    let names = ServingNames { dns: Vec::new(), addresses: config.serving_addresses() };
    let pki = Pki::open(directory, &names, clock.now())?;
    let parts = Parts {
        clock: SharedClock::clone(clock),
        tasks: tasks.clone(),
        signing_key: pki.signing_key()?,
        authority_pem: pki.authority_pem().to_owned(),
        front_proxy: pki.front_proxy(clock.now())?,
        metrics: muster_apiserver::Metrics::register(&mut Registry::default()),
        exposition: Arc::new(String::new),
        dialer: Arc::new(NoNodes),
    };
    Ok(ApiServer::build(config, store, parts).await?)
}

fn controllers(client: &Client, clock: &SharedClock, tasks: &Tasks, metrics: &Metrics, every: Duration) {
    let informers = Informers::new(client.clone(), tasks.clone());
    let machines = muster_machines::Config { sweep_every: every, ..muster_machines::Config::default() };
    muster_machines::start_claims(client, &informers, clock, tasks, metrics, &machines);
    muster_machines::start(&informers, clock, tasks, metrics, machines);
    let repairs = muster_workflow::RepairMetrics::default();
    let workflow = muster_workflow::Config { sweep_every: every, ..muster_workflow::Config::default() };
    muster_workflow::start(&informers, clock, tasks, metrics, &repairs, workflow);
}

/// The name of a machine.
pub(crate) fn name(n: usize) -> String {
    format!("machine-{n:07}")
}

fn machine(n: usize, status: &Value) -> Value {
    json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "Machine", "metadata": {"name": name(n)},
        "spec": {"site": format!("site-{:02}", n % SITES), "serial": format!("SN{n:012}")}, "status": status,
    })
}

/// The status of a machine that the controllers have nothing to do for.
async fn settled(client: &Client, clock: &SharedClock) -> Result<Value, Box<dyn Error>> {
    let tasks = Tasks::new();
    controllers(client, clock, &tasks, &Metrics::default(), Duration::from_secs(3600));
    let api: Api<Machine> = Api::all(client.clone());
    let mut probe: Machine = serde_json::from_value(machine(0, &json!({})))?;
    probe.metadata.name = Some("probe".to_owned());
    probe.spec.serial = "probe".to_owned();
    probe.status = None;
    api.create(&PostParams::default(), &probe).await?;
    tokio::time::sleep(SETTLED_AFTER).await;
    let status = api.get("probe").await?.status.ok_or("the controllers did not take the first machine in")?;
    tasks.drain(Duration::from_secs(10)).await?;
    Ok(serde_json::to_value(status)?)
}

/// Anonymous memory of this process.
pub(crate) fn anonymous_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("");
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) << 10
}
