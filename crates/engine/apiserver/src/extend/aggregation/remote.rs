//! The registrations that name a Service, as a view of the store.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::extend::backend::{Backend, BackendError, Place, Trust};
use crate::object::{Seen, View};
use crate::server::ApiServer;

/// A server that serves one group version.
#[derive(Clone)]
pub(crate) struct Remote {
    /// Name of the registration.
    pub(super) name: String,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) place: Place,
    trust: Trust,
    /// Or what its last check found.
    pub(super) available: Result<(), String>,
    backend: Arc<OnceLock<Backend>>,
}

impl Remote {
    fn of(document: &Value) -> Option<Self> {
        let spec = &document["spec"];
        let service = spec["service"].as_object()?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
        let port = service.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        Some(Self {
            name: text(document["metadata"].get("name")),
            group: text(spec.get("group")),
            version: text(spec.get("version")),
            place: Place::Service {
                namespace: text(service.get("namespace")),
                name: text(service.get("name")),
                port: port.unwrap_or(443),
            },
            trust: trust(spec),
            available: available(document),
            backend: Arc::default(),
        })
    }

    /// The way to it; connections are kept as long as place and trust stay.
    pub(super) fn backend(&self, server: &ApiServer) -> Result<Backend, BackendError> {
        if let Some(backend) = self.backend.get() {
            return Ok(backend.clone());
        }
        let own = &server.inner().front_proxy;
        let made = Backend::new(self.place.clone(), &self.trust, Some(own), server.store())?;
        Ok(self.backend.get_or_init(|| made).clone())
    }

    pub(super) fn group_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }
}

fn trust(spec: &Value) -> Trust {
    if spec["insecureSkipTLSVerify"] == true {
        return Trust::Anything;
    }
    match spec["caBundle"].as_str().filter(|text| !text.is_empty()).map(|text| STANDARD.decode(text)) {
        Some(Ok(pem)) => Trust::Bundle(pem),
        Some(Err(_)) => Trust::Bundle(Vec::new()),
        None => Trust::System,
    }
}

fn available(document: &Value) -> Result<(), String> {
    let conditions = document["status"]["conditions"].as_array().into_iter().flatten();
    let found = conditions.into_iter().find(|condition| condition["type"] == "Available");
    match found {
        Some(condition) if condition["status"] == "True" => Ok(()),
        Some(condition) => Err(condition["message"].as_str().unwrap_or("").to_owned()),
        None => Err("not checked yet".to_owned()),
    }
}

/// All of them, by group and version.
#[derive(Clone, Default)]
pub(super) struct Remotes(BTreeMap<String, BTreeMap<String, Arc<Remote>>>);

impl Remotes {
    pub(super) fn find(&self, group: &str, version: &str) -> Option<Arc<Remote>> {
        self.0.get(group)?.get(version).cloned()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Remote>> {
        self.0.values().flat_map(BTreeMap::values)
    }

    fn remove(&mut self, name: &str) -> Option<Arc<Remote>> {
        let known = self.all().find(|remote| remote.name == name).cloned()?;
        let versions = self.0.get_mut(&known.group)?;
        versions.remove(&known.version);
        if versions.is_empty() {
            self.0.remove(&known.group);
        }
        Some(known)
    }
}

impl View for Remotes {
    fn apply(&mut self, seen: Seen<'_>) {
        let (Seen::Put(entry) | Seen::Gone(entry)) = &seen;
        let before = self.remove(&entry.key.name);
        if let Seen::Gone(_) = seen {
            return;
        }
        let Some(mut remote) = Remote::of(&entry.value.stored_document(entry.revision.get())) else { return };
        let same = |before: &Arc<Remote>| before.place == remote.place && before.trust == remote.trust;
        if let Some(before) = before.filter(same) {
            remote.backend = Arc::clone(&before.backend);
        }
        let versions = self.0.entry(remote.group.clone()).or_default();
        versions.insert(remote.version.clone(), Arc::new(remote));
    }
}
