//! The container runtime and the agent, as the agent's socket shows them.

use std::sync::{Arc, LazyLock};

use muster_api::probe::{Readings, RuntimeState};
use muster_base::error::chain;

use crate::readings::ReadingsError;
use crate::rule::{Finding, Look, Rest, Rule, Sign};

const SOURCE: &str = "agent";
const CONTAINERD: &str = "containerd";
const AGENT: &str = "agent";

static HUNG: LazyLock<Arc<Rule>> =
    LazyLock::new(|| Rule::level(SOURCE, "runtime-hung", "runtime.hung", 3, 3));
static DEAD: LazyLock<Arc<Rule>> =
    LazyLock::new(|| Rule::level(SOURCE, "runtime-dead", "runtime.dead", 5, 3));
static SILENT: LazyLock<Arc<Rule>> = LazyLock::new(|| Rule::level(SOURCE, "agent-dead", "agent.dead", 10, 3));

/// What may be found here.
pub(crate) fn rules() -> Vec<Arc<Rule>> {
    [&HUNG, &DEAD, &SILENT].map(|rule| Arc::clone(rule)).into()
}

/// What one answer of the agent, or its absence, means.
pub(crate) fn look(seen: &Result<Readings, ReadingsError>) -> Look {
    let silence = match seen {
        Ok(_) => Sign::Good,
        Err(error) if error.is_blindness() => Sign::Unseen,
        Err(error) => Sign::Bad(chain(error)),
    };
    let found = vec![
        Finding::new(&HUNG, CONTAINERD, runtime(seen, RuntimeState::Hung)),
        Finding::new(&DEAD, CONTAINERD, runtime(seen, RuntimeState::Gone)),
        Finding::new(&SILENT, AGENT, silence),
    ];
    Look { source: SOURCE, found, rest: Rest::Unseen }
}

fn runtime(seen: &Result<Readings, ReadingsError>, wanted: RuntimeState) -> Sign {
    let Ok(Readings { runtime: Some(runtime), .. }) = seen else { return Sign::Unseen };
    match runtime.state {
        RuntimeState::Answers => Sign::Good,
        state if state == wanted => Sign::Bad(format!("{} ({} ms)", runtime.detail, runtime.took_ms)),
        RuntimeState::Hung | RuntimeState::Gone => Sign::Unseen,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_api::probe::RuntimeReading;

    use super::*;

    fn seen(state: RuntimeState) -> Result<Readings, ReadingsError> {
        let runtime = RuntimeReading { state, detail: "Version timed out".into(), took_ms: 2000 };
        Ok(Readings { boot_id: "b".into(), runtime: Some(runtime), ..Readings::default() })
    }

    fn signs(seen: &Result<Readings, ReadingsError>) -> Vec<Sign> {
        look(seen).found.into_iter().map(|finding| finding.sign).collect()
    }

    #[test]
    fn hung_and_gone_are_told_apart_and_neither_clears_the_other() {
        let bad = || Sign::Bad("Version timed out (2000 ms)".into());
        assert_eq!(signs(&seen(RuntimeState::Hung)), [bad(), Sign::Unseen, Sign::Good]);
        assert_eq!(signs(&seen(RuntimeState::Gone)), [Sign::Unseen, bad(), Sign::Good]);
        assert_eq!(signs(&seen(RuntimeState::Answers)), [Sign::Good, Sign::Good, Sign::Good]);
    }

    #[test]
    fn without_the_agent_nothing_is_said_of_the_runtime() {
        let silent = Err(ReadingsError::TooLate(Duration::from_secs(4)));
        let bad = Sign::Bad("the agent did not answer within 4s".into());
        assert_eq!(signs(&silent), [Sign::Unseen, Sign::Unseen, bad]);
    }

    #[test]
    fn a_socket_that_may_not_be_used_says_nothing_of_the_agent() {
        let refused = |kind: std::io::ErrorKind| {
            Err(ReadingsError::Connect { path: "probe.sock".into(), source: kind.into() })
        };
        let blind = signs(&refused(std::io::ErrorKind::PermissionDenied));
        assert_eq!(blind, [Sign::Unseen, Sign::Unseen, Sign::Unseen]);
        let dead = signs(&refused(std::io::ErrorKind::ConnectionRefused));
        assert_eq!(
            dead.last(),
            Some(&Sign::Bad("the agent takes no connection on probe.sock: connection refused".into()))
        );
    }
}
