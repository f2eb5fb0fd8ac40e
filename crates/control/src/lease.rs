//! One leader among several processes, by a `coordination.k8s.io/v1` Lease.
//!
//! As in client-go, a holder counts as gone when its lease has not changed for the lease duration *as measured here*;
//! clocks of different machines are never compared.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use muster_base::clock::SharedClock;
use muster_base::task::Tasks;
use tokio::time::Instant;

use crate::{is_conflict, is_not_found};

/// Who competes for what.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Unique name of this process.
    pub identity: String,
    /// A holder that has not renewed for so long is gone.
    pub duration: Duration,
    /// How often the holder renews, and others look.
    pub renew_every: Duration,
}

/// How a leadership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// The process is shutting down; the lease was given back.
    Released,
    /// The lease could not be renewed in time, or somebody else has it.
    Lost,
}

struct Seen {
    version: String,
    at: Instant,
}

/// Waits for leadership, starts `lead`, and holds the lease until shutdown or loss.
///
/// `lead` starts the controllers and returns. On [`Leadership::Lost`] the caller must end the process or its
/// controllers at once: another leader may be active.
pub async fn lead<F>(
    client: &Client,
    config: &LeaseConfig,
    clock: &SharedClock,
    tasks: &Tasks,
    lead: impl FnOnce() -> F + Send,
) -> Leadership
where
    F: Future<Output = ()> + Send,
{
    let api: Api<Lease> = Api::namespaced(client.clone(), &config.namespace);
    let token = tasks.shutdown_token();
    let mut seen = None;
    loop {
        let held = match token.run_until_cancelled(try_acquire(&api, config, clock, &mut seen)).await {
            Some(Ok(held)) => held,
            Some(Err(error)) => {
                tracing::warn!(
                    lease = config.name,
                    error = crate::explain(&error),
                    "the leader lease could not be read"
                );
                false
            }
            None => return Leadership::Released,
        };
        if held {
            break;
        }
        if token.run_until_cancelled(tokio::time::sleep(config.renew_every)).await.is_none() {
            return Leadership::Released;
        }
    }
    tracing::info!(lease = config.name, identity = config.identity, "leadership was taken");
    lead().await;
    hold(&api, config, clock, tasks).await
}

async fn hold(api: &Api<Lease>, config: &LeaseConfig, clock: &SharedClock, tasks: &Tasks) -> Leadership {
    let token = tasks.shutdown_token();
    let mut renewed = Instant::now();
    let mut seen = None;
    while token.run_until_cancelled(tokio::time::sleep(config.renew_every)).await.is_some() {
        let left = config.duration.saturating_sub(renewed.elapsed());
        match tokio::time::timeout(left, try_acquire(api, config, clock, &mut seen)).await {
            Ok(Ok(true)) => renewed = Instant::now(),
            Ok(Ok(false)) | Err(_) => return Leadership::Lost,
            Ok(Err(error)) => {
                tracing::warn!(
                    lease = config.name,
                    error = crate::explain(&error),
                    "the leader lease could not be renewed"
                );
                if renewed.elapsed() >= config.duration {
                    return Leadership::Lost;
                }
            }
        }
    }
    if let Err(error) = release(api, config).await {
        tracing::warn!(
            lease = config.name,
            error = crate::explain(&error),
            "the leader lease could not be given back"
        );
    }
    Leadership::Released
}

/// Takes or renews the lease; `false` where somebody else has it.
async fn try_acquire(
    api: &Api<Lease>,
    config: &LeaseConfig,
    clock: &SharedClock,
    seen: &mut Option<Seen>,
) -> Result<bool, kube::Error> {
    let now = MicroTime(clock.now());
    let written = match api.get(&config.name).await {
        Ok(lease) => {
            if !is_free(&lease, config, seen) {
                return Ok(false);
            }
            api.replace(&config.name, &PostParams::default(), &taken(lease, config, &now)).await
        }
        Err(error) if is_not_found(&error) => {
            let metadata = ObjectMeta { name: Some(config.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, ..Lease::default() };
            api.create(&PostParams::default(), &taken(lease, config, &now)).await
        }
        Err(error) => Err(error),
    };
    match written {
        Ok(_) => Ok(true),
        Err(error) if is_conflict(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_free(lease: &Lease, config: &LeaseConfig, seen: &mut Option<Seen>) -> bool {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or("");
    if holder.is_empty() || holder == config.identity {
        return true;
    }
    let version = lease.metadata.resource_version.clone().unwrap_or_default();
    match seen {
        Some(last) if last.version == version => last.at.elapsed() >= config.duration,
        _ => {
            *seen = Some(Seen { version, at: Instant::now() });
            false
        }
    }
}

fn taken(mut lease: Lease, config: &LeaseConfig, now: &MicroTime) -> Lease {
    let old = lease.spec.take().unwrap_or_default();
    let mine = old.holder_identity.as_deref() == Some(&config.identity);
    let transitions = old.lease_transitions.unwrap_or(0);
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(config.identity.clone()),
        lease_duration_seconds: i32::try_from(config.duration.as_secs().max(1)).ok(),
        acquire_time: if mine { old.acquire_time } else { Some(now.clone()) },
        renew_time: Some(now.clone()),
        lease_transitions: Some(if mine { transitions } else { transitions + 1 }),
        ..old
    });
    lease
}

async fn release(api: &Api<Lease>, config: &LeaseConfig) -> Result<(), kube::Error> {
    let mut lease = api.get(&config.name).await?;
    let Some(spec) = &mut lease.spec else { return Ok(()) };
    if spec.holder_identity.as_deref() != Some(&config.identity) {
        return Ok(());
    }
    spec.holder_identity = Some(String::new());
    api.replace(&config.name, &PostParams::default(), &lease).await.map(|_| ())
}
