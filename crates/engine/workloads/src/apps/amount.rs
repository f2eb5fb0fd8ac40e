//! Numbers given as a count or a percentage.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Which way a percentage that does not divide evenly goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    Up,
    Down,
}

/// `value` of `total`; a text that is no percentage counts as nothing (the API server refuses it).
pub fn of(value: &IntOrString, total: i32, rounding: Rounding) -> i32 {
    match value {
        IntOrString::Int(count) => (*count).max(0),
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or(0);
            let scaled = percent.max(0) * i64::from(total.max(0));
            let whole = match rounding {
                Rounding::Up => (scaled + 99) / 100,
                Rounding::Down => scaled / 100,
            };
            i32::try_from(whole).unwrap_or(i32::MAX)
        }
    }
}
