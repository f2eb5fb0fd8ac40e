use jiff::SignedDuration;

use super::*;

fn now() -> Timestamp {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

fn serving(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("serving.crt")).unwrap()
}

#[test]
fn the_serving_certificate_is_made_anew_for_a_new_name_and_before_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let open = |dns: &[&str], when: Timestamp| {
        let dns = dns.iter().map(|name| (*name).to_owned()).collect();
        let pki = Pki::open(directory.path(), &ServingNames { dns, addresses: Vec::new() }, when).unwrap();
        (pki.authority_pem().to_owned(), serving(directory.path()))
    };
    let first = open(&["a"], now());
    assert_eq!(open(&["a"], now()), first);
    let renamed = open(&["a", "b"], now());
    assert_eq!(renamed.0, first.0);
    assert_ne!(renamed.1, first.1);
    let later = now() + SignedDuration::from_hours(24 * 340);
    assert_ne!(open(&["a"], later).1, renamed.1);
}

#[test]
fn what_is_signed_does_not_pass_for_self_signed_and_names_the_key_that_signed_it() {
    use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};
    let directory = tempfile::tempdir().unwrap();
    Pki::open(directory.path(), &ServingNames::default(), now()).unwrap();
    let der = |name: &str| {
        let pem = std::fs::read_to_string(directory.path().join(name)).unwrap();
        files::certificate_der(name, &pem).unwrap()
    };
    let (leaf, authority) = (der("serving.crt"), der("ca.crt"));
    let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
    let (_, authority) = X509Certificate::from_der(&authority).unwrap();
    assert_eq!(leaf.issuer(), authority.subject());
    assert_ne!(leaf.subject(), leaf.issuer());
    let own = authority.iter_extensions().find_map(|extension| {
        let ParsedExtension::SubjectKeyIdentifier(key) = extension.parsed_extension() else { return None };
        Some(key.0.to_vec())
    });
    let named = leaf.iter_extensions().find_map(|extension| {
        let ParsedExtension::AuthorityKeyIdentifier(key) = extension.parsed_extension() else { return None };
        key.key_identifier.as_ref().map(|key| key.0.to_vec())
    });
    assert!(own.is_some());
    assert_eq!(named, own);
}

#[test]
fn a_kubeconfig_that_is_still_good_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::open(directory.path(), &ServingNames::default(), now()).unwrap();
    let path = directory.path().join("kubeconfig");
    let who = Identity::new("kim", &[]);
    let write = |server: &str, when: Timestamp| {
        pki.write_kubeconfig(&path, server, &who, when).unwrap();
        std::fs::read_to_string(&path).unwrap()
    };
    let first = write("https://127.0.0.1:1", now());
    assert_eq!(write("https://127.0.0.1:1", now()), first);
    assert_ne!(write("https://127.0.0.1:2", now()), first);
}

#[test]
fn a_key_file_that_is_none_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ca.key"), "nonsense").unwrap();
    let error = Pki::open(directory.path(), &ServingNames::default(), now()).err().unwrap();
    assert!(error.to_string().starts_with("ca.key cannot be made or read"), "{error}");
}
