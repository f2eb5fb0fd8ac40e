//! The cluster's own certificate authority and what it signs.

use std::net::IpAddr;
use std::path::Path;

use jiff::{Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Credentials, PkiError, ServingNames, files};
use crate::authn::Identity;

const AUTHORITY_DAYS: i64 = 3650;
const LEAF_DAYS: i64 = 365;
const RENEW_BEFORE_DAYS: i64 = 30;
const DAY_SECONDS: i64 = 86_400;

/// Another name than the authority's: OpenSSL takes a certificate whose subject is its issuer for self-signed.
const SERVER: &str = "muster-apiserver";

const DNS_NAMES: &[&str] = &[
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

pub(super) struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn failed(what: &str) -> impl FnOnce(rcgen::Error) -> PkiError {
    move |source| PkiError::Certificate { what: what.to_owned(), source }
}

pub(super) fn new_key_pem() -> Result<String, PkiError> {
    Ok(KeyPair::generate().map_err(failed("a key"))?.serialize_pem())
}

fn params(common_name: &str, now: Timestamp, days: i64) -> CertificateParams {
    let date = |timestamp: Timestamp| {
        let date = timestamp.to_zoned(TimeZone::UTC).date();
        let small = |number: i8| u8::try_from(number).expect("months and days are positive");
        rcgen::date_time_ymd(date.year().into(), small(date.month()), small(date.day()))
    };
    let later = |seconds: i64| now + jiff::SignedDuration::from_secs(seconds);
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    // Python's strict verification asks for it (RFC 5280, 4.2.1.1).
    params.use_authority_key_identifier_extension = true;
    params.not_before = date(later(-DAY_SECONDS));
    params.not_after = date(later(days * DAY_SECONDS));
    params
}

impl Authority {
    /// The authority whose key and certificate are in `NAME.key` and `NAME.crt`; made where they are missing.
    pub(super) fn open(
        directory: &Path,
        name: &str,
        common_name: &str,
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        let (key_file, certificate_file) = (format!("{name}.key"), format!("{name}.crt"));
        let key_pem = files::read_or_make(&directory.join(&key_file), new_key_pem)?;
        let key = KeyPair::from_pem(&key_pem).map_err(failed(&key_file))?;
        let certificate_pem = files::read_or_make(&directory.join(&certificate_file), || {
            let mut params = params(common_name, now, AUTHORITY_DAYS);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
            Ok(params.self_signed(&key).map_err(failed(&certificate_file))?.pem())
        })?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(failed(&certificate_file))?;
        Ok(Self { certificate_pem, issuer })
    }

    pub(super) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    fn sign(&self, what: &str, params: &CertificateParams) -> Result<Credentials, PkiError> {
        let key = KeyPair::generate().map_err(failed(what))?;
        let certificate: Certificate = params.signed_by(&key, &self.issuer).map_err(failed(what))?;
        Ok(Credentials { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    pub(super) fn signs(&self, request: &rcgen::CertificateSigningRequestParams) -> Result<String, PkiError> {
        Ok(request.signed_by(&self.issuer).map_err(failed("a client certificate"))?.pem())
    }

    pub(super) fn client(&self, who: &Identity, now: Timestamp) -> Result<Credentials, PkiError> {
        let mut params = params(&who.user, now, LEAF_DAYS);
        let named: Vec<&String> =
            who.groups.iter().filter(|group| *group != crate::authn::AUTHENTICATED).collect();
        // rcgen keeps one value per attribute of a name, and each group is an organisation of its own.
        if named.len() > 1 {
            return Err(PkiError::Groups { user: who.user.clone(), groups: named.len() });
        }
        for group in named {
            params.distinguished_name.push(DnType::OrganizationName, group.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign("a client certificate", &params)
    }

    pub(super) fn server(
        &self,
        common_name: &str,
        names: &ServingNames,
        now: Timestamp,
    ) -> Result<Credentials, PkiError> {
        let mut params = params(common_name, now, LEAF_DAYS);
        for name in &names.dns {
            let name = name.as_str().try_into().map_err(failed("a name of the serving certificate"))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.subject_alt_names.extend(names.addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign("a serving certificate", &params)
    }

    /// The API's own serving certificate.
    pub(super) fn serving(
        &self,
        directory: &Path,
        names: &ServingNames,
        now: Timestamp,
    ) -> Result<Credentials, PkiError> {
        let names = with_fixed(names);
        let (certificate, key) = (directory.join("serving.crt"), directory.join("serving.key"));
        if let (Some(certificate_pem), Some(key_pem)) = (files::read(&certificate)?, files::read(&key)?)
            && still_good(&certificate_pem, &names, now)
        {
            return Ok(Credentials { certificate_pem, key_pem });
        }
        let made = self.server(SERVER, &names, now)?;
        files::write(&key, &made.key_pem)?;
        files::write(&certificate, &made.certificate_pem)?;
        Ok(made)
    }
}

fn with_fixed(names: &ServingNames) -> ServingNames {
    let mut all = names.clone();
    all.dns.extend(DNS_NAMES.iter().map(|name| (*name).to_owned()));
    all.addresses
        .extend([IpAddr::from(std::net::Ipv4Addr::LOCALHOST), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)]);
    all.dns.sort();
    all.dns.dedup();
    all.addresses.sort();
    all.addresses.dedup();
    all
}

/// Whether a certificate has all the names, does not end soon, and does not pass for self-signed.
pub(super) fn still_good(certificate_pem: &str, names: &ServingNames, now: Timestamp) -> bool {
    let Ok(der) = files::certificate_der("", certificate_pem) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
    if certificate.validity().not_after.timestamp() < now.as_second() + RENEW_BEFORE_DAYS * DAY_SECONDS {
        return false;
    }
    if certificate.subject() == certificate.issuer() {
        return false;
    }
    let extension = certificate.subject_alternative_name().map_or(None, |extension| extension);
    let held = extension.map_or(&[][..], |extension| &extension.value.general_names);
    let has_dns =
        |name: &String| held.iter().any(|held| matches!(held, GeneralName::DNSName(dns) if dns == name));
    let has_address = |address: &IpAddr| {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        held.iter().any(|held| matches!(held, GeneralName::IPAddress(bytes) if *bytes == octets))
    };
    names.dns.iter().all(has_dns) && names.addresses.iter().all(has_address)
}
