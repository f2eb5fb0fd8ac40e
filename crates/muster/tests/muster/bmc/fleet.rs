//! A control plane with machines whose controllers are emulated.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};
use muster_api::machine::{Bmc, MachineSpec};
use muster_api::order::{Arguments, BootDevice, OrderSpec, Verb};
use muster_api::workflow::{Action, OrderTemplate, RunSpec, Step, WorkflowPurpose, WorkflowSpec};
use muster_api::{GoDuration, Machine, Order, Run, Site, Workflow};
use muster_base::clock::{Clock as _, SystemClock};
use muster_control::is_conflict;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::crash::{client, control_plane, free_port};
use crate::harness::{Process, wait_for};

/// Runs it on the one runtime of these tests: a client lives on the runtime it was made on.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    RUNTIME.block_on(work)
}

pub(crate) struct Plane {
    pub(crate) data_dir: PathBuf,
    log: PathBuf,
    port: u16,
    pub(crate) process: Process,
}

impl Plane {
    /// Starts the real binary and waits until it answers.
    pub(crate) fn start(directory: &Path) -> Self {
        let (data_dir, log, port) = (directory.join("d"), directory.join("muster.log"), free_port());
        let process = control_plane(&data_dir, port, &log);
        let plane = Self { data_dir, log, port, process };
        plane.client();
        plane
    }

    /// A client, once the API answers it.
    pub(crate) fn client(&self) -> Client {
        wait_for("ready API", Duration::from_secs(60), || {
            block_on(client(&self.data_dir)).map_err(|error| format!("{error}\n{}", self.process.words()))
        })
    }

    /// The end of the process at once, and another on the same data.
    pub(crate) fn kill_and_start(&mut self) {
        self.process.kill();
        self.process = control_plane(&self.data_dir, self.port, &self.log);
        self.client();
    }
}

/// Creates it unless it is there.
pub(crate) async fn create<K>(api: Api<K>, object: &K)
where
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Ok(_) => {}
        Err(error) => assert!(is_conflict(&error), "{error}"),
    }
}

/// One site, one Secret, and a machine per address.
pub(crate) async fn machines(client: &Client, rows: &[(String, String)], secret: &[(&str, &str)]) {
    let mut credentials = Secret::default();
    credentials.metadata.name = Some("bmc".to_owned());
    let data = [("username", "admin"), ("password", "secret")];
    let bytes = data.iter().chain(secret).map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec())));
    credentials.data = Some(bytes.collect());
    create(Api::namespaced(client.clone(), "muster-system"), &credentials).await;
    create(Api::all(client.clone()), &Site::new("here", muster_api::site::SiteSpec::default())).await;
    for (name, address) in rows {
        let bmc = Some(Bmc { address: address.clone(), secret_ref: "bmc".to_owned() });
        let spec = MachineSpec { site: "here".to_owned(), bmc, ..MachineSpec::default() };
        create(Api::all(client.clone()), &Machine::new(name, spec)).await;
    }
}

pub(crate) fn step(name: &str, verb: Verb, deadline: u64) -> Step {
    let boot_device = (verb == Verb::SetBootDevice).then_some(BootDevice::Pxe);
    let arguments = Arguments { boot_device, ..Arguments::default() };
    let deadline = GoDuration(Duration::from_secs(deadline));
    Step { order: Some(OrderTemplate { verb, arguments }), ..Step::new(name, Action::Order, deadline) }
}

pub(crate) async fn workflow(client: &Client, name: &str, steps: Vec<Step>) {
    let spec = WorkflowSpec { purpose: WorkflowPurpose::Repair, steps, ..WorkflowSpec::default() };
    create(Api::all(client.clone()), &Workflow::new(name, spec)).await;
}

pub(crate) async fn begin(client: &Client, name: &str, workflow: &str, machine: &str) {
    let spec = RunSpec { workflow: workflow.to_owned(), machine: machine.to_owned(), ..RunSpec::default() };
    create(Api::all(client.clone()), &Run::new(name, spec)).await;
}

/// An order as the workflow manager would write it.
pub(crate) fn order(machine: &str, verb: Verb, deadline: Duration) -> Order {
    let expires_at = SystemClock.now().checked_add(deadline).unwrap();
    let spec = OrderSpec {
        machine: machine.to_owned(),
        verb,
        arguments: Arguments::default(),
        generation: 1,
        run: "by-hand".to_owned(),
        step: format!("{}-{}", machine, verb.as_str().to_lowercase()),
        attempt: 1,
        expires_at: Some(expires_at),
    };
    Order::new(&format!("{machine}.{}", verb.as_str().to_lowercase()), spec)
}

/// The phase of every order, by name.
pub(crate) async fn phases(client: &Client) -> BTreeMap<String, muster_api::order::OrderStatus> {
    let orders = Api::<Order>::all(client.clone()).list(&kube::api::ListParams::default()).await.unwrap();
    orders.into_iter().map(|order| (order.name_any(), order.status.unwrap_or_default())).collect()
}
