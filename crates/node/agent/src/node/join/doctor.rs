//! The credentials of this machine's doctor: asked for by the agent, and anew before they end.

use std::path::PathBuf;

use kube::Client;
use muster_base::clock::{SharedClock, elapsed};
use muster_base::error::chain;
use muster_base::task::{Kind, Tasks};
use tokio::sync::watch;

use super::renew::{RETRY, renew_at};
use super::request::{self, Outcome};
use super::{Credentials, JoinError, Whose};

/// Who the doctor is.
pub struct DoctorIdentity {
    /// The agent's.
    pub(super) client: Client,
    pub(super) server: String,
    pub(super) authority: String,
    pub(super) machine: String,
    pub(super) path: PathBuf,
    pub(super) clock: SharedClock,
}

impl DoctorIdentity {
    /// Keeps the credentials until `tasks` end. What is told counts how often they were found or made: with 0 there are
    /// none yet, and each further one calls for a doctor that reads them.
    pub fn keep(self, tasks: &Tasks) -> watch::Receiver<u64> {
        let (made, told) = watch::channel(0);
        let shutdown = tasks.shutdown_token();
        tasks.spawn(Kind::Service, "certificate of the doctor", async move {
            shutdown.run_until_cancelled(self.run(made)).await;
        });
        told
    }

    async fn run(self, made: watch::Sender<u64>) {
        // What cannot be used is made anew; it belongs to nobody else.
        let mut credentials = Credentials::load(&self.path).ok().flatten().filter(|found| self.fits(found));
        if credentials.is_some() {
            made.send_modify(|count| *count += 1);
        }
        loop {
            let now = self.clock.now();
            let due = credentials.as_ref().and_then(Credentials::validity).map_or(now, renew_at);
            let wait = elapsed(now, due);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            match self.ask().await {
                Ok(issued) => {
                    credentials = Some(issued);
                    made.send_modify(|count| *count += 1);
                }
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "the doctor has no certificate; it is asked for again"
                    );
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn fits(&self, found: &Credentials) -> bool {
        let is_over = found.validity().is_none_or(|(_, end)| end <= self.clock.now());
        (found.whose, found.machine.as_str()) == (Whose::Doctor, self.machine.as_str())
            && (&found.server, &found.authority) == (&self.server, &self.authority)
            && !is_over
    }

    async fn ask(&self) -> Result<Credentials, JoinError> {
        let asked = request::certificate(&self.client, &self.server, Whose::Doctor, &self.machine, "");
        let Outcome::Issued { certificate, key } = asked.await? else {
            return Err(JoinError::Undecided { server: self.server.clone() });
        };
        let issued = Credentials {
            server: self.server.clone(),
            authority: self.authority.clone(),
            whose: Whose::Doctor,
            machine: self.machine.clone(),
            certificate,
            key,
        };
        issued.save(&self.path)?;
        tracing::info!(machine = self.machine, "the doctor has its own certificate");
        Ok(issued)
    }
}
