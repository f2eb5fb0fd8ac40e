//! What a rehearsal tells.

use std::collections::BTreeMap;

use muster_api::repair::RungAction;
use muster_workflow::report::{Report, Spread};
use serde::Serialize;

/// What a rehearsal tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Machines of the fleet.
    pub machines: usize,
    /// Days that passed.
    pub days: f64,
    /// What chance came from.
    pub seed: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Share of the problems that were closed without a person, as the report folds it from history.
    pub auto_repair_share: f64,
    /// Share of the curable faults that were closed without a person.
    pub curable_share: f64,
    /// Curable faults that a person had to see to, by class.
    pub curable_with_person: BTreeMap<String, u64>,
    /// False alarms.
    pub false_alarms: u64,
    /// False alarms for which a machine was interrupted.
    pub false_repairs: u64,
    /// Disruptive acts wasted on one fault for hands, over all of these: 95th percentile.
    pub wasted_on_hands_p95: u32,
    /// From the begin of a fault to its opening as a problem, per class, in seconds.
    pub found_after: BTreeMap<String, Spread>,
    /// Times a person was told.
    pub tickets: u64,
    /// Problems of many machines that opened, by name.
    pub parents: Vec<String>,
    /// Why nothing was done for a while, and how often that was said.
    pub held: BTreeMap<String, u64>,
    /// Acts on machines that interrupted them.
    pub disruptive_acts: u64,
    /// Times that a part of the control plane died.
    pub deaths: u64,
    /// What was broken that nothing may break.
    pub broken_invariants: Vec<String>,
    /// Folded from history.
    pub report: Report,
    /// Counted from what was true.
    pub truth: Truth,
    /// Whether the report says what was true, to the digit.
    pub report_equals_truth: bool,
}

/// What was true, counted without any look at what the control plane believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Truth {
    /// Faults that were noticed.
    pub opened: u64,
    /// Of these false alarms.
    pub false_alarms: u64,
    /// Of these the ones for which a machine was interrupted.
    pub false_repairs: u64,
    /// Of these over, or with a person.
    pub decided: u64,
    /// Of these over without a person.
    pub closed_without_person: u64,
    /// The same as a share.
    pub auto_repair_share: f64,
    /// From opening to clearing, of these.
    pub time_to_repair: Spread,
    /// Per rung: acts, and acts after which the fault was over without anything further, and none of its class came within
    /// the time that counts.
    pub per_rung: BTreeMap<RungAction, (u64, u64)>,
}

impl Truth {
    /// Whether a report says the same.
    pub(crate) fn is_told_by(&self, report: &Report) -> bool {
        let rungs: BTreeMap<RungAction, (u64, u64)> =
            report.per_rung.iter().map(|(action, line)| (*action, (line.tried, line.fixed))).collect();
        (self.opened, self.decided, self.closed_without_person)
            == (report.opened, report.decided, report.closed_without_person)
            && (self.false_alarms, self.false_repairs) == (report.false_alarms, report.false_repairs)
            && self.auto_repair_share == report.auto_repair_share
            && self.time_to_repair == report.time_to_repair
            && self.per_rung == rungs
    }
}
