//! Quantities in the canonical form of `resource.Quantity`, which keeps the family of the suffix (`1000Mi`, `1k`, `1e3`).

/// What the reference implementation says of a bad quantity.
pub(super) const SYNTAX: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

const NANO: i128 = 1_000_000_000;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Binary,
    Decimal,
    Exponent,
}

/// The canonical text, or `None` if it is no quantity.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let (nanos, family) = parse(text)?;
    if nanos == 0 {
        return Some("0".to_owned());
    }
    let whole = nanos % NANO == 0;
    if family == Family::Binary && whole && nanos.abs() >= 1024 * NANO {
        let (number, exponent) = reduce(nanos / NANO, 1024, 6);
        return Some(format!("{number}{}", BINARY[exponent]));
    }
    let (number, exponent) = reduce(nanos, 1000, 9);
    Some(match (family, exponent) {
        (Family::Exponent, 3) => number.to_string(),
        (Family::Exponent, exponent) => format!("{number}e{}", 3 * exponent.cast_signed() - 9),
        (Family::Binary | Family::Decimal, exponent) => format!("{number}{}", DECIMAL[exponent]),
    })
}

fn reduce(mut number: i128, base: i128, exponent_max: usize) -> (i128, usize) {
    let mut exponent = 0;
    while exponent < exponent_max && number % base == 0 {
        number /= base;
        exponent += 1;
    }
    (number, exponent)
}

/// In thousand-millionths, rounded away from zero, at most 2^63 - 1 units.
fn parse(text: &str) -> Option<(i128, Family)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let (multiplier, exponent, family) = suffix_of(suffix)?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let value: i128 =
        if digits.is_empty() { 0 } else { digits.parse().ok().filter(|_| digits.len() <= 30)? };
    let places = exponent + 9 - i32::try_from(fraction.len()).ok()?;
    let max = i128::from(i64::MAX) * NANO;
    let nanos = match value.checked_mul(multiplier) {
        Some(scaled) if places >= 0 => {
            let power = 10_i128.checked_pow(places.unsigned_abs());
            power.and_then(|power| scaled.checked_mul(power)).unwrap_or(if scaled == 0 { 0 } else { max })
        }
        Some(scaled) => 10_i128
            .checked_pow(places.unsigned_abs())
            .map_or(i128::from(scaled != 0), |power| scaled / power + i128::from(scaled % power != 0)),
        None => max,
    };
    let nanos = nanos.min(max);
    Some((if text.starts_with('-') { -nanos } else { nanos }, family))
}

/// Multiplier, power of ten, and family.
fn suffix_of(suffix: &str) -> Option<(i128, i32, Family)> {
    if let Some(power) = BINARY.iter().skip(1).position(|name| *name == suffix) {
        return Some((1_i128 << (10 * (power + 1)), 0, Family::Binary));
    }
    if let Some(place) = DECIMAL.iter().position(|name| *name == suffix) {
        return Some((1, 3 * i32::try_from(place).ok()? - 9, Family::Decimal));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (exponent.abs() <= 24).then_some((1, exponent, Family::Exponent))
}
