//! Which cluster it is: the authority it names counts only if its key has the hash that was told.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::config::Kubeconfig;
use sha2::{Digest as _, Sha256};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{JoinError, bounded};

/// The hash of a certificate's public key, as `kubeadm` writes it: `sha256:` over the SubjectPublicKeyInfo.
pub fn ca_hash(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let digest = Sha256::digest(certificate.public_key().raw);
    Some(digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    }))
}

/// The authority (PEM) of the cluster at `server`. The connection is not verified: what comes over it is believed only
/// where the hash says so, and nothing is sent.
pub(super) async fn authority(server: &str, wanted: &str) -> Result<String, JoinError> {
    let digits = wanted.strip_prefix("sha256:").unwrap_or_default();
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(JoinError::Hash { hash: wanted.to_owned() });
    }
    let wanted = wanted.to_ascii_lowercase();
    let unknown = || JoinError::NoAuthority { server: server.to_owned() };
    let url = server.parse().map_err(|_| JoinError::Server { server: server.to_owned() })?;
    let mut config = kube::Config::new(url);
    config.accept_invalid_certs = true;
    let maps: Api<ConfigMap> = Api::namespaced(bounded(config)?, "kube-public");
    let map = match maps.get("cluster-info").await {
        Ok(map) => map,
        Err(kube::Error::Api(_)) => return Err(unknown()),
        Err(source) => {
            return Err(JoinError::Unreachable { server: server.to_owned(), source: Box::new(source) });
        }
    };
    let text = map.data.and_then(|mut data| data.remove("kubeconfig")).ok_or_else(unknown)?;
    let bundle = authority_of(&text).ok_or_else(unknown)?;
    pick(&bundle, &wanted).map_err(|found| JoinError::WrongAuthority {
        server: server.to_owned(),
        found,
        wanted,
    })
}

fn authority_of(kubeconfig: &str) -> Option<String> {
    let config = Kubeconfig::from_yaml(kubeconfig).ok()?;
    let data = config.clusters.into_iter().find_map(|named| named.cluster?.certificate_authority_data)?;
    String::from_utf8(STANDARD.decode(data.trim()).ok()?).ok()
}

/// The certificate of a bundle whose key has the hash; else the hashes that were found.
fn pick(bundle: &str, wanted: &str) -> Result<String, String> {
    let mut found = Vec::new();
    for pem in Pem::iter_from_buffer(bundle.as_bytes()).flatten() {
        let Some(hash) = ca_hash(&pem.contents) else { continue };
        if hash == wanted {
            let text = STANDARD.encode(&pem.contents);
            let lines: Vec<&str> =
                (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
            let body = lines.join("\n");
            return Ok(format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"));
        }
        found.push(hash);
    }
    Err(if found.is_empty() { "unreadable".to_owned() } else { found.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(name: &str) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap().pem()
    }

    fn hash(pem: &str) -> String {
        ca_hash(&Pem::iter_from_buffer(pem.as_bytes()).next().unwrap().unwrap().contents).unwrap()
    }

    #[test]
    fn only_the_certificate_with_the_hash_is_taken_from_a_bundle() {
        let (a, b, c) = (certificate("a"), certificate("b"), certificate("c"));
        let bundle = format!("{a}{b}");
        assert_eq!(hash(&pick(&bundle, &hash(&b)).unwrap()), hash(&b));
        assert_eq!(pick(&bundle, &hash(&c)).unwrap_err(), format!("{}, {}", hash(&a), hash(&b)));
        assert_eq!(pick("nonsense", &hash(&c)).unwrap_err(), "unreadable");
        assert_eq!(ca_hash(b"nonsense"), None);
    }
}
