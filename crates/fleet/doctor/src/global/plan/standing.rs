//! Which machines are expected to speak, and whose word has run out.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::inventory::bmc::BmcReadingStatus;
use muster_api::machine::{MachineSpec, MachineStatus, Phase};
use muster_api::problem::{ProblemStatus, State};
use muster_base::clock::elapsed;

/// What is expected of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It speaks.
    Speaks,
    /// Its silence is planned, until then or until something changes.
    Excused(Option<Timestamp>),
    /// Nothing: it is not in service.
    Nothing,
}

/// What is expected of a machine now. `grace` follows planned maintenance: machines take their time to come back.
pub fn expected(
    spec: &MachineSpec,
    status: Option<&MachineStatus>,
    grace: Duration,
    now: Timestamp,
) -> Expected {
    let Some(status) = status.filter(|status| !status.node.is_empty()) else { return Expected::Nothing };
    match status.phase {
        // A run that has the machine in hand may switch it off, and minds its own deadlines.
        Phase::Disrupted | Phase::Probation if !status.run.is_empty() => return Expected::Excused(None),
        Phase::Probation | Phase::Healthy | Phase::Disrupted => {}
        Phase::Registered
        | Phase::Inspecting
        | Phase::Provisioning
        | Phase::Failed
        | Phase::Quarantined
        | Phase::Retired => return Expected::Nothing,
    }
    maintained_until(spec, grace, now).map_or(Expected::Speaks, |end| Expected::Excused(Some(end)))
}

/// Until when what happens on a machine is planned, if it is now.
pub fn maintained_until(spec: &MachineSpec, grace: Duration, now: Timestamp) -> Option<Timestamp> {
    let ends = |to: Timestamp| to.checked_add(grace).unwrap_or(Timestamp::MAX);
    let windows = spec.maintenance.iter().filter(|window| window.from <= now && now < ends(window.to));
    windows.map(|window| ends(window.to)).max()
}

/// What a reading of a management controller says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Controller {
    /// It does not answer, and why.
    Silent(String),
    /// It answers, since then.
    Answers(Timestamp),
    /// Too little is known.
    Unknown,
}

/// What a reading says: nothing where it is `stale`, nor before so many `failures` in a row.
pub fn controller(reading: &BmcReadingStatus, failures: u32, stale: Duration, now: Timestamp) -> Controller {
    if reading.observed_at.is_none_or(|at| stale <= elapsed(at, now)) {
        return Controller::Unknown;
    }
    let since = reading.since.unwrap_or(now);
    if reading.reachable {
        Controller::Answers(since)
    } else if failures <= reading.failures {
        Controller::Silent(format!("since {since}: {}", reading.message))
    } else {
        Controller::Unknown
    }
}

/// When a state counts as unknown: a good while after the doctor's word for it ran out, and a good while after it was
/// last changed, by the clock of `seen`: doctors' clocks may be wrong, and a doctor that could not write for a while has
/// that while to catch up. `None` where nobody vouches, or nobody needs to.
pub fn runs_out(status: &ProblemStatus, margin: Duration) -> Option<Timestamp> {
    let is_vouched = matches!(status.state, State::Open | State::Suspect);
    status.lease_until.filter(|_| is_vouched)?.checked_add(margin).ok()
}

#[cfg(test)]
mod tests {
    use muster_api::machine::Maintenance;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn of(phase: Phase, node: &str, run: &str, windows: &[(i64, i64)], now: i64) -> Expected {
        let maintenance = windows.iter().map(|(from, to)| Maintenance {
            from: at(*from),
            to: at(*to),
            reason: "firmware".into(),
        });
        let spec = MachineSpec { maintenance: maintenance.collect(), ..MachineSpec::default() };
        let status = MachineStatus { phase, node: node.into(), run: run.into(), ..MachineStatus::default() };
        expected(&spec, Some(&status), Duration::from_secs(300), at(now))
    }

    #[test]
    fn machines_in_service_speak_unless_it_is_planned_that_they_do_not() {
        use Expected::{Excused, Nothing, Speaks};
        let rows = [
            (of(Phase::Healthy, "m", "", &[], 0), Speaks),
            (of(Phase::Probation, "m", "", &[], 0), Speaks),
            (of(Phase::Probation, "m", "r", &[], 0), Excused(None)),
            (of(Phase::Disrupted, "m", "", &[], 0), Speaks),
            (of(Phase::Disrupted, "m", "r", &[], 0), Excused(None)),
            (of(Phase::Healthy, "", "", &[], 0), Nothing),
            (of(Phase::Provisioning, "m", "r", &[], 0), Nothing),
            (of(Phase::Quarantined, "m", "", &[], 0), Nothing),
            (of(Phase::Retired, "m", "", &[], 0), Nothing),
            (of(Phase::Healthy, "m", "", &[(10, 20)], 9), Speaks),
            (of(Phase::Healthy, "m", "", &[(10, 20)], 10), Excused(Some(at(320)))),
            (of(Phase::Healthy, "m", "", &[(10, 20)], 319), Excused(Some(at(320)))),
            (of(Phase::Healthy, "m", "", &[(10, 20)], 320), Speaks),
            (of(Phase::Healthy, "m", "", &[(10, 20), (15, 90)], 16), Excused(Some(at(390)))),
        ];
        for (number, (told, wanted)) in rows.into_iter().enumerate() {
            assert_eq!(told, wanted, "row {number}");
        }
        assert_eq!(expected(&MachineSpec::default(), None, Duration::ZERO, at(0)), Nothing);
    }

    #[test]
    fn a_controller_is_silent_after_enough_failures_and_an_old_reading_says_nothing() {
        let reading = |reachable, failures, observed| BmcReadingStatus {
            observed_at: Some(at(observed)),
            reachable,
            since: Some(at(0)),
            failures,
            message: "no route".into(),
            ..BmcReadingStatus::default()
        };
        let told = |reading: &BmcReadingStatus| controller(reading, 3, Duration::from_secs(900), at(1000));
        let silent = Controller::Silent("since 2027-01-15T08:00:00Z: no route".into());
        assert_eq!(told(&reading(false, 3, 990)), silent);
        assert_eq!(told(&reading(false, 2, 990)), Controller::Unknown);
        assert_eq!(told(&reading(true, 0, 990)), Controller::Answers(at(0)));
        assert_eq!(told(&reading(false, 9, 100)), Controller::Unknown);
        assert_eq!(told(&BmcReadingStatus::default()), Controller::Unknown);
    }

    #[test]
    fn only_what_was_vouched_for_runs_out() {
        let status = |state, lease| ProblemStatus { state, lease_until: lease, ..ProblemStatus::default() };
        let margin = Duration::from_secs(60);
        let rows = [
            (status(State::Open, Some(at(0))), Some(at(60))),
            (status(State::Suspect, Some(at(0))), Some(at(60))),
            (status(State::Clear, Some(at(0))), None),
            (status(State::Unknown, Some(at(0))), None),
            (status(State::Open, None), None),
        ];
        for (status, wanted) in rows {
            assert_eq!(runs_out(&status, margin), wanted, "{status:?}");
        }
    }
}
