//! Signing what others ask for.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::join::{NODE_USER, NODES};
use rcgen::{CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};

use super::{Pki, PkiError, files};
use crate::authn::{AUTHENTICATED, Identity, of_certificate};
use crate::authz::MASTERS;

/// For whom a certificate may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Agents of nodes and nobody else.
    Agent,
    /// Anybody but those who may do everything.
    User,
}

impl Subject {
    fn takes(self, who: &Identity) -> bool {
        let groups: Vec<&str> =
            who.groups.iter().map(String::as_str).filter(|group| *group != AUTHENTICATED).collect();
        match self {
            Self::Agent => {
                groups == [NODES] && who.user.strip_prefix(NODE_USER).is_some_and(|name| !name.is_empty())
            }
            Self::User => !groups.contains(&MASTERS),
        }
    }
}

/// No certificate lasts longer.
const LIFETIME_MAX: Duration = Duration::from_secs(365 * 86_400);
/// None lasts shorter, as upstream.
const LIFETIME_MIN: Duration = Duration::from_secs(600);
/// Clocks of others may be late by that much.
const BACKDATE_SECONDS: i64 = 300;

impl Pki {
    /// A client certificate (PEM) for the subject and key of a request (PEM); whatever else it asks for is left out. The
    /// signature of the request, which proves that the asker holds the key, is checked.
    ///
    /// # Errors
    /// The request cannot be read, its signature is wrong, or its subject is not one of `subject`.
    pub fn sign_client(
        &self,
        request_pem: &str,
        subject: Subject,
        lifetime: Option<Duration>,
        now: Timestamp,
    ) -> Result<String, PkiError> {
        let failed = |source| PkiError::Certificate { what: "the certificate request".to_owned(), source };
        let mut request = CertificateSigningRequestParams::from_pem(request_pem).map_err(failed)?;
        let lifetime = lifetime.unwrap_or(LIFETIME_MAX).clamp(LIFETIME_MIN, LIFETIME_MAX);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let at = |second: i64| epoch + Duration::from_secs(u64::try_from(second).unwrap_or(0));
        let params = &mut request.params;
        params.not_before = at(now.as_second() - BACKDATE_SECONDS);
        params.not_after = at(now.as_second() + i64::try_from(lifetime.as_secs()).unwrap_or(0));
        params.is_ca = IsCa::NoCa;
        params.subject_alt_names.clear();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.custom_extensions.clear();
        let certificate = self.authority.signs(&request)?;
        let der = files::certificate_der("the certificate", &certificate)?;
        let (who, _) = of_certificate(&der).ok_or_else(|| PkiError::Subject { user: String::new() })?;
        if subject.takes(&who) { Ok(certificate) } else { Err(PkiError::Subject { user: who.user }) }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;
    use crate::pki::ServingNames;

    fn request(user: &str, group: &str) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }

    #[test]
    fn a_certificate_is_for_the_asked_subject_and_time_and_only_for_whom_the_signer_is() {
        let directory = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let pki = Pki::open(directory.path(), &ServingNames::default(), now).unwrap();
        let sign = |user: &str, group: &str, subject| {
            pki.sign_client(&request(user, group), subject, Some(Duration::from_secs(3600)), now)
        };
        let pem = sign("system:node:m1", NODES, Subject::Agent).unwrap();
        let (who, validity) = of_certificate(&files::certificate_der("", &pem).unwrap()).unwrap();
        assert_eq!((who.user.as_str(), who.groups[0].as_str()), ("system:node:m1", NODES));
        assert_eq!(*validity.end(), now.as_second() + 3600);
        for (user, group, subject) in [
            ("kim", NODES, Subject::Agent),
            ("system:node:m1", MASTERS, Subject::Agent),
            ("kim", MASTERS, Subject::User),
        ] {
            let error = sign(user, group, subject).unwrap_err();
            assert!(matches!(error, PkiError::Subject { .. }), "{error}");
        }
        assert!(sign("kim", "team", Subject::User).is_ok());
        assert!(pki.sign_client("nonsense", Subject::User, None, now).is_err());
    }
}
