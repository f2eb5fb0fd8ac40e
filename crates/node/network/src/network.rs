//! The parts together: what the node must have, then passes that keep the table and the DNS at what the API says.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_base::error::chain;
use muster_base::task::{Kind, Tasks};
use muster_control::{Acted, Cause, Driver, Informer, Informers, Metrics, Next, Outcome, Pass, Queue};
use tokio::sync::{Mutex, watch};

use crate::config::{Config, ConfigError};
use crate::directory::Directory;
use crate::dns::server::{DnsError, Server};
use crate::dns::upstream::Upstream;
use crate::dns::zone::Zone;
use crate::host::{self, HostError, UndoError};
use crate::owned::{Effect, Record, RecordError};
use crate::proxy::plan::Here;
use crate::proxy::ruleset::Frame;
use crate::proxy::{self, Proxy, ProxyError};
use crate::view::{EndpointSlice, Service};

const NAME: &str = "network";
/// Changes that come within this time are one transaction.
const COALESCE: Duration = Duration::from_millis(20);
/// A load of 10,000 Services and its verification, twice over.
const PASS_LIMIT: Duration = Duration::from_secs(180);
/// How long the watch may lag before the sweep calls an object missed.
const GRACE: Duration = Duration::from_secs(5);

/// Why the network of the node could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<ConfigError>),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Dns(#[from] DnsError),
}

/// Why a pass is tried again.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// What could not be removed; all else was.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("{} effects on this machine could not be undone: {}", .0.len(), .0.iter().map(|e| chain(e)).collect::<Vec<_>>().join("; "))]
    Left(Vec<UndoError>),
}

/// The network of one node, made but not yet following the API.
pub struct Network {
    sweep: Duration,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    metrics: Metrics,
    node: Mutex<OnNode>,
    dns: Server,
    picture: watch::Sender<Option<Arc<Directory>>>,
    applied: watch::Sender<bool>,
}

/// Tells when Services can be reached.
#[derive(Clone, Debug)]
pub struct Handle {
    applied: watch::Receiver<bool>,
}

impl Handle {
    /// Resolves when the table was applied once; `false` when the network was shut down before.
    pub async fn ready(&mut self) -> bool {
        self.applied.wait_for(|applied| *applied).await.is_ok()
    }
}

#[derive(Debug)]
struct OnNode {
    config: Config,
    record: Record,
    proxy: Proxy,
}

/// What a pass is about. There is one table, so there are no finer keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Round {
    Change,
    Sweep,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Change => "change",
            Self::Sweep => "sweep",
        })
    }
}

impl Network {
    /// Makes what the node must have (bridge, route, sysctls, CNI file) and binds the DNS. A table of a former run stays
    /// in force until the first pass.
    ///
    /// # Errors
    /// Nothing was made when the settings are refused; otherwise what was made is in the owner record.
    pub async fn build(config: Config, informers: &Informers, metrics: Metrics) -> Result<Self, BuildError> {
        config.check().map_err(BuildError::Config)?;
        let mut record = Record::open(&config.data_dir)?;
        host::ensure(&config, &mut record).await?;
        record.add(Effect::Table)?;
        let picture = watch::Sender::new(None);
        let dns = bind_dns(&config, picture.subscribe()).await?;
        let proxy = Proxy::open(Here::of(&config), Frame::of(&config)).await;
        Ok(Self {
            sweep: config.sweep,
            services: informers.of(),
            slices: informers.of(),
            metrics,
            node: Mutex::new(OnNode { config, record, proxy }),
            dns,
            picture,
            applied: watch::Sender::new(false),
        })
    }

    /// Follows the API until `tasks` are told to stop. Then everything stays in force: traffic flows without Muster.
    pub fn run(self, tasks: &Tasks) -> Handle {
        let Self { sweep, services, slices, metrics, node, dns, picture, applied } = self;
        let handle = Handle { applied: applied.subscribe() };
        let queue = Queue::new();
        let rounds = Rounds { services: services.clone(), slices: slices.clone(), node, picture, applied };
        Driver::new(NAME, metrics).timeout(PASS_LIMIT).start(tasks, &queue, rounds);
        let token = tasks.shutdown_token();
        tasks.spawn(Kind::Service, "network watch", async move {
            token.run_until_cancelled(follow(&services, &slices, &queue, sweep)).await;
        });
        let token = tasks.shutdown_token();
        tasks.spawn(Kind::Service, "cluster DNS", async move {
            token.run_until_cancelled(dns.run()).await;
        });
        handle
    }

    /// Undoes every effect on this machine that the owner record in `data_dir` holds: table, route, address, bridge
    /// with what hangs on it, files, sysctls. Without a record there is nothing to undo.
    ///
    /// # Errors
    /// What could not be undone stays in the record, so that a second call tries it again.
    pub async fn remove(data_dir: &Path) -> Result<(), RemoveError> {
        let mut record = Record::open(data_dir)?;
        let errors = host::undo(&mut record).await;
        if errors.is_empty() { Ok(()) } else { Err(RemoveError::Left(errors)) }
    }
}

async fn bind_dns(
    config: &Config,
    picture: watch::Receiver<Option<Arc<Directory>>>,
) -> Result<Server, DnsError> {
    let dns = &config.dns;
    let zone = Zone::new(&dns.domain, dns.address, [config.cluster_cidr, config.service_cidr])
        .ok_or_else(|| DnsError::Domain { domain: dns.domain.clone() })?;
    let upstream = Upstream::new(dns.resolv_conf.clone(), vec![IpAddr::V4(dns.address)]);
    Server::bind(SocketAddr::from((dns.address, dns.port)), zone, picture, upstream).await
}

/// Nothing is planned before both lists were seen in full: half a picture would take working Services away.
async fn follow(
    services: &Informer<Service>,
    slices: &Informer<EndpointSlice>,
    queue: &Queue<Round>,
    sweep: Duration,
) {
    services.ready().await;
    slices.ready().await;
    queue.add(Round::Change, Cause::Watch);
    let changed = queue.clone();
    services.on_change(move |_| changed.add_after(Round::Change, COALESCE));
    let changed = queue.clone();
    slices.on_change(move |_| changed.add_after(Round::Change, COALESCE));
    loop {
        tokio::time::sleep(sweep).await;
        for missed in [services.missed(GRACE).await, slices.missed(GRACE).await] {
            match missed {
                Ok(missed) if missed.is_empty() => {}
                Ok(missed) => {
                    tracing::warn!(missed = missed.len(), "the sweep found objects the watch had missed")
                }
                Err(error) => tracing::warn!(error = chain(&error), "a sweep could not list"),
            }
        }
        queue.add(Round::Sweep, Cause::Sweep);
    }
}

struct Rounds {
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    /// One worker, one key at a time: never contended, it only carries the state from pass to pass.
    node: Mutex<OnNode>,
    picture: watch::Sender<Option<Arc<Directory>>>,
    applied: watch::Sender<bool>,
}

impl Pass for Rounds {
    type Key = Round;
    type Error = PassError;

    async fn pass(&self, round: &Round) -> Result<Outcome, PassError> {
        let directory = Arc::new(Directory::new(self.services.list(), self.slices.list()));
        self.picture.send_replace(Some(Arc::clone(&directory)));
        let mut node = self.node.lock().await;
        let applied = node.proxy.pass(&directory).await?;
        self.applied.send_replace(true);
        match round {
            Round::Change => Ok(outcome(applied)),
            Round::Sweep => Ok(outcome(node.sweep(&directory).await?)),
        }
    }
}

impl OnNode {
    /// Looks whether the node still is as it was made, and mends it.
    async fn sweep(&mut self, directory: &Directory) -> Result<proxy::Outcome, PassError> {
        host::ensure(&self.config, &mut self.record).await?;
        if let Err(error) = self.proxy.verify().await {
            tracing::warn!(error = chain(&error), "the nftables table is not as it was left; replacing it");
        }
        Ok(self.proxy.pass(directory).await?)
    }
}

fn outcome(applied: proxy::Outcome) -> Outcome {
    match applied {
        proxy::Outcome::Unchanged => Outcome { acted: Acted::Nothing, next: Next::Change },
        proxy::Outcome::Changed { deleted, added } => {
            tracing::debug!(deleted, added, "Services changed");
            Outcome::ACTED
        }
        proxy::Outcome::Replaced { elements } => {
            tracing::info!(elements, "the nftables table was replaced");
            Outcome::ACTED
        }
    }
}
