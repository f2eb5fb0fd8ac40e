//! The authority of its own that vouches for this server towards servers behind it.

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::Authority;
use super::{Pki, PkiError, files};
use crate::authn::Identity;

/// Common name of the certificate with which requests are handed on.
pub(crate) const NAME: &str = "front-proxy-client";

/// Who hands requests on: servers behind believe its `X-Remote-User` headers.
pub struct FrontProxy {
    pub(crate) authority_pem: String,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Pki {
    /// A new certificate for handing requests on, of an authority that signs nothing else: a client's certificate of
    /// the cluster's authority must not be taken for it.
    pub fn front_proxy(&self, now: Timestamp) -> Result<FrontProxy, PkiError> {
        let authority = Authority::open(&self.directory, "front-proxy-ca", "muster-front-proxy", now)?;
        let made = authority.client(&Identity { user: NAME.to_owned(), ..Identity::default() }, now)?;
        Ok(FrontProxy {
            authority_pem: authority.certificate_pem().to_owned(),
            chain: vec![files::certificate_der("the front proxy's certificate", &made.certificate_pem)?],
            key: files::key_der("the front proxy's key", &made.key_pem)?,
        })
    }
}
