//! Who is asking: client certificates, service-account tokens, impersonation.

mod bootstrap;
mod impersonate;
mod jwt;
mod tokens;
mod x509;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub(crate) use bootstrap::accept as accept_joining;
pub use impersonate::{impersonated, wants};
pub use jwt::{SigningKey, SigningKeyError};
pub use tokens::{Bound, Claims, TokenRequest, Tokens};
pub use x509::of_certificate;

/// The group of everybody who showed credentials.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody else.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";

/// A user, as authorization and audit see one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// User name.
    pub user: String,
    /// Unique id, where the credential has one.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Further facts of the credential.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// A user with groups, and `system:authenticated` besides.
    pub fn new(user: impl Into<String>, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { user: user.into(), groups, ..Self::default() }
    }

    /// A part of Muster: `system:muster:NAME`.
    pub fn component(name: &str) -> Self {
        Self::new(format!("system:muster:{name}"), &["system:muster"])
    }

    /// A node's agent.
    pub fn node(name: &str) -> Self {
        Self::new(format!("system:node:{name}"), &["system:nodes"])
    }

    /// Somebody without credentials.
    pub fn anonymous() -> Self {
        Self {
            user: "system:anonymous".to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// Whether it is nobody in particular.
    pub fn is_anonymous(&self) -> bool {
        self.groups.iter().any(|group| group == UNAUTHENTICATED)
    }

    /// As `UserInfo`.
    pub fn document(&self) -> Value {
        let mut out = Map::new();
        out.insert("username".into(), json!(self.user));
        if !self.uid.is_empty() {
            out.insert("uid".into(), json!(self.uid));
        }
        if !self.groups.is_empty() {
            out.insert("groups".into(), json!(self.groups));
        }
        if !self.extra.is_empty() {
            out.insert("extra".into(), json!(self.extra));
        }
        Value::Object(out)
    }
}
