//! The round: look, make something of it, file.

use kube::{Api, Client};
use muster_api::Problem;
use muster_api::probe::{Readings, RuntimeState};
use muster_base::clock::SharedClock;
use muster_base::error::chain;
use muster_base::task::Tasks;
use muster_control::{explain, is_conflict};
use std::time::Duration;

use crate::config::Config;
use crate::diagnosis::{Diagnosis, Rule, Sign};
use crate::readings::{ReadingsError, Socket, Source};
use crate::report::Report;

const CONTAINERD: &str = "containerd";
const AGENT: &str = "agent";

const RULES: [Rule; 3] = [
    Rule { class: "runtime.hung", component: CONTAINERD, open_after: 3, quiet: Duration::from_secs(3) },
    Rule { class: "runtime.dead", component: CONTAINERD, open_after: 5, quiet: Duration::from_secs(3) },
    Rule { class: "agent.dead", component: AGENT, open_after: 10, quiet: Duration::from_secs(3) },
];

/// What one look means for the rule of a class.
fn sign(class: &str, seen: &Result<Readings, ReadingsError>) -> Sign {
    let readings = match seen {
        Ok(_) if class == "agent.dead" => return Sign::Good,
        Ok(readings) => readings,
        Err(error) if class == "agent.dead" => return Sign::Bad(chain(error)),
        Err(_) => return Sign::Unseen,
    };
    let Some(runtime) = &readings.runtime else { return Sign::Unseen };
    let wanted = if class == "runtime.hung" { RuntimeState::Hung } else { RuntimeState::Gone };
    match runtime.state {
        RuntimeState::Answers => Sign::Good,
        state if state == wanted => Sign::Bad(format!("{} ({} ms)", runtime.detail, runtime.took_ms)),
        RuntimeState::Hung | RuntimeState::Gone => Sign::Unseen,
    }
}

/// The doctor of one machine.
pub struct Doctor {
    config: Config,
    source: Box<dyn Source>,
    clock: SharedClock,
    cases: Vec<(Report, Diagnosis)>,
}

impl Doctor {
    /// Reads what was filed in an earlier life.
    ///
    /// # Errors
    /// Those of the read requests.
    pub async fn build(config: Config, client: Client, clock: SharedClock) -> Result<Self, kube::Error> {
        let socket = Socket { path: config.probe_socket.clone(), within: config.answer_within };
        Self::over(config, Box::new(socket), client, clock).await
    }

    /// The same over readings from elsewhere.
    ///
    /// # Errors
    /// Those of the read requests.
    pub async fn over(
        config: Config,
        source: Box<dyn Source>,
        client: Client,
        clock: SharedClock,
    ) -> Result<Self, kube::Error> {
        let api: Api<Problem> = Api::all(client);
        let mut cases = Vec::new();
        for rule in RULES {
            let mut report = Report::new(api.clone(), &config.machine, &rule, config.lease);
            let filed = report.load().await?;
            cases.push((report, Diagnosis::new(rule, filed)));
        }
        Ok(Self { config, source, clock, cases })
    }

    /// Looks and files until shutdown.
    pub async fn run(mut self, tasks: &Tasks) {
        let token = tasks.shutdown_token();
        let mut boot_id = String::new();
        loop {
            let look = self.round(&mut boot_id);
            if token.run_until_cancelled(look).await.is_none() {
                return;
            }
            if token.run_until_cancelled(tokio::time::sleep(self.config.look_every)).await.is_none() {
                return;
            }
        }
    }

    async fn round(&mut self, boot_id: &mut String) {
        let seen = self.source.readings().await;
        if let Ok(readings) = &seen {
            boot_id.clone_from(&readings.boot_id);
        }
        let now = self.clock.now();
        for (report, diagnosis) in &mut self.cases {
            diagnosis.take(&sign(diagnosis.rule.class, &seen), boot_id, now);
            match report.file(diagnosis, now).await {
                Ok(()) => {}
                Err(error) if is_conflict(&error) => {
                    tracing::debug!(
                        class = diagnosis.rule.class,
                        "a problem changed meanwhile; the next round files it"
                    );
                }
                Err(error) => tracing::warn!(
                    class = diagnosis.rule.class,
                    error = explain(&error),
                    "a problem could not be filed yet; the next round files it"
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_api::probe::RuntimeReading;

    use super::*;

    fn seen(state: RuntimeState) -> Result<Readings, ReadingsError> {
        let runtime = RuntimeReading { state, detail: "Version timed out".into(), took_ms: 2000 };
        Ok(Readings { boot_id: "b".into(), runtime: Some(runtime) })
    }

    #[test]
    fn hung_and_gone_are_told_apart_and_neither_clears_the_other() {
        let signs = |seen: &Result<Readings, ReadingsError>| RULES.map(|rule| sign(rule.class, seen));
        let bad = || Sign::Bad("Version timed out (2000 ms)".into());
        assert_eq!(signs(&seen(RuntimeState::Hung)), [bad(), Sign::Unseen, Sign::Good]);
        assert_eq!(signs(&seen(RuntimeState::Gone)), [Sign::Unseen, bad(), Sign::Good]);
        assert_eq!(signs(&seen(RuntimeState::Answers)), [Sign::Good, Sign::Good, Sign::Good]);
    }

    #[test]
    fn without_the_agent_nothing_is_said_of_the_runtime() {
        let silent = Err(ReadingsError::TooLate(Duration::from_secs(4)));
        assert_eq!(sign("runtime.hung", &silent), Sign::Unseen);
        assert_eq!(sign("agent.dead", &silent), Sign::Bad("the agent did not answer within 4s".into()));
    }
}
