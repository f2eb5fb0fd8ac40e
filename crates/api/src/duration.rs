//! Durations as Go writes them: `10s`, `1m30s`, `250ms`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A span of time, not negative, in Go's notation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GoDuration(pub Duration);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration: write numbers with units, such as 10s, 1m30s or 250ms")]
pub struct DurationError {
    text: String,
}

const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let after = &rest[number..];
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == &after[..unit])?;
        let (whole, fraction) = rest[..number].split_once('.').unwrap_or((&rest[..number], ""));
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let part = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse::<f64>().ok()? };
        if rest[..number].is_empty() || rest[..number] == *"." || fraction.contains('.') {
            return None;
        }
        total = total.checked_add(Duration::from_nanos(nanos.checked_mul(whole)?))?;
        total = total.checked_add(Duration::from_nanos(*nanos).mul_f64(part))?;
        rest = &after[unit..];
    }
    (!text.is_empty()).then_some(total)
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text).map(Self).ok_or_else(|| DurationError { text: text.to_owned() })
    }
}

impl TryFrom<String> for GoDuration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<GoDuration> for String {
    fn from(duration: GoDuration) -> Self {
        duration.to_string()
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        if seconds == 0 && nanos > 0 {
            return write!(f, "{}ms", self.0.as_secs_f64() * 1000.0);
        }
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", (seconds % 60) as f64 + f64::from(nanos) / 1e9)
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_as_go_does() {
        for (text, millis, printed) in [
            ("10s", 10_000, "10s"),
            ("1m30s", 90_000, "1m30s"),
            ("90s", 90_000, "1m30s"),
            ("1h", 3_600_000, "1h0m0s"),
            ("250ms", 250, "250ms"),
            ("1.5s", 1_500, "1.5s"),
            ("0", 0, "0s"),
        ] {
            let duration: GoDuration = text.parse().unwrap();
            assert_eq!((duration.0.as_millis(), duration.to_string().as_str()), (millis, printed), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in ["", "10", "s", "-5s", "1d", "1..5s", "5 s", ".s", "99999999999999h"] {
            let error = text.parse::<GoDuration>().unwrap_err();
            assert!(error.to_string().contains("is not a duration: write"), "{text}: {error}");
        }
    }
}
