//! What is counted of repairs: how problems end, how long that takes, and why nothing is done.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_api::condition::{self, Status};
use muster_api::problem::canary::is_canary;
use muster_api::problem::{EpisodeKey, State};
use muster_api::repair::RungAction;
use muster_api::workflow::{Run, RunPhase};
use muster_api::{Machine, Problem};
use muster_base::clock::elapsed;
use muster_control::Change;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::climb::Tried;
use crate::start::plan::REPAIR;

/// Words of one label that are told apart; what comes after them is `other`.
const WORDS_MAX: usize = 128;
/// Seconds.
const BUCKETS: [f64; 12] =
    [0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4.0 * 3600.0, 12.0 * 3600.0, 86400.0, 7.0 * 86400.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClass {
    class: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Closed {
    class: String,
    site: String,
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Done {
    class: String,
    model: String,
    action: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: String,
}

#[derive(Clone, Copy, Debug)]
struct Times;

impl MetricConstructor<Histogram> for Times {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// Counters of repairs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    closed: Family<Closed, Counter>,
    detected_in: Family<OfClass, Histogram, Times>,
    repaired_in: Family<OfClass, Histogram, Times>,
    done: Family<Done, Counter>,
    held: Family<Why, Gauge>,
    words: Arc<Mutex<[BTreeSet<String>; 4]>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            closed: Family::default(),
            detected_in: Family::new_with_constructor(Times),
            repaired_in: Family::new_with_constructor(Times),
            done: Family::default(),
            held: Family::default(),
            words: Arc::default(),
        }
    }
}

/// Which label a word is of.
#[derive(Clone, Copy)]
enum Label {
    Class,
    Site,
    Model,
    Reason,
}

impl Metrics {
    /// Counters that show in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "muster_problems_closed",
            "Problems that cleared: by themselves, by software, or after a person was told",
            metrics.closed.clone(),
        );
        registry.register(
            "muster_problem_detection_seconds",
            "From the first evidence of a problem to its opening",
            metrics.detected_in.clone(),
        );
        registry.register(
            "muster_problem_repair_seconds",
            "From the opening of a problem to its clearing, of those that no person was told of",
            metrics.repaired_in.clone(),
        );
        registry.register(
            "muster_repairs",
            "Runs of repair that ended, by rung and result",
            metrics.done.clone(),
        );
        registry.register(
            "muster_repairs_held",
            "Machines for which nothing is done, by the reason that their condition Repair gives",
            metrics.held.clone(),
        );
        metrics
    }

    fn word(&self, label: Label, word: &str) -> String {
        let words = &mut self.words.lock()[label as usize];
        if !words.contains(word) && words.len() < WORDS_MAX {
            words.insert(word.to_owned());
        }
        if words.contains(word) { word.to_owned() } else { "other".to_owned() }
    }

    /// A problem was seen to change; `tried` is what was done for it, `site` where its machine is.
    pub(crate) fn problem(&self, change: &Change<Problem>, site: &str, tried: &[Tried]) {
        let (Some(old), Some(new)) = (&change.old, &change.new) else { return };
        let (Some(before), Some(now)) = (&old.status, &new.status) else { return };
        let is_same = old.metadata.uid == new.metadata.uid;
        if !is_same || before.state == now.state || new.spec.machine.is_empty() || is_canary(&new.spec) {
            return;
        }
        let class = || OfClass { class: self.word(Label::Class, &new.spec.class) };
        let opened = now.opened_at;
        match now.state {
            State::Open if before.opened_at != opened => {
                if let (Some(seen), Some(opened)) = (now.first_seen, opened) {
                    let took = elapsed(seen, opened).as_secs_f64();
                    self.detected_in.get_or_create(&class()).observe(took);
                }
            }
            State::Clear if matches!(before.state, State::Open | State::Unknown) => {
                let by = closed_by(tried, EpisodeKey::of(new));
                let site = self.word(Label::Site, site);
                self.closed.get_or_create(&Closed { class: class().class, site, by }).inc();
                if let (Some(opened), Some(cleared)) = (opened, now.cleared_at)
                    && by != PERSON
                {
                    let took = elapsed(opened, cleared).as_secs_f64();
                    self.repaired_in.get_or_create(&class()).observe(took);
                }
            }
            State::Open | State::Suspect | State::Unknown | State::Clear => {}
        }
    }

    /// A run was seen to change.
    pub(crate) fn run(&self, change: &Change<Run>) {
        let phase = |run: &Option<Arc<Run>>| run.as_ref()?.status.as_ref().map(|status| status.phase);
        let (before, now) = (phase(&change.old), phase(&change.new));
        let (Some(new), Some(now), Some(_)) = (&change.new, now, &change.old) else { return };
        let Some(rung) = &new.spec.repair else { return };
        if before == Some(now) || !now.is_final() {
            return;
        }
        let done = Done {
            class: self.word(Label::Class, &rung.class),
            model: self.word(Label::Model, &rung.model),
            action: rung.action.as_str(),
            result: result(now),
        };
        self.done.get_or_create(&done).inc();
    }

    /// A machine was seen to change.
    pub(crate) fn machine(&self, change: &Change<Machine>) {
        let why = |machine: &Option<Arc<Machine>>| {
            let status = machine.as_ref()?.status.as_ref()?;
            let told = condition::find(&status.conditions, REPAIR)?;
            (told.status == Status::False && told.reason != "NoProblem").then(|| told.reason.clone())
        };
        let (before, now) = (why(&change.old), why(&change.new));
        if before == now {
            return;
        }
        for (reason, by) in [(before, -1), (now, 1)] {
            if let Some(reason) = reason {
                let reason = self.word(Label::Reason, &reason);
                self.held.get_or_create(&Why { reason }).inc_by(by);
            }
        }
    }
}

const PERSON: &str = "person";

fn closed_by(tried: &[Tried], episode: EpisodeKey) -> &'static str {
    // A problem clears while its repair still watches the machine.
    let mut of_this = tried.iter().filter(|one| one.episode == episode && one.acted).peekable();
    if of_this.peek().is_none() {
        "itself"
    } else if of_this.any(|one| one.rung.action == RungAction::Quarantine || one.rung.confirm) {
        PERSON
    } else {
        "software"
    }
}

const fn result(phase: RunPhase) -> &'static str {
    match phase {
        RunPhase::Succeeded => "succeeded",
        RunPhase::Failed => "failed",
        RunPhase::Ambiguous => "ambiguous",
        RunPhase::Cancelled => "cancelled",
        RunPhase::Undone => "undone",
        RunPhase::Pending | RunPhase::Running | RunPhase::Paused => "under way",
    }
}
