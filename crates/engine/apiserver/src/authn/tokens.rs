//! Service-account tokens (KEP-1205): made on request, bound to objects, checked against them.

use std::collections::HashMap;
use std::sync::Arc;

use muster_base::clock::SharedClock;
use muster_store::{Key, Store};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::jwt::{SigningKey, peek};
use super::{AUTHENTICATED, Identity};
use crate::object::Object;
use crate::status::Refusal;

/// A verified signature is remembered this many times over; a flood of tokens starts the memory anew.
const REMEMBERED_MAX: usize = 4096;
const LIFETIME_MIN_SECONDS: i64 = 600;
const LIFETIME_MAX_SECONDS: i64 = 1 << 32;
const CLAIM: &str = "kubernetes.io";

/// An object that a token lives and dies with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// `Pod`, `Secret` or `Node`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// For a pod: the node it runs on, with its uid.
    pub node: Option<(String, String)>,
}

/// A token asked for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Who may accept the token; empty is this API server.
    pub audiences: Vec<String>,
    /// Seconds it is good for.
    pub lifetime_seconds: i64,
    /// What it is bound to.
    pub bound: Option<Bound>,
}

/// A token that was accepted.
#[derive(Clone, Debug)]
pub struct Claims {
    /// The service account as a user.
    pub identity: Identity,
    /// The audiences for which it was made.
    pub audiences: Vec<String>,
}

/// Makes and checks tokens.
pub struct Tokens {
    key: SigningKey,
    issuer: String,
    clock: SharedClock,
    store: Store<Object>,
    remembered: Mutex<HashMap<[u8; 32], Arc<Value>>>,
}

impl Tokens {
    /// Tokens of one issuer, which is their default audience too.
    pub fn new(key: SigningKey, issuer: String, clock: SharedClock, store: Store<Object>) -> Self {
        Self { key, issuer, clock, store, remembered: Mutex::new(HashMap::new()) }
    }

    /// The issuer's URL.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The JSON web key set.
    pub fn key_set(&self) -> Value {
        self.key.key_set()
    }

    /// Makes a token; with it the second at which it expires and its audiences.
    pub fn issue(&self, request: &TokenRequest) -> Result<(String, i64, Vec<String>), Refusal> {
        let now = self.clock.now().as_second();
        let expires = now + request.lifetime_seconds.clamp(LIFETIME_MIN_SECONDS, LIFETIME_MAX_SECONDS);
        let audiences =
            if request.audiences.is_empty() { vec![self.issuer.clone()] } else { request.audiences.clone() };
        let mut private = Map::new();
        private.insert("namespace".into(), json!(request.namespace));
        private.insert("serviceaccount".into(), json!({"name": request.name, "uid": request.uid}));
        if let Some(bound) = &request.bound {
            let reference = json!({"name": bound.name, "uid": bound.uid});
            private.insert(bound.kind.to_ascii_lowercase(), reference);
            if let Some((node, uid)) = &bound.node {
                private.insert("node".into(), json!({"name": node, "uid": uid}));
            }
        }
        let claims = json!({
            "aud": audiences, "exp": expires, "iat": now, "nbf": now, "iss": self.issuer,
            "jti": Uuid::new_v4().to_string(),
            "sub": format!("system:serviceaccount:{}:{}", request.namespace, request.name),
            CLAIM: private,
        });
        match self.key.sign(&claims) {
            Some(token) => Ok((token, expires, audiences)),
            None => Err(Refusal::internal("the system gave no random bytes to sign the token with")),
        }
    }

    /// Accepts a token for one of `audiences` (none: this API server); the refusal is a text for TokenReview.
    pub fn accept(&self, token: &str, audiences: &[String]) -> Result<Claims, String> {
        let claims = self.verified(token).ok_or("invalid bearer token")?;
        let text = |path: &str| claims.pointer(path).and_then(Value::as_str).unwrap_or("");
        if text("/iss") != self.issuer {
            return Err("token was issued by another issuer".to_owned());
        }
        let list = claims.get("aud").and_then(Value::as_array).into_iter().flatten();
        let own: Vec<String> = list.filter_map(|one| one.as_str().map(str::to_owned)).collect();
        let default = [self.issuer.clone()];
        let wanted = if audiences.is_empty() { &default[..] } else { audiences };
        let audiences: Vec<String> = own.into_iter().filter(|one| wanted.contains(one)).collect();
        if audiences.is_empty() {
            return Err(format!("token audiences are invalid for the target audiences {wanted:?}"));
        }
        let now = self.clock.now().as_second();
        let second = |key: &str| claims.get(key).and_then(Value::as_i64).unwrap_or(0);
        if now >= second("exp") {
            return Err("service account token has expired".to_owned());
        }
        if now < second("nbf") {
            return Err("service account token is not valid yet".to_owned());
        }
        let identity = self.identity(&claims)?;
        Ok(Claims { identity, audiences })
    }

    fn verified(&self, token: &str) -> Option<Arc<Value>> {
        peek(token)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        let mut key = [0_u8; 32];
        key.copy_from_slice(digest.as_ref());
        if let Some(claims) = self.remembered.lock().get(&key) {
            return Some(Arc::clone(claims));
        }
        let claims = Arc::new(self.key.verify(token)?);
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(key, Arc::clone(&claims));
        Some(claims)
    }

    fn identity(&self, claims: &Value) -> Result<Identity, String> {
        let text = |key: &str| claims[CLAIM].pointer(key).and_then(Value::as_str).unwrap_or("").to_owned();
        let (namespace, name, uid) =
            (text("/namespace"), text("/serviceaccount/name"), text("/serviceaccount/uid"));
        self.same_object("serviceaccounts", &namespace, &name, &uid)?;
        let mut extra = std::collections::BTreeMap::new();
        if let Some(id) = claims.get("jti").and_then(Value::as_str) {
            let key = "authentication.kubernetes.io/credential-id".to_owned();
            extra.insert(key, vec![format!("JTI={id}")]);
        }
        for (claim, resource) in [("pod", "pods"), ("secret", "secrets"), ("node", "nodes")] {
            let (bound, bound_uid) = (text(&format!("/{claim}/name")), text(&format!("/{claim}/uid")));
            if bound.is_empty() {
                continue;
            }
            // A pod's token also names its node, for information; only a token bound to the node dies with it.
            let bound_to_node = claim == "node" && text("/pod/name").is_empty();
            if claim != "node" || bound_to_node {
                let namespace = if claim == "node" { "" } else { namespace.as_str() };
                self.same_object(resource, namespace, &bound, &bound_uid)?;
            }
            if claim != "secret" {
                extra.insert(format!("authentication.kubernetes.io/{claim}-name"), vec![bound]);
                extra.insert(format!("authentication.kubernetes.io/{claim}-uid"), vec![bound_uid]);
            }
        }
        Ok(Identity {
            user: format!("system:serviceaccount:{namespace}:{name}"),
            uid,
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED.to_owned(),
            ],
            extra,
        })
    }

    fn same_object(&self, resource: &str, namespace: &str, name: &str, uid: &str) -> Result<(), String> {
        let key = Key::new(resource, namespace, name);
        match self.store.get(&key) {
            Some(found) if *found.value.header().uid == *uid => Ok(()),
            Some(_) => {
                Err(format!("{resource} \"{name}\" has another uid than the one the token is bound to"))
            }
            None => Err(format!("{resource} \"{name}\" that the token is bound to does not exist")),
        }
    }
}
