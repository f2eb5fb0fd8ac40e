//! String formats that custom resources may ask for (`format`); others are ignored, as upstream ignores them.

use std::net::Ipv6Addr;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;

static HOSTNAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)",
        r"|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$"
    ))
    .expect("a constant expression")
});

/// Whether `text` has the format; `true` for a format nobody checks.
pub(super) fn holds(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "datetime" => !text.contains(' ') && text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => go_duration(text) || long_duration(text),
        "byte" => !text.is_empty() && STANDARD.decode(text).is_ok(),
        "ipv4" => ipv4(text),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => cidr(text),
        "mac" => mac(text),
        "uuid" => uuid(text, None, ""),
        "uuid3" => uuid(text, Some(b'3'), ""),
        "uuid4" => uuid(text, Some(b'4'), "89abAB"),
        "uuid5" => uuid(text, Some(b'5'), "89abAB"),
        "hostname" => {
            text.len() <= 255 && HOSTNAME.is_match(text) && text.split('.').all(|part| part.len() <= 63)
        }
        "email" => email(text),
        "uri" => uri(text),
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        }
        "k8sshortname" => text.len() <= 63 && label(text),
        "k8slongname" => text.len() <= 253 && text.split('.').all(label),
        _ => true,
    }
}

/// `time.ParseDuration`: signed sequence of decimal numbers with units, or `0`.
fn go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let unit_at = rest.find(|ch: char| !ch.is_ascii_digit() && ch != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(unit_at);
        if number.parse::<f64>().is_err() {
            return false;
        }
        let Some(unit) =
            ["ns", "us", "µs", "μs", "ms", "s", "m", "h"].iter().find(|unit| tail.starts_with(**unit))
        else {
            return false;
        };
        rest = &tail[unit.len()..];
    }
    true
}

/// One number and a unit written out, such as `22 ns` or `1 day`.
fn long_duration(text: &str) -> bool {
    let Some(unit_at) = text.find(|ch: char| !ch.is_ascii_digit()) else { return false };
    let (number, unit) = text.split_at(unit_at);
    let units = [
        "ns",
        "nano",
        "nanosecond",
        "us",
        "µs",
        "micro",
        "microsecond",
        "ms",
        "milli",
        "millisecond",
        "s",
        "sec",
        "second",
        "m",
        "min",
        "minute",
        "h",
        "hr",
        "hour",
        "d",
        "day",
        "w",
        "wk",
        "week",
    ];
    let unit = unit.trim();
    !number.is_empty() && (units.contains(&unit) || units.contains(&unit.trim_end_matches('s')))
}

/// Leading zeros are tolerated, as upstream does for what was stored long ago.
fn ipv4(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let octet = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u8>().is_ok()
    };
    parts.len() == 4 && parts.iter().all(octet)
}

fn label(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    edge(text.bytes().next())
        && edge(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let Ok(prefix) = prefix.parse::<u8>() else { return false };
    (ipv4(address) && prefix <= 32) || (address.parse::<Ipv6Addr>().is_ok() && prefix <= 128)
}

fn mac(text: &str) -> bool {
    let hex = |part: &&str, length: usize| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if text.contains('.') {
        let parts: Vec<&str> = text.split('.').collect();
        return matches!(parts.len(), 3 | 4 | 10) && parts.iter().all(|part| hex(part, 4));
    }
    let separator = if text.contains('-') { '-' } else { ':' };
    let parts: Vec<&str> = text.split(separator).collect();
    matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(|part| hex(part, 2))
}

/// Hyphens between the groups may be left out, as upstream allows.
fn uuid(text: &str, version: Option<u8>, variants: &str) -> bool {
    let bare: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let hyphens_ok = text.len() == bare.len() || text.len() <= 36;
    bare.len() == 32
        && hyphens_ok
        && bare.iter().all(u8::is_ascii_hexdigit)
        && version.is_none_or(|version| bare[12] == version)
        && (variants.is_empty() || variants.as_bytes().contains(&bare[16]))
}

fn email(text: &str) -> bool {
    let address = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>'));
    address.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !domain.contains('@')
            && !address.contains(char::is_whitespace)
    })
}

fn uri(text: &str) -> bool {
    let clean = !text.contains(|ch: char| ch.is_whitespace() || ch.is_control());
    let scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.starts_with(|ch: char| ch.is_ascii_alphabetic())
            && scheme.chars().all(|ch| ch.is_ascii_alphanumeric() || "+-.".contains(ch))
    });
    clean && (text.starts_with('/') || scheme)
}
