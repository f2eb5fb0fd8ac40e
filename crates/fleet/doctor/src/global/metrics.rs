//! What the global doctor counts: every Problem that opens or ends, whoever filed it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_api::Problem;
use muster_api::problem::{State, SuspectKind};
use muster_control::{Change, Informer};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Classes that are counted by name; a doctor that invents more has them counted as `other`.
const CLASSES_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Class {
    class: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Suspected {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSite {
    site: String,
}

/// Seconds.
const ANSWERED_WITHIN: [f64; 9] = [0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3600.0];

/// Counters of Problems. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    opened: Family<Class, Counter>,
    cleared: Family<Class, Counter>,
    unknown: Family<Class, Counter>,
    parents: Family<Suspected, Gauge>,
    classes: Arc<Mutex<BTreeSet<String>>>,
    answered: Histogram,
    answered_last: Family<OfSite, Gauge>,
    late: Family<OfSite, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            opened: Family::default(),
            cleared: Family::default(),
            unknown: Family::default(),
            parents: Family::default(),
            classes: Arc::default(),
            answered: Histogram::new(ANSWERED_WITHIN),
            answered_last: Family::default(),
            late: Family::default(),
        }
    }
}

impl Metrics {
    /// Counters that show in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("muster_problems_opened", "Problems that opened", metrics.opened.clone());
        registry.register("muster_problems_cleared", "Problems that cleared", metrics.cleared.clone());
        registry.register(
            "muster_problems_unknown",
            "Problems for which their doctor did not vouch any more",
            metrics.unknown.clone(),
        );
        registry.register(
            "muster_problems_of_many",
            "Problems of many machines that stand, by what is suspected",
            metrics.parents.clone(),
        );
        registry.register(
            "muster_canary_seconds",
            "From the filing of a made-up fault to its clearing",
            metrics.answered.clone(),
        );
        registry.register(
            "muster_canary_answered_timestamp_seconds",
            "When a made-up fault was last answered, by site; far back or absent, nothing is repaired there",
            metrics.answered_last.clone(),
        );
        registry.register(
            "muster_canary_late",
            "Made-up faults that were not answered in time, by site; any is an alarm",
            metrics.late.clone(),
        );
        for kind in SuspectKind::ALL {
            metrics.stand(kind, 0);
        }
        metrics
    }

    /// So many Problems of many stand.
    pub(super) fn stand(&self, kind: SuspectKind, count: i64) {
        self.parents.get_or_create(&Suspected { kind: kind.as_str() }).set(count);
    }

    pub(super) fn canary_answered(&self, site: &str, took: Duration, now: Timestamp) {
        self.answered.observe(took.as_secs_f64());
        self.answered_last.get_or_create(&OfSite { site: site.to_owned() }).set(now.as_second());
        self.late.get_or_create(&OfSite { site: site.to_owned() }).inc_by(0);
    }

    pub(super) fn canary_late(&self, site: &str) {
        self.late.get_or_create(&OfSite { site: site.to_owned() }).inc();
    }

    pub(super) fn follow(&self, problems: &Informer<Problem>) {
        let metrics = self.clone();
        problems.on_change(move |change| metrics.count(change));
    }

    fn count(&self, change: &Change<Problem>) {
        let state = |problem: &Option<Arc<Problem>>| {
            problem.as_ref().and_then(|problem| problem.status.as_ref()).map(|status| status.state)
        };
        // What is seen first was counted in an earlier life, or is suspected at most.
        let (Some(new), Some(old)) = (&change.new, &change.old) else { return };
        let (before, now) = (state(&change.old), state(&change.new));
        if before == now || new.metadata.uid != old.metadata.uid {
            return;
        }
        let counter = match now {
            Some(State::Open) if before != Some(State::Unknown) => &self.opened,
            Some(State::Clear) => &self.cleared,
            Some(State::Unknown) => &self.unknown,
            Some(State::Open | State::Suspect) | None => return,
        };
        counter.get_or_create(&self.class(&new.spec.class)).inc();
    }

    fn class(&self, class: &str) -> Class {
        let mut classes = self.classes.lock();
        if !classes.contains(class) && classes.len() < CLASSES_MAX {
            classes.insert(class.to_owned());
        }
        let known = classes.contains(class);
        Class { class: if known { class.to_owned() } else { "other".to_owned() } }
    }
}
