//! What the drivers count.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::driver::Acted;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    controller: &'static str,
}

/// Counters of all drivers of a process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    passes: Family<Labels, Counter>,
    acted: Family<Labels, Counter>,
    failed: Family<Labels, Counter>,
    missed: Family<Labels, Counter>,
    deadlines: Family<Labels, Counter>,
}

impl Metrics {
    /// Counters that show in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("muster_passes", "Passes that succeeded", metrics.passes.clone());
        registry.register("muster_passes_acted", "Passes that changed something", metrics.acted.clone());
        registry.register(
            "muster_passes_failed",
            "Passes that failed and were tried again",
            metrics.failed.clone(),
        );
        registry.register(
            "muster_sweep_missed",
            "Things the periodic sweep found that the watch had missed; any is an alarm",
            metrics.missed.clone(),
        );
        registry.register(
            "muster_deadlines_passed",
            "States and steps that were not over by their deadline; any is an alarm",
            metrics.deadlines.clone(),
        );
        metrics
    }

    /// A counter that was never raised shows as 0, so that an alert can be set on it.
    pub(crate) fn begin(&self, controller: &'static str) {
        for family in [&self.passes, &self.acted, &self.failed, &self.deadlines] {
            family.get_or_create(&Labels { controller }).inc_by(0);
        }
    }

    pub(crate) fn passed(&self, controller: &'static str, acted: Acted) {
        self.passes.get_or_create(&Labels { controller }).inc();
        if acted == Acted::Something {
            self.acted.get_or_create(&Labels { controller }).inc();
        }
    }

    /// So many objects were looked at and needed nothing.
    pub(crate) fn idle(&self, controller: &'static str, count: u64) {
        self.passes.get_or_create(&Labels { controller }).inc_by(count);
    }

    pub(crate) fn failed(&self, controller: &'static str) {
        self.failed.get_or_create(&Labels { controller }).inc();
    }

    pub(crate) fn missed(&self, controller: &'static str, count: u64) {
        self.missed.get_or_create(&Labels { controller }).inc_by(count);
    }

    /// A state or step that was not over by its deadline: counted and said, whoever then decides about it.
    pub fn deadline_passed(&self, controller: &'static str, what: &str) {
        self.deadlines.get_or_create(&Labels { controller }).inc();
        tracing::warn!(controller, what, "a deadline passed");
    }

    /// How many deadlines passed under that controller.
    pub fn deadlines_passed_total(&self, controller: &'static str) -> u64 {
        self.deadlines.get_or_create(&Labels { controller }).get()
    }

    /// How much the sweep found that the watch of that controller had missed.
    pub fn missed_total(&self, controller: &'static str) -> u64 {
        self.missed.get_or_create(&Labels { controller }).get()
    }
}
