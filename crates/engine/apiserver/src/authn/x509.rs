//! Client certificates: common name is the user, organisations are the groups.

use x509_parser::prelude::{FromDer, X509Certificate};

use super::Identity;

/// The user that a verified client certificate names; `None` if it names none.
///
/// The chain and the validity were checked when the connection was opened; connections outlive certificates, so
/// the caller compares the validity returned with each request.
pub fn of_certificate(der: &[u8]) -> Option<(Identity, std::ops::RangeInclusive<i64>)> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return None };
    let subject = certificate.subject();
    let user = subject.iter_common_name().find_map(|name| name.as_str().ok())?;
    let groups: Vec<&str> = subject.iter_organization().filter_map(|name| name.as_str().ok()).collect();
    let validity = certificate.validity();
    let range = validity.not_before.timestamp()..=validity.not_after.timestamp();
    Some((Identity::new(user, &groups), range))
}
