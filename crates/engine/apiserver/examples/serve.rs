//! The API server alone, in memory: `cargo run --example serve -- DIRECTORY ADDRESS`, then
//! `kubectl --kubeconfig DIRECTORY/kubeconfig …`. For tries with real clients; Muster itself wires the same parts.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_apiserver::pki::{Pki, ServingNames};
use muster_apiserver::{ApiServer, Config, Identity, Metrics, NoNodes, Parts};
use muster_base::clock::{Clock, SystemClock};
use muster_base::task::Tasks;
use muster_store::{Limits, Store};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("usage: serve DIRECTORY ADDRESS")?);
    let address: SocketAddr = arguments.next().ok_or("usage: serve DIRECTORY ADDRESS")?.parse()?;
    let clock = Arc::new(SystemClock);
    let config = Config::new(address);
    let names = ServingNames { dns: Vec::new(), addresses: config.serving_addresses() };
    let pki = Pki::open(&directory.join("pki"), &names, clock.now())?;
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let registry = Mutex::new(registry);
    let exposition = move || {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &registry.lock()) {
            Ok(()) => text,
            Err(error) => error.to_string(),
        }
    };
    let tasks = Tasks::new();
    let parts = Parts {
        clock: clock.clone(),
        tasks: tasks.clone(),
        signing_key: pki.signing_key()?,
        authority_pem: pki.authority_pem().to_owned(),
        front_proxy: pki.front_proxy(clock.now())?,
        metrics,
        exposition: Arc::new(exposition),
        dialer: Arc::new(NoNodes),
    };
    let server = ApiServer::build(config, Store::in_memory(Limits::default()), parts).await?;
    let admin = Identity::new("admin", &["system:masters"]);
    pki.write_kubeconfig(&directory.join("kubeconfig"), &format!("https://{address}"), &admin, clock.now())?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    let serving = server.run(listener, pki.tls()?, tasks.shutdown_token());
    tokio::select! {
        ended = serving => ended?,
        signal = tokio::signal::ctrl_c() => signal?,
    }
    tasks.drain(Duration::from_secs(5)).await?;
    Ok(())
}
