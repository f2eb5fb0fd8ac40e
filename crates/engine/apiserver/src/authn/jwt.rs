//! JSON web tokens signed with ES256 (RFC 7515, RFC 7518 section 3.4), and the key set that verifies them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde_json::{Value, json};

/// A signing key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// Not a PKCS #8 document with a P-256 key.
    #[error("the key is not a P-256 key in PKCS #8 form ({0})")]
    Rejected(ring::error::KeyRejected),
}

/// The key that signs service-account tokens.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    id: String,
}

impl SigningKey {
    /// Reads a P-256 key in PKCS #8 form.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SigningKeyError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            .map_err(SigningKeyError::Rejected)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, pair.public_key().as_ref());
        let id = URL_SAFE_NO_PAD.encode(digest);
        Ok(Self { pair, random, id })
    }

    /// Signs claims; `None` when the system gives no randomness.
    pub fn sign(&self, claims: &Value) -> Option<String> {
        let header = json!({"alg": "ES256", "kid": self.id});
        let text = format!("{}.{}", encode(&header), encode(claims));
        match self.pair.sign(&self.random, text.as_bytes()) {
            Ok(signature) => Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))),
            Err(ring::error::Unspecified) => None,
        }
    }

    /// The claims of a token that this key signed.
    pub fn verify(&self, token: &str) -> Option<Value> {
        let (text, signature) = token.rsplit_once('.')?;
        let (header, claims) = text.split_once('.')?;
        if decode_json(header)?.get("alg")?.as_str()? != "ES256" {
            return None;
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref());
        key.verify(text.as_bytes(), &decode(signature)?).is_ok().then(|| decode_json(claims)).flatten()
    }

    /// The public key as a JSON web key set (RFC 7517).
    pub fn key_set(&self) -> Value {
        // An uncompressed point: one byte 4, then 32 bytes x, then 32 bytes y (SEC 1, 2.3.3).
        let point = self.pair.public_key().as_ref();
        let coordinate = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": coordinate(1..33), "y": coordinate(33..65),
        }]})
    }
}

/// The claims of a token, unverified; to see who it claims to be from.
pub(super) fn peek(token: &str) -> Option<Value> {
    decode_json(token.split('.').nth(1)?)
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn decode_json(text: &str) -> Option<Value> {
    serde_json::from_slice(&decode(text)?).ok()
}
