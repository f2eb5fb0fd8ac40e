//! Liveness, readiness and startup: when to ask, how to count, what it means. Asking itself is in [`ask`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Probe};

use super::plan::Verdict;

mod ask;
mod tls;
pub(super) use ask::{Handler, Target, ask};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Startup,
    Liveness,
    Readiness,
}

/// One probe of one life of a container.
#[derive(Debug)]
struct Row {
    container_id: String,
    container: String,
    kind: Kind,
    probe: Probe,
    due: Timestamp,
    asking: bool,
    in_a_row: u32,
    last: Option<Answer>,
    /// What the thresholds have made of the answers.
    settled: Option<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Good,
    Bad,
}

/// A question that is due.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) container_id: String,
    pub(super) container: String,
    pub(super) kind: Kind,
    pub(super) handler: Handler,
    pub(super) limit: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Probes {
    rows: Vec<Row>,
}

fn seconds(value: Option<i32>, default: i64) -> i64 {
    value.map_or(default, i64::from).max(0)
}

fn threshold(value: Option<i32>, default: u32) -> u32 {
    value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
}

impl Probes {
    /// Follows the containers that run now: `running` holds name, id and start.
    pub(super) fn follow(&mut self, containers: &[Container], running: &[(String, String, Timestamp)]) {
        self.rows.retain(|row| running.iter().any(|(_, id, _)| *id == row.container_id));
        for (name, id, started) in running {
            if self.rows.iter().any(|row| row.container_id == *id) {
                continue;
            }
            let Some(container) = containers.iter().find(|container| container.name == *name) else {
                continue;
            };
            let probes = [
                (Kind::Startup, &container.startup_probe),
                (Kind::Liveness, &container.liveness_probe),
                (Kind::Readiness, &container.readiness_probe),
            ];
            self.rows.extend(
                probes
                    .into_iter()
                    .filter_map(|(kind, probe)| Some(row(id, name, kind, probe.as_ref()?, *started))),
            );
        }
    }

    fn row(&self, id: &str, kind: Kind) -> Option<&Row> {
        self.rows.iter().find(|row| row.container_id == id && row.kind == kind)
    }

    /// Startup has succeeded, or there is no such probe.
    pub(super) fn started(&self, id: &str) -> bool {
        self.row(id, Kind::Startup).is_none_or(|row| row.settled == Some(Answer::Good))
    }

    pub(super) fn ready(&self, id: &str) -> bool {
        self.started(id) && self.row(id, Kind::Readiness).is_none_or(|row| row.settled == Some(Answer::Good))
    }

    pub(super) fn verdict(&self, id: &str) -> Verdict {
        let bad = |kind| self.row(id, kind).is_some_and(|row| row.settled == Some(Answer::Bad));
        if bad(Kind::Liveness) || bad(Kind::Startup) {
            Verdict::Unhealthy
        } else if self.started(id) {
            Verdict::Fine
        } else {
            Verdict::Starting
        }
    }

    /// The grace a failed probe leaves its container, if it says so itself.
    pub(super) fn grace(&self, id: &str) -> Option<Duration> {
        let failed =
            self.rows.iter().find(|row| row.container_id == id && row.settled == Some(Answer::Bad))?;
        let seconds = failed.probe.termination_grace_period_seconds?;
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }

    fn waits(&self, row: &Row) -> bool {
        match row.kind {
            Kind::Startup => row.settled.is_some(),
            Kind::Liveness | Kind::Readiness => !self.started(&row.container_id),
        }
    }

    /// When the next question is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.rows.iter().filter(|row| !row.asking && !self.waits(row)).map(|row| row.due).min()
    }

    /// Takes the questions that are due.
    pub(super) fn take_due(&mut self, containers: &[Container], now: Timestamp) -> Vec<Question> {
        let due: Vec<usize> = (0..self.rows.len())
            .filter(|at| {
                let row = &self.rows[*at];
                !row.asking && row.due <= now && !self.waits(row)
            })
            .collect();
        let mut questions = Vec::new();
        for at in due {
            let row = &mut self.rows[at];
            row.asking = true;
            let owner = containers.iter().find(|container| container.name == row.container);
            let Some(owner) = owner else { continue };
            questions.push(Question {
                container_id: row.container_id.clone(),
                container: owner.name.clone(),
                kind: row.kind,
                handler: Handler::of_probe(&row.probe, owner),
                limit: Duration::from_secs(seconds(row.probe.timeout_seconds, 1).max(1).unsigned_abs()),
            });
        }
        questions
    }

    /// Counts an answer. True if something changed by it.
    pub(super) fn record(&mut self, id: &str, kind: Kind, answer: Answer, now: Timestamp) -> bool {
        let Some(row) = self.rows.iter_mut().find(|row| row.container_id == id && row.kind == kind) else {
            return false;
        };
        row.asking = false;
        row.due = now + SignedDuration::from_secs(seconds(row.probe.period_seconds, 10).max(1));
        row.in_a_row = if row.last == Some(answer) { row.in_a_row + 1 } else { 1 };
        row.last = Some(answer);
        let needed = match answer {
            Answer::Good => threshold(row.probe.success_threshold, 1),
            Answer::Bad => threshold(row.probe.failure_threshold, 3),
        };
        if row.in_a_row < needed || row.settled == Some(answer) {
            return false;
        }
        row.settled = Some(answer);
        true
    }
}

fn row(id: &str, container: &str, kind: Kind, probe: &Probe, started: Timestamp) -> Row {
    let delay = SignedDuration::from_secs(seconds(probe.initial_delay_seconds, 0));
    Row {
        container_id: id.to_owned(),
        container: container.to_owned(),
        kind,
        probe: probe.clone(),
        due: started + delay,
        asking: false,
        in_a_row: 0,
        last: None,
        settled: None,
    }
}

#[cfg(test)]
mod tests;
