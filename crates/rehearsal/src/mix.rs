//! What happens to machines, and what it takes to cure it: the file of a fault mix.

use std::collections::BTreeMap;

use muster_api::GoDuration;
use muster_api::repair::RungAction;
use serde::Deserialize;

/// Shares may miss their sum by so much: they are written with two digits.
const SLACK: f64 = 0.005;

/// A fault mix. Shares are of all alarms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mix {
    /// Between two faults of one machine.
    pub mean_time_between_faults: GoDuration,
    /// Faults that come together.
    #[serde(default)]
    pub bursts: Option<Bursts>,
    /// The shares of the truths, for the reader: they follow from `faults`.
    #[serde(default)]
    pub truths: BTreeMap<Truth, f64>,
    /// The faults.
    pub faults: Vec<Fault>,
}

/// Faults that come together.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bursts {
    /// Share of the faults that come in bursts of two or more.
    pub share: f64,
    /// Within which time.
    pub window: GoDuration,
    /// Share of the bursts that stay within one rack.
    pub rack_affinity: f64,
}

/// What is true of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Truth {
    /// Some rung cures it.
    Curable,
    /// A person has to mend it.
    Hands,
    /// Nothing is wrong.
    FalseAlarm,
}

impl Truth {
    /// As in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Curable => "curable",
            Self::Hands => "hands",
            Self::FalseAlarm => "falseAlarm",
        }
    }
}

/// One kind of fault.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Class of the problem it shows as.
    pub class: String,
    /// What is true of it.
    pub truth: Truth,
    /// Share of all alarms.
    pub share: f64,
    /// Probability that a rung, when reached, cures it for good.
    #[serde(default)]
    pub cure: BTreeMap<RungAction, f64>,
    /// Clears by itself.
    #[serde(default)]
    pub transient: Option<Transient>,
    /// Why it is a false alarm.
    #[serde(default)]
    pub because: String,
}

/// Clears by itself.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Transient {
    /// Share of these faults that do.
    pub share: f64,
    /// Within which time.
    pub within: GoDuration,
}

/// Why a file is not a fault mix.
#[derive(Debug, thiserror::Error)]
pub enum MixError {
    /// It is not of that form.
    #[error("{0}")]
    Form(String),
    /// A value makes no sense.
    #[error("{path}: {text}")]
    Value {
        /// Field.
        path: String,
        /// What is wrong, and what is right.
        text: String,
    },
}

fn bad(path: impl Into<String>, text: impl Into<String>) -> Result<(), MixError> {
    Err(MixError::Value { path: path.into(), text: text.into() })
}

fn is_share(path: &str, share: f64) -> Result<(), MixError> {
    if (0.0..=1.0).contains(&share) { Ok(()) } else { bad(path, format!("{share} is no share: 0 to 1")) }
}

impl Mix {
    /// Reads a mix.
    ///
    /// # Errors
    /// [`MixError`], with the line or the field.
    pub fn parse(text: &str) -> Result<Self, MixError> {
        let mix: Self = serde_saphyr::from_str(text).map_err(|error| MixError::Form(error.to_string()))?;
        mix.check()?;
        Ok(mix)
    }

    fn check(&self) -> Result<(), MixError> {
        if self.mean_time_between_faults.0.is_zero() {
            bad("meanTimeBetweenFaults", "must be longer than nothing")?;
        }
        if let Some(bursts) = &self.bursts {
            is_share("bursts.share", bursts.share)?;
            is_share("bursts.rackAffinity", bursts.rack_affinity)?;
        }
        for (index, fault) in self.faults.iter().enumerate() {
            let path = format!("faults[{index}]");
            is_share(&format!("{path}.share"), fault.share)?;
            for (rung, share) in &fault.cure {
                is_share(&format!("{path}.cure.{}", rung.as_str()), *share)?;
            }
            if fault.truth != Truth::Curable && !fault.cure.is_empty() {
                bad(format!("{path}.cure"), format!("no rung cures what is {}", fault.truth.as_str()))?;
            }
            if let Some(transient) = &fault.transient {
                is_share(&format!("{path}.transient.share"), transient.share)?;
            }
        }
        let sum: f64 = self.faults.iter().map(|fault| fault.share).sum();
        if (sum - 1.0).abs() > SLACK {
            bad("faults", format!("the shares add up to {sum:.3}, not to 1"))?;
        }
        for (truth, told) in &self.truths {
            let of = self.faults.iter().filter(|fault| fault.truth == *truth);
            let sum: f64 = of.map(|fault| fault.share).sum();
            if (sum - told).abs() > SLACK {
                let path = format!("truths.{}", truth.as_str());
                bad(path, format!("is {told}, but the faults of that truth add up to {sum:.3}"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "meanTimeBetweenFaults: 3100h
bursts: {share: 0.37, window: 120s, rackAffinity: 0.7}
truths: {curable: 0.6, hands: 0.4}
faults:
- {class: io.stall, truth: curable, share: 0.6, cure: {resetDevice: 0.4, powerCycle: 0.95}, transient: {share: 0.3, within: 5m}}
- {class: mem.ecc, truth: hands, share: 0.4}
";

    fn refusal(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from));
        Mix::parse(&GOOD.replace(from, to)).unwrap_err().to_string()
    }

    #[test]
    fn a_mix_is_read_as_it_is_written() {
        let mix = Mix::parse(GOOD).unwrap();
        assert_eq!(mix.faults[0].cure[&RungAction::PowerCycle], 0.95);
        assert_eq!(mix.faults[1].truth, Truth::Hands);
        assert_eq!(mix.bursts.unwrap().window.0.as_secs(), 120);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        assert_eq!(refusal("share: 0.4}", "share: 0.5}"), "faults: the shares add up to 1.100, not to 1");
        assert_eq!(refusal("share: 0.4}", "share: 1.4}"), "faults[1].share: 1.4 is no share: 0 to 1");
        assert_eq!(
            refusal("hands: 0.4}", "hands: 0.3}"),
            "truths.hands: is 0.3, but the faults of that truth add up to 0.400"
        );
        assert_eq!(
            refusal("truth: hands, share", "truth: hands, cure: {reboot: 1}, share"),
            "faults[1].cure: no rung cures what is hands"
        );
        assert!(refusal("powerCycle: 0.95", "kick: 0.95").contains("kick"), "an unknown rung is named");
        assert!(refusal("truths:", "truth:").contains("truth"), "an unknown field is named");
    }
}
