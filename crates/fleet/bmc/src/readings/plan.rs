//! What a reading becomes, and whether that is worth a write.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::inventory::bmc::{BmcReadingStatus, Identity, LogRecord, Sensor};
use muster_base::clock::elapsed;

use crate::bmc::{Power, Read};

/// What a controller told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) power: Power,
    pub(super) detail: Option<Detail>,
}

/// What is read rarely; none where it could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Detail {
    pub(super) identity: Option<Identity>,
    pub(super) sensors: Option<Vec<Sensor>>,
    pub(super) events: Option<Vec<LogRecord>>,
}

/// Whether the rarely read is due.
pub(super) fn wants_detail(status: Option<&BmcReadingStatus>, now: Timestamp, every: Duration) -> bool {
    status.and_then(|status| status.detail_at).is_none_or(|at| elapsed(at, now) >= every)
}

/// The reading after `told`. What a silent controller told before is kept: it is dated.
pub(super) fn merge(old: Option<&BmcReadingStatus>, told: Read<Told>, now: Timestamp) -> BmcReadingStatus {
    let mut new = old.cloned().unwrap_or_default();
    if new.since.is_none() || new.reachable != told.is_ok() {
        new.since = Some(now);
    }
    new.observed_at = Some(now);
    new.reachable = told.is_ok();
    match told {
        Err(error) => {
            new.failures = new.failures.saturating_add(1);
            new.message = error.to_string();
        }
        Ok(told) => {
            new.failures = 0;
            new.message = String::new();
            told.power.as_str().clone_into(&mut new.power);
            if let Some(detail) = told.detail {
                new.detail_at = Some(now);
                new.identity = detail.identity.unwrap_or(new.identity);
                new.sensors = detail.sensors.unwrap_or(new.sensors);
                new.events = detail.events.unwrap_or(new.events);
            }
        }
    }
    new
}

/// Whether somebody could decide by the difference, or the old one is too old to be believed.
pub(super) fn is_worth_writing(
    old: Option<&BmcReadingStatus>,
    new: &BmcReadingStatus,
    at_least_every: Duration,
) -> bool {
    let Some(old) = old else { return true };
    let (Some(before), Some(now)) = (old.observed_at, new.observed_at) else { return true };
    let told = |status: &BmcReadingStatus| {
        (
            status.reachable,
            status.power.clone(),
            status.identity.clone(),
            status.events.clone(),
            status.detail_at,
        )
    };
    // A controller is called silent after the third failure: those are told, further ones are not.
    let is_young_failure = new.failures != old.failures && new.failures <= 3;
    told(old) != told(new) || is_young_failure || elapsed(before, now) >= at_least_every
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bmc::ReadError;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn on() -> Read<Told> {
        Ok(Told { power: Power::On, detail: None })
    }

    fn silent() -> Read<Told> {
        Err(ReadError::Silent("no route".into()))
    }

    #[test]
    fn silence_is_counted_and_dated_and_keeps_what_was_known() {
        let first = merge(None, on(), at(0));
        assert_eq!((first.reachable, first.power.as_str(), first.since), (true, "On", Some(at(0))));
        let second = merge(Some(&first), silent(), at(60));
        let third = merge(Some(&second), silent(), at(120));
        assert_eq!((third.reachable, third.failures, third.since), (false, 2, Some(at(60))));
        assert_eq!(
            (third.power.as_str(), third.message.as_str()),
            ("On", "the controller does not answer: no route")
        );
        let fourth = merge(Some(&third), on(), at(180));
        assert_eq!(
            (fourth.reachable, fourth.failures, fourth.since, fourth.message.as_str()),
            (true, 0, Some(at(180)), "")
        );
    }

    #[test]
    fn the_same_again_is_not_written_until_it_is_old() {
        let every = Duration::from_secs(300);
        let old = merge(None, on(), at(0));
        assert!(is_worth_writing(None, &old, every));
        assert!(!is_worth_writing(Some(&old), &merge(Some(&old), on(), at(60)), every));
        assert!(is_worth_writing(Some(&old), &merge(Some(&old), on(), at(300)), every));
        let silent_once = merge(Some(&old), silent(), at(60));
        assert!(is_worth_writing(Some(&old), &silent_once, every));
        let mut long_silent = silent_once;
        long_silent.failures = 7;
        assert!(!is_worth_writing(Some(&long_silent), &merge(Some(&long_silent), silent(), at(120)), every));
    }

    #[test]
    fn what_could_not_be_read_stays_as_it_was() {
        let identity = Identity { serial: "P7".into(), ..Identity::default() };
        let detail = Detail { identity: Some(identity.clone()), ..Detail::default() };
        let first = merge(None, Ok(Told { power: Power::On, detail: Some(detail) }), at(0));
        let second =
            merge(Some(&first), Ok(Told { power: Power::On, detail: Some(Detail::default()) }), at(300));
        assert_eq!((second.identity, second.detail_at), (identity, Some(at(300))));
        assert!(!wants_detail(Some(&first), at(299), Duration::from_secs(300)));
        assert!(
            wants_detail(Some(&first), at(300), Duration::from_secs(300))
                && wants_detail(None, at(0), Duration::ZERO)
        );
    }
}
