//! The stored configurations as an index: which webhooks a resource may concern.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_schema::cel::condition::Condition;
use muster_store::Store;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::rules::Rule;
use crate::extend::backend::{Backend, BackendError, Place, Trust};
use crate::object::{Object, Seen, View};
use crate::request::LabelSelector;

const MUTATING: &str = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
const VALIDATING: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";
/// Calls to one webhook under way at a time; more wait, within their own time limit.
const CALLS_MAX: usize = 256;
const VARIABLES: [&str; 3] = ["object", "oldObject", "request"];

/// Whether a webhook changes objects or judges them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Mutating,
    Validating,
}

/// What becomes of a request whose webhook cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Refuse,
    Ignore,
}

/// One webhook.
pub(super) struct Hook {
    pub(super) name: String,
    pub(super) configuration: String,
    pub(super) rules: Vec<Rule>,
    pub(super) equivalent: bool,
    pub(super) failure: Failure,
    pub(super) namespaces: LabelSelector,
    pub(super) objects: LabelSelector,
    /// Or why they do not compile any more.
    pub(super) conditions: Result<Vec<Condition>, String>,
    pub(super) timeout: Duration,
    pub(super) side_effects: String,
    pub(super) versions: Vec<String>,
    pub(super) reinvoked: bool,
    pub(super) calls: Semaphore,
    pub(super) path: String,
    place: Place,
    trust: Trust,
    backend: OnceLock<Backend>,
}

impl Hook {
    fn of(configuration: &str, document: &Value) -> Self {
        let text = |field: &str| document[field].as_str().unwrap_or("").to_owned();
        let selector = |field: &str| LabelSelector::of_document(&document[field]).unwrap_or_default();
        let versions = document["admissionReviewVersions"].as_array().into_iter().flatten();
        let seconds = document["timeoutSeconds"].as_u64().unwrap_or(10);
        let (place, path) = place(&document["clientConfig"]);
        Self {
            name: text("name"),
            configuration: configuration.to_owned(),
            rules: document["rules"].as_array().into_iter().flatten().map(Rule::of).collect(),
            equivalent: document["matchPolicy"] != "Exact",
            failure: if document["failurePolicy"] == "Ignore" { Failure::Ignore } else { Failure::Refuse },
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            conditions: conditions(&document["matchConditions"]),
            timeout: Duration::from_secs(seconds),
            side_effects: text("sideEffects"),
            versions: versions.filter_map(|one| one.as_str().map(str::to_owned)).collect(),
            reinvoked: document["reinvocationPolicy"] == "IfNeeded",
            calls: Semaphore::new(CALLS_MAX),
            path,
            place,
            trust: trust(&document["clientConfig"]),
            backend: OnceLock::new(),
        }
    }

    /// Whether a dry run may be shown to it.
    pub(super) fn takes_dry_runs(&self) -> bool {
        ["None", "NoneOnDryRun"].contains(&self.side_effects.as_str())
    }

    /// The way to its server; made on first use, kept as long as the configuration stays.
    pub(super) fn backend(&self, store: &Store<Object>) -> Result<Backend, BackendError> {
        if let Some(backend) = self.backend.get() {
            return Ok(backend.clone());
        }
        let made = Backend::new(self.place.clone(), &self.trust, None, store)?;
        Ok(self.backend.get_or_init(|| made).clone())
    }
}

fn conditions(list: &Value) -> Result<Vec<Condition>, String> {
    let list = list.as_array().into_iter().flatten();
    let texts = list.map(|condition| condition["expression"].as_str().unwrap_or("").trim());
    texts.map(|text| Condition::compile(text, &VARIABLES).map_err(|error| error.to_string())).collect()
}

fn place(client: &Value) -> (Place, String) {
    let service = &client["service"];
    if service.is_object() {
        let text = |field: &str| service[field].as_str().unwrap_or("").to_owned();
        let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
        let path = format!("/{}", text("path").trim_start_matches('/'));
        return (Place::Service { namespace: text("namespace"), name: text("name"), port }, path);
    }
    let url = client["url"].as_str().unwrap_or("").trim_start_matches("https://");
    let (authority, path) = url.split_once('/').unwrap_or((url, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(443)),
        Some(_) | None => (authority, 443),
    };
    (Place::Host { host: host.to_owned(), port }, format!("/{path}"))
}

fn trust(client: &Value) -> Trust {
    let bundle = client["caBundle"].as_str().filter(|text| !text.is_empty());
    match bundle.map(|text| STANDARD.decode(text)) {
        Some(Ok(pem)) => Trust::Bundle(pem),
        Some(Err(_)) => Trust::Bundle(Vec::new()),
        None => Trust::System,
    }
}

/// Webhooks of one stage by the plural names in their rules.
#[derive(Clone, Default)]
struct Index {
    hooks: Vec<Arc<Hook>>,
    named: HashMap<String, Vec<usize>>,
    of_all: Vec<usize>,
}

impl Index {
    fn of(hooks: Vec<Arc<Hook>>) -> Self {
        let mut index = Self { hooks, ..Self::default() };
        for (at, hook) in index.hooks.iter().enumerate() {
            let mut names: Vec<&str> = hook.rules.iter().flat_map(Rule::resources).collect();
            names.sort_unstable();
            names.dedup();
            if names.contains(&"*") {
                index.of_all.push(at);
                continue;
            }
            for name in names {
                index.named.entry(name.to_owned()).or_default().push(at);
            }
        }
        index
    }

    fn concern(&self, plural: &str) -> bool {
        !self.of_all.is_empty() || self.named.contains_key(plural)
    }

    /// In the order in which they are asked.
    fn about(&self, plural: &str) -> Vec<Arc<Hook>> {
        let named = self.named.get(plural);
        let mut found: Vec<usize> = self.of_all.iter().chain(named.into_iter().flatten()).copied().collect();
        found.sort_unstable();
        found.into_iter().map(|at| Arc::clone(&self.hooks[at])).collect()
    }
}

/// Every webhook there is.
#[derive(Clone, Default)]
pub(crate) struct Webhooks {
    configurations: BTreeMap<(Stage, String), Vec<Arc<Hook>>>,
    mutating: Index,
    validating: Index,
}

impl Webhooks {
    pub(crate) const FOLLOWED: &[&str] = &[MUTATING, VALIDATING];

    /// Whether any rule names a resource.
    pub(super) fn concern(&self, plural: &str) -> bool {
        self.mutating.concern(plural) || self.validating.concern(plural)
    }

    /// The webhooks of a stage that may concern a resource, by configuration name and place in it.
    pub(super) fn about(&self, stage: Stage, plural: &str) -> Vec<Arc<Hook>> {
        match stage {
            Stage::Mutating => self.mutating.about(plural),
            Stage::Validating => self.validating.about(plural),
        }
    }
}

impl View for Webhooks {
    fn apply(&mut self, seen: Seen<'_>) {
        let (Seen::Put(entry) | Seen::Gone(entry)) = &seen;
        let stage = if &*entry.key.resource == MUTATING { Stage::Mutating } else { Stage::Validating };
        let key = (stage, entry.key.name.to_string());
        if let Seen::Gone(_) = seen {
            self.configurations.remove(&key);
            return;
        }
        let document = entry.value.stored_document(entry.revision.get());
        let hooks = document["webhooks"].as_array().into_iter().flatten();
        let hooks = hooks.map(|hook| Arc::new(Hook::of(&entry.key.name, hook))).collect();
        self.configurations.insert(key, hooks);
    }

    fn settle(&mut self) {
        let of = |stage: Stage| {
            let configurations = self.configurations.iter().filter(|((found, _), _)| *found == stage);
            Index::of(configurations.flat_map(|(_, hooks)| hooks.iter().cloned()).collect())
        };
        (self.mutating, self.validating) = (of(Stage::Mutating), of(Stage::Validating));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_url_and_a_service_say_where_a_webhook_is() {
        let at = |client: Value| {
            let (place, path) = place(&client);
            format!("{}{path}", place.authority())
        };
        assert_eq!(at(json!({"url": "https://h.example:8443/a/b"})), "h.example:8443/a/b");
        assert_eq!(at(json!({"url": "https://[::1]"})), "[::1]:443/");
        assert_eq!(at(json!({"url": "https://[::1]:9/x"})), "[::1]:9/x");
        let service = json!({"service": {"namespace": "n", "name": "s", "port": 443, "path": "/p"}});
        assert_eq!(at(service), "s.n.svc:443/p");
    }
}
