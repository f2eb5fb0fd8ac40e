//! Kubernetes resource quantities (`apimachinery` resource.Quantity): `500m`, `1Gi`, `1.5e3`.

use std::fmt;
use std::str::FromStr;

/// An amount in thousandths of the base unit (cores, bytes, counts).
///
/// The range is that of an `i128`, far beyond what Kubernetes allows; digits finer than one thousandth are rounded
/// up, as Kubernetes does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    milli: i128,
}

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quantity: write a number with an optional suffix such as m, k, M, Gi")]
pub struct QuantityError {
    /// The text as given.
    pub text: String,
}

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

impl Quantity {
    /// So many thousandths (millicores).
    pub const fn from_milli(milli: i128) -> Self {
        Self { milli }
    }

    /// So many whole units (cores, bytes).
    pub const fn from_units(units: i64) -> Self {
        Self { milli: units as i128 * 1000 }
    }

    /// In thousandths.
    pub const fn milli(self) -> i128 {
        self.milli
    }

    /// In whole units, rounded up.
    pub const fn units(self) -> i128 {
        self.milli.div_euclid(1000) + if self.milli.rem_euclid(1000) == 0 { 0 } else { 1 }
    }
}

/// Splits `12.5Gi` into `12.5` and `Gi`; an exponent belongs to the suffix.
fn split(text: &str) -> Option<(&str, &str)> {
    let signed = usize::from(text.starts_with(['+', '-']));
    let digits =
        text[signed..].find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len() - signed);
    let (number, suffix) = text.split_at(signed + digits);
    (number.len() > signed && number[signed..] != *".").then_some((number, suffix))
}

/// The number as digits without its point, and how many digits stood behind the point.
fn digits(number: &str) -> Option<(i128, u32)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || fraction.len() > 18 {
        return None;
    }
    Some((format!("{whole}{fraction}").parse().ok()?, u32::try_from(fraction.len()).ok()?))
}

/// `value / 10^places` rounded away from zero.
fn shrink(value: i128, places: u32) -> Option<i128> {
    let divisor = 10_i128.checked_pow(places)?;
    let (quotient, rest) = (value / divisor, value % divisor);
    Some(if rest == 0 { quotient } else { quotient + value.signum() })
}

fn parse(text: &str) -> Option<Quantity> {
    let (number, suffix) = split(text)?;
    let (value, places) = digits(number)?;
    if let Some((_, shift)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        let milli = value.checked_mul(1 << shift)?.checked_mul(1000)?;
        return Some(Quantity { milli: shrink(milli, places)? });
    }
    let exponent = match DECIMAL.iter().find(|(name, _)| *name == suffix) {
        Some((_, exponent)) => *exponent,
        None => suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok().filter(|e| e.abs() <= 24)?,
    };
    let milli = if exponent + 3 >= 0 {
        shrink(value.checked_mul(10_i128.checked_pow(u32::try_from(exponent + 3).ok()?)?)?, places)?
    } else {
        shrink(value, places + u32::try_from(-(exponent + 3)).ok()?)?
    };
    Some(Quantity { milli })
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text).ok_or_else(|| QuantityError { text: text.to_owned() })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milli % 1000 != 0 {
            return write!(f, "{}m", self.milli);
        }
        let units = self.milli / 1000;
        let fits = BINARY.iter().rev().find(|(_, shift)| units != 0 && units % (1_i128 << shift) == 0);
        match fits {
            Some((name, shift)) => write!(f, "{}{name}", units >> shift),
            None => write!(f, "{units}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, milli: i128, canonical: &str) {
        let quantity: Quantity = text.parse().unwrap();
        assert_eq!((quantity.milli(), quantity.to_string().as_str()), (milli, canonical), "{text}");
    }

    #[test]
    fn reads_every_suffix_and_prints_the_shortest() {
        check("500m", 500, "500m");
        check("2", 2000, "2");
        check("1.5", 1500, "1500m");
        check("1Gi", 1_073_741_824_000, "1Gi");
        check("1.5Gi", 1_610_612_736_000, "1536Mi");
        check("100k", 100_000_000, "100000");
        check("1e3", 1_000_000, "1000");
        check("-3", -3000, "-3");
        check("0", 0, "0");
        check("1n", 1, "1m");
        check(".5", 500, "500m");
    }

    #[test]
    fn refuses_what_is_no_quantity_and_says_how_to_write_one() {
        for text in
            ["", "m", "1x", "1.2.3", "--1", ".", "1 Gi", "1e99", "9999999999999999999999999999999999999999"]
        {
            let error = text.parse::<Quantity>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{text:?} is not a quantity: write")), "{error}");
        }
    }
}
