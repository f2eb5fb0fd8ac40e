//! The history's own certificate authority, kept beside its files, and the certificate of this life of the process.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use parking_lot::RwLock;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::config::Reach;

const AUTHORITY_DAYS: i64 = 7300;
/// The certificate is made anew at every start; a process does not run for ten years.
const LEAF_DAYS: i64 = 3650;
const DAY_SECONDS: i64 = 86_400;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: cannot keep the certificate authority; check owner and free space", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A key or certificate cannot be made or read.
    #[error("{}: remove it to have it made anew", .path.display())]
    Certificate {
        /// Which directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: rcgen::Error,
    },
    /// TLS does not take the settings.
    #[error("TLS refuses the settings")]
    Settings(#[from] rustls::Error),
    /// The front proxy's authority is not usable.
    #[error("TLS refuses the front proxy's authority")]
    Proxy(#[from] rustls::server::VerifierBuilderError),
}

/// What the port shows, and whom it believes.
pub(super) struct Keys {
    authority_pem: String,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    settings: RwLock<Arc<ServerConfig>>,
}

fn params(name: &str, now: Timestamp, days: i64) -> CertificateParams {
    let date = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        let small = |number: i8| u8::try_from(number).expect("months and days are positive");
        rcgen::date_time_ymd(date.year().into(), small(date.month()), small(date.day()))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date(now - SignedDuration::from_secs(DAY_SECONDS));
    params.not_after = date(now + SignedDuration::from_secs(days * DAY_SECONDS));
    params
}

fn authority(now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = params("muster-history-ca", now, AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

impl Keys {
    /// Reads or makes the authority under `directory`, and makes a certificate for where the API server reaches us.
    ///
    /// # Errors
    /// The files cannot be had, or are none.
    pub(super) fn open(directory: &Path, reach: &Reach, now: Timestamp) -> Result<Self, TlsError> {
        let path = directory.join("pki");
        let of_files = |source| TlsError::File { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(of_files)?;
        let (certificate_file, key_file) = (path.join("ca.crt"), path.join("ca.key"));
        let failed = |source| TlsError::Certificate { path: path.clone(), source };
        if !certificate_file.exists() || !key_file.exists() {
            let (certificate, key) = authority(now).map_err(failed)?;
            write(&key_file, &key).map_err(of_files)?;
            write(&certificate_file, &certificate).map_err(of_files)?;
        }
        let authority_pem = fs::read_to_string(&certificate_file).map_err(of_files)?;
        let key_pem = fs::read_to_string(&key_file).map_err(of_files)?;
        let (certificate, key) = leaf(&authority_pem, &key_pem, reach, now).map_err(failed)?;
        let settings = settings(&certificate, &key, None)?;
        Ok(Self { authority_pem, certificate, key, settings: RwLock::new(settings) })
    }

    pub(super) fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    pub(super) fn settings(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.settings.read())
    }

    /// Believes client certificates of this authority from the next connection on.
    ///
    /// # Errors
    /// It is no authority.
    pub(super) fn trust(&self, proxy_pem: &str) -> Result<(), TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(proxy_pem.as_bytes()).flatten() {
            roots.add(certificate)?;
        }
        *self.settings.write() = settings(&self.certificate, &self.key, Some(roots))?;
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn leaf(
    authority_pem: &str,
    key_pem: &str,
    reach: &Reach,
    now: Timestamp,
) -> Result<(CertificateDer<'static>, PrivatePkcs8KeyDer<'static>), rcgen::Error> {
    let issuer = Issuer::from_ca_cert_pem(authority_pem, KeyPair::from_pem(key_pem)?)?;
    let mut params = params("muster-history", now, LEAF_DAYS);
    for name in super::register::server_names(reach) {
        params.subject_alt_names.push(match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into()?),
        });
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der())))
}

fn settings(
    certificate: &CertificateDer<'static>,
    key: &PrivatePkcs8KeyDer<'static>,
    proxy: Option<RootCertStore>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match proxy {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
        }
    };
    let key = PrivateKeyDer::Pkcs8(key.clone_key());
    let mut config = builder.with_single_cert(vec![certificate.clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The common name of a certificate.
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    parsed.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}
