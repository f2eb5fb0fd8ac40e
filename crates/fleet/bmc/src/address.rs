//! Where a controller answers: `redfish://HOST[:PORT]/SYSTEM` or `ipmi://HOST[:PORT]`.

use std::fmt;
use std::str::FromStr;

/// The protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// JSON over HTTPS.
    Redfish,
    /// IPMI 2.0 over RMCP+, UDP.
    Ipmi,
}

impl Protocol {
    /// The scheme in an address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redfish => "redfish",
            Self::Ipmi => "ipmi",
        }
    }

    /// The port unless an address names one.
    pub const fn port(self) -> u16 {
        match self {
            Self::Redfish => 443,
            Self::Ipmi => 623,
        }
    }
}

/// An address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// How to speak.
    pub protocol: Protocol,
    /// Name or IP address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Which system of the controller; empty = its only one.
    pub system: String,
}

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address of a management controller ({what}): write redfish://HOST[:PORT]/SYSTEM or ipmi://HOST[:PORT]"
)]
pub struct BadAddress {
    text: String,
    what: &'static str,
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = |what| BadAddress { text: text.to_owned(), what };
        let (protocol, rest) = match text.split_once("://") {
            Some(("redfish", rest)) => (Protocol::Redfish, rest),
            Some(("ipmi", rest)) => (Protocol::Ipmi, rest),
            Some(_) | None => return Err(bad("unknown scheme")),
        };
        let (authority, system) = rest.split_once('/').unwrap_or((rest, ""));
        let system = system.trim_end_matches('/');
        if protocol == Protocol::Ipmi && !system.is_empty() {
            return Err(bad("IPMI knows no systems"));
        }
        let (host, port) = split_port(authority).ok_or_else(|| bad("the port is no number"))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
        if host.is_empty() || host.starts_with('-') || !host.chars().all(plain) {
            return Err(bad("the host is missing or no host"));
        }
        if system.chars().any(|c| c.is_control() || c.is_whitespace() || "?#".contains(c)) {
            return Err(bad("the system has characters that no path may have"));
        }
        let port = port.unwrap_or(protocol.port());
        Ok(Self { protocol, host: host.to_owned(), port, system: system.to_owned() })
    }
}

/// `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT`.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((authority, None)),
    }
}

impl Address {
    /// The controller itself, whichever of its systems is meant.
    pub fn controller(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{}://{host}", self.protocol.as_str())?;
        if self.port != self.protocol.port() {
            write!(f, ":{}", self.port)?;
        }
        if !self.system.is_empty() {
            write!(f, "/{}", self.system)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_written_the_same() {
        for (text, protocol, host, port, system) in [
            ("redfish://10.0.0.7/437XR1138R2", Protocol::Redfish, "10.0.0.7", 443, "437XR1138R2"),
            (
                "redfish://bmc-7:8443/redfish/v1/Systems/1",
                Protocol::Redfish,
                "bmc-7",
                8443,
                "redfish/v1/Systems/1",
            ),
            ("redfish://[fd00::7]:8443/1", Protocol::Redfish, "fd00::7", 8443, "1"),
            ("ipmi://[fd00::7]", Protocol::Ipmi, "fd00::7", 623, ""),
            ("ipmi://10.0.0.7:6230", Protocol::Ipmi, "10.0.0.7", 6230, ""),
        ] {
            let address: Address = text.parse().unwrap();
            let seen = (address.protocol, address.host.as_str(), address.port, address.system.as_str());
            assert_eq!(seen, (protocol, host, port, system));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is_wrong() {
        for (text, what) in [
            ("10.0.0.7", "unknown scheme"),
            ("https://10.0.0.7/1", "unknown scheme"),
            ("redfish://", "the host is missing or no host"),
            ("ipmi://-oProxy", "the host is missing or no host"),
            ("ipmi://10.0.0.7:x", "the port is no number"),
            ("ipmi://10.0.0.7/1", "IPMI knows no systems"),
            ("redfish://h/a?b", "the system has characters that no path may have"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err().what, what, "{text}");
        }
    }
}
