//! Signs requests for client certificates that somebody approved, and clears requests away that are over.

pub(crate) mod pass;
pub mod plan;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// A request that is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The request, PEM.
    pub pem: String,
    /// Which of the cluster's signers is asked.
    pub signer: String,
    /// How long the certificate is to last; the signer has a bound of its own.
    pub lifetime: Option<Duration>,
}

type Sign = dyn Fn(&Request, Timestamp) -> Result<String, String> + Send + Sync;

/// Whoever holds the cluster's key: gives a certificate (PEM), or says why not.
#[derive(Clone)]
pub struct Signer(Arc<Sign>);

impl Signer {
    pub fn new(sign: impl Fn(&Request, Timestamp) -> Result<String, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(sign))
    }

    pub(crate) fn sign(&self, request: &Request, now: Timestamp) -> Result<String, String> {
        (self.0)(request, now)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}
