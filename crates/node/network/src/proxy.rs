//! The service proxy: one nftables table, `ip muster`, kept equal to the Services and their endpoints.
//!
//! A new connection is looked up in one map by address, protocol and port; that leads to a chain which throws it into a
//! bucket (at random, or by the client's address) and looks the bucket's endpoint up in a second map. There is no chain
//! per Service, so a load is linear in the number of Services and a change costs the same at every size.
//!
//! Limits: client affinity is by hash without a timeout (it holds as long as the endpoint does); an external address
//! outside the service network whose Service has no endpoint is not refused but routed on; `127.0.0.1:NODE_PORT` is
//! not served; topology hints and `loadBalancer` addresses are ignored.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_base::error::chain;

use crate::command::{CommandError, NFT};
use crate::directory::Directory;

pub mod assign;
pub mod conntrack;
pub mod element;
pub mod listing;
pub mod plan;
pub mod ruleset;

use conntrack::Stale;
use element::{Change, Elements};
use listing::ListingError;
use plan::Here;
use ruleset::{Frame, TABLE};

/// A load of 10,000 Services takes 2.3 s on two cores.
const NFT_LIMIT: Duration = Duration::from_secs(60);

/// Why the table is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("replacing the nftables table `ip {TABLE}` by one of {elements} elements")]
    Replace {
        elements: usize,
        #[source]
        source: CommandError,
    },
    #[error("listing the nftables table `ip {TABLE}`")]
    List(#[source] CommandError),
    #[error("reading the listing of the nftables table `ip {TABLE}`")]
    Parse(#[source] ListingError),
    #[error(
        "the kernel took the table but holds something else: {missing} elements missing, {surplus} surplus; \
         another program writes to the table `ip {TABLE}`"
    )]
    Differs { missing: usize, surplus: usize },
    #[error("removing the nftables table `ip {TABLE}`")]
    Remove(#[source] CommandError),
}

/// What a pass did to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Unchanged,
    Changed { deleted: usize, added: usize },
    Replaced { elements: usize },
}

/// The table and what is known to be in it.
#[derive(Debug)]
pub struct Proxy {
    here: Here,
    frame: Frame,
    applied: Applied,
}

#[derive(Debug)]
enum Applied {
    /// The table's frame may be another program version's; its elements tell at most who owned which bucket.
    Unsure(Elements),
    Known(Elements),
}

impl Proxy {
    /// Learns from the table of a former run, if there is one, which endpoint owned which bucket.
    pub async fn open(here: Here, frame: Frame) -> Self {
        let former = match list().await {
            Ok(elements) => elements,
            Err(error) => {
                tracing::debug!(error = chain(&error), "no table of a former run to learn from");
                Elements::new()
            }
        };
        Self { here, frame, applied: Applied::Unsure(former) }
    }

    /// Makes the table equal to `directory`. The first pass replaces the table and verifies it; so does one whose
    /// transaction failed.
    pub async fn pass(&mut self, directory: &Directory) -> Result<Outcome, ProxyError> {
        let desired = plan::plan(directory, &self.here, self.applied.elements());
        let Applied::Known(applied) = &self.applied else { return self.replace(desired).await };
        let change = Change::between(applied, &desired);
        if change.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        match NFT.run(&["-f", "-"], &ruleset::incremental(&change), NFT_LIMIT).await {
            Ok(_) => {
                forget(conntrack::stale(applied, &desired)).await;
                self.applied = Applied::Known(desired);
                Ok(Outcome::Changed { deleted: change.delete.len(), added: change.add.len() })
            }
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "a change of the nftables table failed; replacing the table"
                );
                self.replace(desired).await
            }
        }
    }

    /// Looks whether the table still is what was applied; if not, the next pass replaces it.
    pub async fn verify(&mut self) -> Result<(), ProxyError> {
        let Applied::Known(applied) = &mut self.applied else { return Ok(()) };
        let verified = compare(applied).await;
        if verified.is_err() {
            self.applied = Applied::Unsure(std::mem::take(applied));
        }
        verified
    }

    async fn replace(&mut self, desired: Elements) -> Result<Outcome, ProxyError> {
        let elements = desired.len();
        let stale = conntrack::stale(self.applied.elements(), &desired);
        self.applied = Applied::Unsure(desired);
        let desired = self.applied.elements();
        NFT.run(&["-f", "-"], &ruleset::full(&self.frame, desired), NFT_LIMIT)
            .await
            .map_err(|source| ProxyError::Replace { elements, source })?;
        forget(stale).await;
        compare(desired).await?;
        self.applied = Applied::Known(std::mem::take(self.applied.elements_mut()));
        Ok(Outcome::Replaced { elements })
    }
}

impl Applied {
    fn elements(&self) -> &Elements {
        match self {
            Self::Unsure(elements) | Self::Known(elements) => elements,
        }
    }

    fn elements_mut(&mut self) -> &mut Elements {
        match self {
            Self::Unsure(elements) | Self::Known(elements) => elements,
        }
    }
}

/// Removes the table; it need not be there.
pub async fn remove() -> Result<(), ProxyError> {
    NFT.run(&["-f", "-"], &ruleset::removal(), NFT_LIMIT).await.map_err(ProxyError::Remove)?;
    Ok(())
}

/// What is left when this fails ends by itself two minutes after the client falls silent; no reason to fail the pass.
async fn forget(stale: BTreeSet<Stale>) {
    if stale.is_empty() {
        return;
    }
    match tokio::task::spawn_blocking(move || conntrack::forget(&stale)).await {
        Ok(Ok(flows)) => tracing::debug!(flows, "UDP flows to endpoints that are gone were forgotten"),
        Ok(Err(error)) => {
            tracing::warn!(error = chain(&error), "UDP flows to endpoints that are gone may remain")
        }
        Err(error) => tracing::warn!(%error, "UDP flows to endpoints that are gone may remain"),
    }
}

async fn list() -> Result<Elements, ProxyError> {
    let listing =
        NFT.run(&["-j", "list", "table", "ip", TABLE], "", NFT_LIMIT).await.map_err(ProxyError::List)?;
    listing::parse(&listing).map_err(ProxyError::Parse)
}

async fn compare(applied: &Elements) -> Result<(), ProxyError> {
    let change = Change::between(applied, &list().await?);
    if change.is_empty() {
        return Ok(());
    }
    Err(ProxyError::Differs { missing: change.delete.len(), surplus: change.add.len() })
}
