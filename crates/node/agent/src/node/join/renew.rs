//! A client whose certificate is renewed before it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use muster_base::clock::{SharedClock, elapsed};
use muster_base::error::chain;
use muster_base::task::{Kind, Tasks};
use parking_lot::RwLock;

use super::request::{self, Outcome};
use super::{Credentials, DoctorIdentity, JoinError, Whose};

/// Rest after a renewal that did not succeed.
pub(super) const RETRY: Duration = Duration::from_secs(60);
/// The part of a certificate's life after which it is renewed, in tenths.
const RENEW_AFTER_TENTHS: i64 = 7;

/// When a certificate is to be renewed.
pub(super) fn renew_at((begin, end): (Timestamp, Timestamp)) -> Timestamp {
    let life = end.as_second() - begin.as_second();
    Timestamp::from_second(begin.as_second() + life / 10 * RENEW_AFTER_TENTHS).unwrap_or(begin)
}

/// Credentials in use.
pub struct Connection {
    credentials: Credentials,
    path: PathBuf,
    current: Arc<RwLock<Client>>,
    clock: SharedClock,
}

impl Connection {
    /// # Errors
    /// No client can be built from the credentials.
    pub async fn open(
        credentials: Credentials,
        path: PathBuf,
        clock: SharedClock,
    ) -> Result<Self, JoinError> {
        let current = Arc::new(RwLock::new(credentials.client().await?));
        Ok(Self { credentials, path, current, clock })
    }

    /// A client that always uses the newest certificate.
    pub fn client(&self) -> Client {
        let current = Arc::clone(&self.current);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let client = current.read().clone();
            async move { client.send(request).await }
        });
        Client::new(service, "default")
    }

    /// The identity of this machine's doctor, which is kept at `path`.
    pub fn doctor(&self, path: PathBuf) -> DoctorIdentity {
        let Credentials { server, authority, machine, .. } = &self.credentials;
        DoctorIdentity {
            client: self.client(),
            server: server.clone(),
            authority: authority.clone(),
            machine: machine.clone(),
            path,
            clock: SharedClock::clone(&self.clock),
        }
    }

    /// Renews until `tasks` end.
    pub fn keep(self, tasks: &Tasks) {
        let shutdown = tasks.shutdown_token();
        tasks.spawn(Kind::Service, "certificate", async move {
            shutdown.run_until_cancelled(self.run()).await;
        });
    }

    async fn run(mut self) {
        loop {
            let now = self.clock.now();
            let due = self.credentials.validity().map_or(now, renew_at);
            let wait = elapsed(now, due);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            if let Err(error) = self.renew().await {
                let error = chain(&error);
                tracing::warn!(error, "the agent's certificate was not renewed and is tried again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn renew(&mut self) -> Result<(), JoinError> {
        let Credentials { server, machine, .. } = self.credentials.clone();
        let outcome = request::certificate(&self.client(), &server, Whose::Agent, &machine, "").await?;
        let Outcome::Issued { certificate, key } = outcome else {
            return Err(JoinError::Undecided { server });
        };
        let renewed = Credentials { certificate, key, ..self.credentials.clone() };
        let client = renewed.client().await?;
        renewed.save(&self.path)?;
        *self.current.write() = client;
        self.credentials = renewed;
        tracing::info!(machine, "the agent's certificate was renewed");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_well_before_it_ends() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(renew_at((at(1000), at(2000))), at(1700));
        assert_eq!(renew_at((at(1000), at(1000))), at(1000));
    }
}
