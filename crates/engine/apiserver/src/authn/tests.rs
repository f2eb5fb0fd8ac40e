use serde_json::json;

use super::jwt::SigningKey;
use super::*;

fn key() -> SigningKey {
    let pair = rcgen::KeyPair::generate().unwrap();
    SigningKey::from_pkcs8(&pair.serialize_der()).unwrap()
}

#[test]
fn a_token_is_good_for_the_key_that_signed_it_only() {
    let (one, other) = (key(), key());
    let claims = json!({"sub": "kim"});
    let token = one.sign(&claims).unwrap();
    assert_eq!(one.verify(&token), Some(claims));
    assert_eq!(other.verify(&token), None);
}

#[test]
fn a_token_that_was_changed_or_names_another_algorithm_is_none() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    let key = key();
    let token = key.sign(&json!({"sub": "kim"})).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let claims = BASE64.encode(json!({"sub": "root"}).to_string());
    let none = BASE64.encode(json!({"alg": "none"}).to_string());
    for forged in [
        format!("{}.{claims}.{}", parts[0], parts[2]),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        String::new(),
        "...".to_owned(),
    ] {
        assert_eq!(key.verify(&forged), None, "{forged}");
    }
}

#[test]
fn a_certificate_names_its_user_and_groups() {
    let directory = tempfile::tempdir().unwrap();
    let now = "2026-11-23T06:00:00Z".parse().unwrap();
    let pki = crate::pki::Pki::open(directory.path(), &crate::pki::ServingNames::default(), now).unwrap();
    let credentials = pki.client(&Identity::new("kim", &["team"]), now).unwrap();
    let der = <rustls::pki_types::CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_slice(
        credentials.certificate_pem.as_bytes(),
    )
    .unwrap();
    let (identity, validity) = of_certificate(&der).unwrap();
    assert_eq!(identity, Identity::new("kim", &["team"]));
    assert!(validity.contains(&now.as_second()));
    assert!(!validity.contains(&(now.as_second() + 400 * 86_400)));
    assert_eq!(of_certificate(b"nonsense"), None);
    let several = pki.client(&Identity::new("kim", &["a", "b"]), now).unwrap_err();
    assert!(several.to_string().contains("can name one group, not 2"), "{several}");
}
