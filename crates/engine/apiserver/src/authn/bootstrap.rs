//! Tokens with which machines join: a Secret each, of which only the secret half's hash is kept. A Secret that holds the
//! secret itself, as other tools write it, is taken too.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use muster_api::join::{BOOTSTRAPPERS, TOKEN_HASH, TOKEN_NAMESPACE, TOKEN_PREFIX, TOKEN_TYPE, TOKEN_USER};
use muster_store::{Key, Store};
use serde_json::Value;

use super::Identity;
use crate::object::Object;

/// Who shows the token `ID.SECRET`; the refusal is for the log, since whoever asks is told nothing.
pub(crate) fn accept(
    store: &Store<Object>,
    id: &str,
    secret: &str,
    now: Timestamp,
) -> Result<Identity, &'static str> {
    let key = Key::new("secrets", TOKEN_NAMESPACE, format!("{TOKEN_PREFIX}{id}"));
    let found = store.get(&key).ok_or("there is no such joining token")?;
    judge(&found.value.stored_document(found.revision.get()), id, secret, now)
}

fn judge(document: &Value, id: &str, secret: &str, now: Timestamp) -> Result<Identity, &'static str> {
    let data = |key: &str| data(document, key);
    let leaving = document["metadata"].get("deletionTimestamp").is_some();
    if document["type"].as_str() != Some(TOKEN_TYPE) || leaving {
        return Err("there is no such joining token any more");
    }
    let wanted = match data(TOKEN_HASH) {
        Some(hash) => hash,
        None => hash(&data("token-secret").ok_or("the joining token has no hash")?),
    };
    if wanted != hash(secret) {
        return Err("the secret half of the joining token is wrong");
    }
    let expires = data("expiration").and_then(|text| text.parse::<Timestamp>().ok());
    if expires.is_none_or(|expires| expires <= now) {
        return Err("the joining token has expired");
    }
    if data("usage-bootstrap-authentication").as_deref() != Some("true") {
        return Err("the token is not for joining");
    }
    let extra = data("auth-extra-groups").unwrap_or_default();
    let prefix = format!("{BOOTSTRAPPERS}:");
    let mut groups = vec![BOOTSTRAPPERS];
    groups.extend(extra.split(',').filter(|group| group.starts_with(&prefix)));
    Ok(Identity::new(format!("{TOKEN_USER}{id}"), &groups))
}

fn data(secret: &Value, key: &str) -> Option<String> {
    let text = secret["data"].get(key)?.as_str()?;
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

fn hash(secret: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn token(change: &[(&str, &str)]) -> Value {
        let expires = at(60).to_string();
        let good = hash("0123456789abcdef");
        let mut rows = vec![
            (TOKEN_HASH, good.as_str()),
            ("expiration", expires.as_str()),
            ("usage-bootstrap-authentication", "true"),
            ("auth-extra-groups", "system:bootstrappers:muster,system:masters"),
        ];
        rows.extend(change.iter().copied());
        let data: serde_json::Map<String, Value> =
            rows.into_iter().map(|(key, value)| (key.to_owned(), json!(STANDARD.encode(value)))).collect();
        json!({"type": TOKEN_TYPE, "metadata": {"name": "t"}, "data": data})
    }

    #[test]
    fn a_token_counts_until_its_time_and_gives_no_group_but_those_of_joining() {
        let ask = |document: &Value, secret: &str, second: i64| judge(document, "abc123", secret, at(second));
        let who = ask(&token(&[]), "0123456789abcdef", 59).unwrap();
        assert_eq!(who.user, "system:bootstrap:abc123");
        assert_eq!(who.groups, [BOOTSTRAPPERS, "system:bootstrappers:muster", "system:authenticated"]);
        for (change, secret, second) in [
            (vec![], "0123456789abcdef", 60),
            (vec![], "1123456789abcdef", 0),
            (vec![("usage-bootstrap-authentication", "false")], "0123456789abcdef", 0),
            (vec![("expiration", "never")], "0123456789abcdef", 0),
        ] {
            assert!(ask(&token(&change), secret, second).is_err(), "{change:?} {secret} {second}");
        }
        let mut other = token(&[]);
        other["type"] = json!("Opaque");
        assert!(ask(&other, "0123456789abcdef", 0).is_err());
    }
}
