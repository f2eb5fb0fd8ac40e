//! Asking the API itself, right before an act.

use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, Client};
use muster_api::Machine;
use muster_api::pause::Pause;
use muster_base::clock::SharedClock;

use crate::{Act, Hold, holds};

/// An answer is no older than this when it is given. With the time an actor takes to begin, a pause holds within 1 s.
pub const ASKED_WITHIN: Duration = Duration::from_millis(500);

/// Why it is not known whether something may begin; then it may not.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The API did not answer the question.
    #[error("cannot ask whether machine {machine} is to be left alone: nothing is begun")]
    Api {
        /// The machine.
        machine: String,
        /// The API's answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The answer took too long to be worth anything.
    #[error(
        "the API did not say within {ASKED_WITHIN:?} whether machine {machine} is to be left alone: nothing is begun"
    )]
    Late {
        /// The machine.
        machine: String,
    },
}

/// Asks whether a machine may be acted upon. Cheap to clone.
#[derive(Clone)]
pub struct Brake {
    client: Client,
    clock: SharedClock,
}

impl Brake {
    /// Asks under the identity of `client`, which must be able to list Pauses and get Machines.
    pub fn new(client: Client, clock: SharedClock) -> Self {
        Self { client, clock }
    }

    /// What holds back `act` on `machine` at this moment; `None` lets it begin.
    ///
    /// # Errors
    /// It is not known: the caller must not begin.
    pub async fn ask(&self, machine: &str, act: Act) -> Result<Option<Hold>, AskError> {
        let failed = |source| AskError::Api { machine: machine.to_owned(), source: Box::new(source) };
        let pauses: Api<Pause> = Api::all(self.client.clone());
        let machines: Api<Machine> = Api::all(self.client.clone());
        let everything = ListParams::default();
        let both = async { tokio::join!(pauses.list(&everything), machines.get_opt(machine)) };
        let Ok((pauses, found)) = tokio::time::timeout(ASKED_WITHIN, both).await else {
            return Err(AskError::Late { machine: machine.to_owned() });
        };
        let (pauses, found) = (pauses.map_err(failed)?, found.map_err(failed)?);
        Ok(holds(found.as_ref(), pauses.items, self.clock.now()).on(act).cloned())
    }
}
