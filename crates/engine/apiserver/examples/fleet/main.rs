//! A fleet in one store, without sockets and without controllers: what it costs to load it, to keep it, to start with it.
//! `cargo run --release --example fleet -- load COUNT DIRECTORY` creates COUNT machines and their inventories by the bulk
//! verb; `… open DIRECTORY`, a process of its own, starts with them, reads and updates. One line per figure.
#![expect(clippy::print_stdout, reason = "a measuring program prints its figures")]

mod load;
mod process;
mod records;
mod serve;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_apiserver::pki::{Pki, ServingNames};
use muster_apiserver::{ApiServer, Config, Identity, InProcess, Metrics, NoNodes, Object, Parts};
use muster_base::clock::{Clock, SystemClock};
use muster_base::task::Tasks;
use muster_store::{Recovery, Store};
use prometheus_client::registry::Registry;

const USAGE: &str = "usage: fleet load COUNT DIRECTORY, or fleet open DIRECTORY";
const MACHINES: &str = "/apis/muster.dev/v1alpha1/machines";
const INVENTORIES: &str = "/apis/muster.dev/v1alpha1/inventories";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["load", count, directory] => load::run(count.parse()?, directory.into()).await,
        ["open", directory] => serve::run(directory.into()).await,
        _ => Err(USAGE.into()),
    }
}

/// A whole API server on a store in a directory.
struct World {
    server: ApiServer,
    service: InProcess,
    recovery: Recovery,
    tasks: Tasks,
}

impl World {
    async fn open(directory: PathBuf) -> Result<Self, Box<dyn Error>> {
        let (store, recovery) = Store::open(muster_store::Config::new(directory.join("store")))?;
        let tasks = Tasks::new();
        let server = Self::server(directory, store, &tasks).await?;
        let service = InProcess::new(server.clone(), Identity::new("admin", &["system:masters"]));
        Ok(Self { server, service, recovery, tasks })
    }

    async fn server(
        directory: PathBuf,
        store: Store<Object>,
        tasks: &Tasks,
    ) -> Result<ApiServer, Box<dyn Error>> {
        let clock = Arc::new(SystemClock);
        let config = Config::new(([127, 0, 0, 1], 6443).into());
        let names = ServingNames { dns: Vec::new(), addresses: config.serving_addresses() };
        let pki = Pki::open(&directory.join("pki"), &names, clock.now())?;
        let parts = Parts {
            clock: clock.clone(),
            tasks: tasks.clone(),
            signing_key: pki.signing_key()?,
            authority_pem: pki.authority_pem().to_owned(),
            front_proxy: pki.front_proxy(clock.now())?,
            metrics: Metrics::register(&mut Registry::default()),
            exposition: Arc::new(String::new),
            dialer: Arc::new(NoNodes),
        };
        Ok(ApiServer::build(config, store, parts).await?)
    }

    async fn close(self) -> Result<(), Box<dyn Error>> {
        self.tasks.drain(Duration::from_secs(10)).await?;
        self.server.store().clone().close().await;
        Ok(())
    }
}
