//! The server as a value: built once, then answering requests from sockets and from within the process alike.

mod body;
mod config;
mod dialer;
mod handle;
mod in_process;
mod listener;
mod metrics;
mod plain;
mod registry;
mod reply;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_base::clock::SharedClock;
use muster_base::task::Tasks;
use muster_store::Store;

pub use body::ReplyBody;
pub use config::Config;
pub use dialer::{
    AgentDialer, ByteStream, DialError, Follow as FollowLog, LogOptions, NoNodes, NodeDialer, Previous,
    Timestamps,
};
pub use in_process::InProcess;
pub use listener::{ListenError, Tls};
pub(crate) use metrics::Running;
pub use metrics::{EXPOSITION_TYPE, Metrics};
pub(crate) use registry::{Origin, Registry, Served};
pub(crate) use reply::{Reply, document, metadata_document, object, raw};

use crate::authn::{SigningKey, Tokens};
use crate::authz::Authorizer;
use crate::bootstrap::{self, BootstrapError};
use crate::object::{Follow, Object};

/// What the server is made of besides its settings and its store.
pub struct Parts {
    /// Where time comes from.
    pub clock: SharedClock,
    /// Where its background work runs; draining them ends it.
    pub tasks: Tasks,
    /// Signs service-account tokens.
    pub signing_key: SigningKey,
    /// The certificate authority's certificate, for `kube-root-ca.crt`.
    pub authority_pem: String,
    /// Vouches for this server towards servers behind it.
    pub front_proxy: crate::pki::FrontProxy,
    /// The server's own counters.
    pub metrics: Metrics,
    /// Renders `/metrics` of the whole program.
    pub exposition: Arc<dyn Fn() -> String + Send + Sync>,
    /// Reaches the agents of nodes.
    pub dialer: Arc<dyn NodeDialer>,
}

/// The API server. Cheap to clone.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store<Object>,
    pub(crate) clock: SharedClock,
    pub(crate) tasks: Tasks,
    pub(crate) authorizer: Authorizer,
    pub(crate) tokens: Tokens,
    pub(crate) registry: Follow<Registry>,
    pub(crate) addresses: Follow<crate::admission::Addresses>,
    pub(crate) webhooks: Follow<crate::extend::webhooks::Webhooks>,
    pub(crate) aggregates: crate::extend::aggregation::Aggregates,
    pub(crate) moments: crate::rest::Moments,
    pub(crate) front_proxy: crate::pki::FrontProxy,
    pub(crate) allocation: Arc<tokio::sync::Mutex<()>>,
    pub(crate) metrics: Metrics,
    pub(crate) exposition: Arc<dyn Fn() -> String + Send + Sync>,
    pub(crate) dialer: Arc<dyn NodeDialer>,
    pub(crate) authority_pem: String,
    ready: AtomicBool,
}

impl ApiServer {
    /// Builds the server on a store and creates what every cluster has (namespaces, roles, priority classes, the
    /// `kubernetes` Service) where it is missing.
    pub async fn build(config: Config, store: Store<Object>, parts: Parts) -> Result<Self, BootstrapError> {
        let issuer = config.issuer.clone();
        let tokens = Tokens::new(parts.signing_key, issuer, Arc::clone(&parts.clock), store.clone());
        let inner = Inner {
            authorizer: Authorizer::new(store.clone()),
            tokens,
            registry: Follow::new(store.clone(), registry::FOLLOWED, Registry::builtin()),
            addresses: Follow::new(
                store.clone(),
                crate::admission::Addresses::FOLLOWED,
                crate::admission::Addresses::default(),
            ),
            webhooks: Follow::new(
                store.clone(),
                crate::extend::webhooks::Webhooks::FOLLOWED,
                crate::extend::webhooks::Webhooks::default(),
            ),
            aggregates: crate::extend::aggregation::Aggregates::new(&store),
            moments: crate::rest::Moments::default(),
            front_proxy: parts.front_proxy,
            allocation: Arc::default(),
            clock: parts.clock,
            tasks: parts.tasks,
            metrics: parts.metrics,
            exposition: parts.exposition,
            dialer: parts.dialer,
            authority_pem: parts.authority_pem,
            ready: AtomicBool::new(false),
            config,
            store,
        };
        let server = Self(Arc::new(inner));
        bootstrap::ensure(&server).await?;
        crate::extend::custom::start(&server);
        crate::extend::aggregation::start(&server);
        bootstrap::start_event_expiry(&server);
        server.0.ready.store(true, Ordering::Release);
        Ok(server)
    }

    /// The store behind it.
    pub fn store(&self) -> &Store<Object> {
        &self.0.store
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire) && !self.0.tasks.shutdown_token().is_cancelled()
    }
}
