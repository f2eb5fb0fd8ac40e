//! Keys and certificates of one cluster: made once under the data directory, mode 0600, and used again.

mod agents;
mod authority;
mod files;
mod kubeconfig;
mod proxy;
mod requests;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::authn::{Identity, SigningKey};
pub(crate) use agents::AnyCertificate;
use authority::Authority;
pub use proxy::FrontProxy;
pub(crate) use proxy::NAME as FRONT_PROXY_NAME;
pub use requests::Subject;

/// A certificate with its key, as PEM texts.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Certificate.
    pub certificate_pem: String,
    /// Private key.
    pub key_pem: String,
}

/// Names and addresses that the serving certificate is for, besides the fixed ones.
#[derive(Clone, Debug, Default)]
pub struct ServingNames {
    /// DNS names.
    pub dns: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// Why the keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("{path}: cannot {step}; check the data directory's owner and free space")]
    File {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A key or certificate cannot be made or read.
    #[error(
        "{what} cannot be made or read; if a file was changed by hand, restore it or remove the pki directory"
    )]
    Certificate {
        /// Which one.
        what: String,
        /// The reason.
        #[source]
        source: rcgen::Error,
    },
    /// A PEM file holds something else.
    #[error("{what} is not what it should be; restore it or remove the pki directory")]
    Pem {
        /// Which one.
        what: String,
    },
    /// A client certificate can name one group.
    #[error(
        "the certificate of {user} can name one group, not {groups}; use a token, or bind roles to the user"
    )]
    Groups {
        /// For whom it was asked.
        user: String,
        /// How many groups were asked for.
        groups: usize,
    },
    /// The signer that was asked does not sign for this subject.
    #[error("this signer does not sign for {user:?} with its groups")]
    Subject {
        /// For whom it was asked.
        user: String,
    },
    /// TLS does not take the certificates.
    #[error("TLS refuses the certificates")]
    Tls(#[source] rustls::Error),
    /// Client certificates cannot be verified with this authority.
    #[error("TLS refuses the certificate authority")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// The token signing key is not usable.
    #[error("the service-account signing key is not usable")]
    SigningKey(#[source] crate::authn::SigningKeyError),
}

/// The keys of one cluster.
pub struct Pki {
    directory: PathBuf,
    authority: Authority,
    serving: Credentials,
    service_account_key_pem: String,
}

impl Pki {
    /// Opens the keys under `directory`, making what is missing. A serving certificate that lacks a name or
    /// ends within 30 days is made anew.
    pub fn open(directory: &Path, names: &ServingNames, now: Timestamp) -> Result<Self, PkiError> {
        files::make_directory(directory)?;
        let authority = Authority::open(directory, "ca", "muster", now)?;
        let serving = authority.serving(directory, names, now)?;
        let key = directory.join("service-account.key");
        let service_account_key_pem = files::read_or_make(&key, authority::new_key_pem)?;
        Ok(Self { directory: directory.to_owned(), authority, serving, service_account_key_pem })
    }

    /// The authority's certificate.
    pub fn authority_pem(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// The key that signs service-account tokens.
    pub fn signing_key(&self) -> Result<SigningKey, PkiError> {
        let der = files::key_der("service-account.key", &self.service_account_key_pem)?;
        SigningKey::from_pkcs8(der.secret_der()).map_err(PkiError::SigningKey)
    }

    /// A new client certificate for a user with at most one group, good for a year.
    pub fn client(&self, who: &Identity, now: Timestamp) -> Result<Credentials, PkiError> {
        self.authority.client(who, now)
    }

    /// A new serving certificate for other parts of the cluster (a node agent's port).
    pub fn server(
        &self,
        common_name: &str,
        names: &ServingNames,
        now: Timestamp,
    ) -> Result<Credentials, PkiError> {
        self.authority.server(common_name, names, now)
    }

    /// Writes a kubeconfig for `who` to `path` (mode 0600). One that is still good is left as it is.
    pub fn write_kubeconfig(
        &self,
        path: &Path,
        server: &str,
        who: &Identity,
        now: Timestamp,
    ) -> Result<(), PkiError> {
        kubeconfig::write(self, path, server, who, now)
    }

    /// Where the keys are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// TLS settings of the API's port: client certificates are optional, ALPN offers HTTP/2 and 1.1.
    pub fn tls(&self) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(files::certificate_der("ca.crt", self.authority_pem())?).map_err(PkiError::Tls)?;
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        )
        .allow_unauthenticated()
        .build()
        .map_err(PkiError::Verifier)?;
        let chain: Vec<CertificateDer<'static>> =
            vec![files::certificate_der("serving.crt", &self.serving.certificate_pem)?];
        let key: PrivateKeyDer<'static> = files::key_der("serving.key", &self.serving.key_pem)?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(PkiError::Tls)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(PkiError::Tls)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
