//! What the history is told, already valid.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Under which name the API server reaches the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A host or address and a port.
    Address {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Service that somebody else keeps.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
}

/// A text that names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write {0}")]
pub struct ReachError(&'static str);

const ADDRESS: &str = "HOST:PORT, or service/NAMESPACE/NAME[:PORT] for a Service";

impl FromStr for Reach {
    type Err = ReachError;

    fn from_str(text: &str) -> Result<Self, ReachError> {
        let wrong = ReachError(ADDRESS);
        if let Some(service) = text.strip_prefix("service/") {
            let (namespace, rest) = service.split_once('/').ok_or_else(|| wrong.clone())?;
            let (name, port) = rest.split_once(':').unwrap_or((rest, "443"));
            if namespace.is_empty() || name.is_empty() {
                return Err(wrong);
            }
            let port = port.parse().map_err(|_| wrong)?;
            return Ok(Self::Service { namespace: namespace.to_owned(), name: name.to_owned(), port });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong.clone())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong);
        }
        Ok(Self::Address { host: host.to_owned(), port: port.parse().map_err(|_| wrong)? })
    }
}

/// Settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the files are; made if absent.
    pub directory: PathBuf,
    /// Where the webhook and the aggregated API listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the API server reaches them; else at the address they listen on.
    pub reach: Option<Reach>,
}

impl Config {
    /// The files in `directory`, a free port of the loopback.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let listen = SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
        Self { directory: directory.into(), listen, reach: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_hosts_or_services() {
        let address = |host: &str, port| Ok(Reach::Address { host: host.to_owned(), port });
        assert_eq!("10.0.0.7:9443".parse(), address("10.0.0.7", 9443));
        assert_eq!("[::1]:9443".parse(), address("::1", 9443));
        let service = Reach::Service { namespace: "ops".into(), name: "history".into(), port: 443 };
        assert_eq!("service/ops/history".parse(), Ok(service));
        for wrong in ["", "host", ":1", "h:x", "service/a", "service//b", "service/a/b:x"] {
            assert!(wrong.parse::<Reach>().is_err(), "{wrong}");
        }
    }
}
