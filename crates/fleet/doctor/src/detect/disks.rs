//! What the disks say of their own health: SMART and the health log of NVMe, which the agent reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_api::probe::{DiskHealth, Readings};

use crate::readings::ReadingsError;
use crate::rule::{Finding, Look, Rest, Rule};

const SOURCE: &str = "disk-health";
/// Sectors that went bad since the doctor first looked.
const NEW_SECTORS_MAX: u64 = 8;

/// The bits of an NVMe critical warning (NVM Express base specification, SMART log page, byte 0).
const WARNINGS: [&str; 6] = [
    "spare blocks run out",
    "too hot or too cold",
    "not reliable any more",
    "turned read-only",
    "its backup of memory failed",
    "its persistent memory failed",
];

/// The detector.
pub(crate) struct Disks {
    failing: Arc<Rule>,
    media: Arc<Rule>,
    /// Bad sectors and media errors at the first look.
    first: BTreeMap<String, u64>,
}

impl Disks {
    pub(crate) fn new() -> Self {
        Self {
            failing: Rule::level(SOURCE, "smart-failing", "disk.failing", 1, 60),
            media: Rule::level(SOURCE, "smart-media", "disk.media_error", 1, 600),
            first: BTreeMap::new(),
        }
    }

    pub(crate) fn rules(&self) -> Vec<Arc<Rule>> {
        [&self.failing, &self.media].map(Arc::clone).into()
    }

    /// What the agent's answer says of the disks.
    pub(crate) fn look(&mut self, seen: &Result<Readings, ReadingsError>) -> Look {
        let Ok(readings) = seen else {
            return Look { source: SOURCE, found: Vec::new(), rest: Rest::Unseen };
        };
        let mut found = Vec::new();
        for disk in &readings.disks {
            found.push(Finding::of(&self.failing, &disk.name, failing(disk)));
            let media = self.media(disk);
            found.push(Finding::of(&self.media, &disk.name, media));
        }
        Look { source: SOURCE, found, rest: Rest::Unseen }
    }

    /// Old wounds are no fault; those that become more are.
    fn media(&mut self, disk: &DiskHealth) -> Option<String> {
        let wounds = [disk.reallocated, disk.uncorrectable, disk.media_errors];
        let wounds = wounds.into_iter().flatten().fold(0_u64, u64::saturating_add);
        let first = *self.first.entry(disk.name.clone()).or_insert(wounds);
        let pending = disk.pending.unwrap_or(0);
        let new = wounds.saturating_sub(first);
        (0 < pending || NEW_SECTORS_MAX <= new)
            .then(|| format!("{pending} sectors cannot be read, {new} more went bad lately, {wounds} in all"))
    }
}

fn failing(disk: &DiskHealth) -> Option<String> {
    let mut reasons = Vec::new();
    if disk.passed == Some(false) {
        reasons.push("its own verdict is that it fails".to_owned());
    }
    let warning = disk.critical_warning.unwrap_or(0);
    let bits = WARNINGS.iter().enumerate().filter(|(bit, _)| warning & (1 << bit) != 0);
    reasons.extend(bits.map(|(_, text)| (*text).to_owned()));
    if let (Some(spare), Some(threshold)) = (disk.spare_percent, disk.spare_threshold_percent)
        && spare < threshold
    {
        reasons.push(format!("{spare} % of its spare blocks left, {threshold} % is the least"));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::tree::bad;
    use super::*;

    fn seen(disk: DiskHealth) -> Result<Readings, ReadingsError> {
        let disks = vec![DiskHealth { name: "sda".into(), ..disk }];
        Ok(Readings { disks, ..Readings::default() })
    }

    fn told(disk: DiskHealth) -> Vec<String> {
        bad(&Disks::new().look(&seen(disk)))
    }

    #[test]
    fn smart_and_nvme_verdicts_are_told_with_their_reasons() {
        let well = DiskHealth {
            passed: Some(true),
            critical_warning: Some(0),
            reallocated: Some(100),
            spare_percent: Some(90),
            spare_threshold_percent: Some(10),
            ..DiskHealth::default()
        };
        assert_eq!(told(well.clone()), [""; 0]);
        let failed = DiskHealth { passed: Some(false), ..well.clone() };
        assert_eq!(told(failed), ["disk.failing sda: its own verdict is that it fails"]);
        let warned = DiskHealth { critical_warning: Some(0b1100), spare_percent: Some(9), ..well.clone() };
        let expected = "disk.failing sda: not reliable any more; turned read-only; 9 % of its spare blocks left, 10 % is the least";
        assert_eq!(told(warned), [expected]);
        let pending = DiskHealth { pending: Some(2), ..well };
        let expected = "disk.media_error sda: 2 sectors cannot be read, 0 more went bad lately, 100 in all";
        assert_eq!(told(pending), [expected]);
    }

    #[test]
    fn sectors_that_went_bad_long_ago_are_no_fault_and_new_ones_are() {
        let mut disks = Disks::new();
        let old = |reallocated| seen(DiskHealth { reallocated: Some(reallocated), ..DiskHealth::default() });
        assert_eq!(bad(&disks.look(&old(100))), [""; 0]);
        assert_eq!(bad(&disks.look(&old(107))), [""; 0]);
        assert_eq!(bad(&disks.look(&old(108))).len(), 1);
        let silent = Err(ReadingsError::TooLate(std::time::Duration::from_secs(4)));
        assert_eq!(disks.look(&silent).rest, Rest::Unseen);
    }
}
