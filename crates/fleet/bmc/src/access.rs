//! Credentials of controllers: Secrets in one namespace, read by nobody else.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use muster_control::is_not_found;

use crate::address::{Address, Protocol};

/// The one namespace in which the Secrets of controllers stand.
pub const NAMESPACE: &str = muster_api::SECRETS_NAMESPACE;

/// How a controller is spoken to. Its `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// `username`.
    pub username: String,
    /// `password`.
    pub password: String,
    /// `ca.crt`: PEM certificates; the controller must show one of them or one that they vouch for.
    pub authority: Option<Vec<u8>>,
    /// How the connection is protected.
    pub transport: Transport,
    /// `cipherSuite`: number of the IPMI cipher suite; 17 unless told.
    pub cipher_suite: Option<u8>,
}

/// How a Redfish connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// TLS, the controller's certificate checked.
    #[default]
    Checked,
    /// TLS, whatever certificate it shows: `insecure: "true"`.
    Unchecked,
    /// No TLS: `scheme: http`.
    Plain,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({}, {:?})", self.username, self.transport)
    }
}

/// Why there is no access.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The machine names no Secret.
    #[error(
        "spec.bmc.secretRef: the machine names no Secret; create one in namespace {NAMESPACE} with username and password"
    )]
    NoReference,
    /// There is no such Secret.
    #[error("spec.bmc.secretRef: there is no Secret {name:?} in namespace {NAMESPACE}")]
    NotThere {
        /// Its name.
        name: String,
    },
    /// It could not be read.
    #[error("the Secret {name:?} in namespace {NAMESPACE} cannot be read")]
    Unreadable {
        /// Its name.
        name: String,
        /// The API's answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// It cannot be used.
    #[error("Secret {name:?}: {what}")]
    Unusable {
        /// Its name.
        name: String,
        /// Key, and what is wrong.
        what: String,
    },
}

/// Reads the Secret of that name.
///
/// # Errors
/// It is not there, cannot be read or cannot be used.
pub async fn read(client: &Client, name: &str, address: &Address) -> Result<Access, AccessError> {
    if name.is_empty() {
        return Err(AccessError::NoReference);
    }
    let api: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let secret = api.get(name).await.map_err(|error| match is_not_found(&error) {
        true => AccessError::NotThere { name: name.to_owned() },
        false => AccessError::Unreadable { name: name.to_owned(), source: Box::new(error) },
    })?;
    let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    Access::parse(&data, address).map_err(|what| AccessError::Unusable { name: name.to_owned(), what })
}

impl Access {
    /// Reads the keys of a Secret, for a controller at `address`.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    pub fn parse(data: &BTreeMap<String, Vec<u8>>, address: &Address) -> Result<Self, String> {
        let text = |key: &str| match data.get(key) {
            None => Ok(None),
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.trim_end_matches('\n').to_owned())),
                Err(_) => Err(format!("{key}: not UTF-8")),
            },
        };
        let needed =
            |key: &str| text(key)?.filter(|t| !t.is_empty()).ok_or_else(|| format!("{key}: missing"));
        let insecure = match text("insecure")?.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err("insecure: must be \"true\" or \"false\"".to_owned()),
        };
        let plain = match text("scheme")?.as_deref() {
            None | Some("https") => false,
            Some("http") => true,
            Some(_) => return Err("scheme: must be https or http".to_owned()),
        };
        let authority = data.get("ca.crt").cloned();
        let transport = match (plain, insecure) {
            (true, false) if !address.is_loopback() => {
                return Err("scheme: http sends the password in the clear; say insecure: \"true\" too if that is meant".to_owned());
            }
            (true, _) => Transport::Plain,
            (false, true) => Transport::Unchecked,
            (false, false) if address.protocol == Protocol::Redfish && authority.is_none() => {
                return Err("ca.crt: missing; put the controller's certificate or its authority there, or say insecure: \"true\"".to_owned());
            }
            (false, false) => Transport::Checked,
        };
        let cipher_suite = text("cipherSuite")?
            .map(|number| number.parse().map_err(|_| "cipherSuite: must be a number".to_owned()))
            .transpose()?;
        let (username, password) = (needed("username")?, needed("password")?);
        if username.contains(':') || username.starts_with('-') {
            return Err("username: must have no colon and not begin with a hyphen".to_owned());
        }
        Ok(Self { username, password, authority, transport, cipher_suite })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str, rows: &[(&str, &str)]) -> Result<Access, String> {
        let good = [("username", "admin"), ("password", "secret\n")];
        let rows = good.iter().chain(rows).map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())).collect();
        Access::parse(&rows, &address.parse().unwrap())
    }

    #[test]
    fn what_protects_a_connection_is_said_or_refused() {
        let remote = "redfish://10.0.0.7/1";
        let transport = |address, rows| parse(address, rows).map(|access| access.transport);
        assert_eq!(transport(remote, &[("ca.crt", "pem")]), Ok(Transport::Checked));
        assert_eq!(transport(remote, &[("insecure", "true")]), Ok(Transport::Unchecked));
        assert_eq!(transport("redfish://127.0.0.1:8000/1", &[("scheme", "http")]), Ok(Transport::Plain));
        assert_eq!(transport(remote, &[("scheme", "http"), ("insecure", "true")]), Ok(Transport::Plain));
        assert_eq!(transport("ipmi://10.0.0.7", &[]), Ok(Transport::Checked));
        for (rows, begins) in [
            (&[][..], "ca.crt: missing"),
            (&[("scheme", "http")][..], "scheme: http sends the password in the clear"),
            (&[("scheme", "ftp")][..], "scheme: must be"),
            (&[("insecure", "yes")][..], "insecure: must be"),
            (&[("username", "")][..], "ca.crt: missing"),
            (&[("insecure", "true"), ("password", "")][..], "password: missing"),
            (&[("insecure", "true"), ("username", "-x")][..], "username: must have"),
        ] {
            let error = transport(remote, rows).unwrap_err();
            assert!(error.starts_with(begins), "{error}");
        }
    }

    #[test]
    fn a_password_is_not_shown_and_loses_its_line_end() {
        let access = parse("ipmi://h", &[("cipherSuite", "3")]).unwrap();
        assert_eq!((access.password.as_str(), access.cipher_suite), ("secret", Some(3)));
        assert_eq!(format!("{access:?}"), "Access(admin, Checked)");
    }
}
