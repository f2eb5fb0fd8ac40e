//! Fills new namespaces and empties ending ones.

use std::sync::Arc;
use std::time::Duration;

use muster_control::rest::{PatchKind, Propagation, Removal};
use muster_control::{Cause, Informer, ObjectKey, Outcome, Pass, Queue};
use serde_json::{Value, json};

use crate::kit::{ACCOUNTS, CONFIG_MAPS, Kit, NAMESPACES, WriteError};
use crate::namespace::defaults::{self, Act, Found};
use crate::namespace::deletion::{self, Round};
use crate::namespace::discovery::{self, Scope, Served};
use crate::view::{Account, ConfigMap, Namespace};

/// Between two rounds over a namespace that is not empty yet.
const AGAIN: Duration = Duration::from_secs(2);
/// Kubernetes' own finalizer in `spec.finalizers`.
const FINALIZER: &str = "kubernetes";

pub(crate) struct Defaults {
    kit: Kit,
    ca: Option<Arc<str>>,
    namespaces: Informer<Namespace>,
    accounts: Informer<Account>,
    config_maps: Informer<ConfigMap>,
}

impl Defaults {
    pub(crate) fn new(
        kit: Kit,
        ca: Option<Arc<str>>,
        namespaces: &Informer<Namespace>,
        accounts: &Informer<Account>,
        config_maps: &Informer<ConfigMap>,
        queue: &Queue<ObjectKey>,
    ) -> Defaults {
        let added = queue.clone();
        namespaces.on_change(move |change| added.add(change.key.clone(), Cause::Watch));
        let added = queue.clone();
        accounts.on_change(move |change| {
            added.add(ObjectKey::cluster(&change.key.namespace), Cause::Watch);
        });
        let added = queue.clone();
        config_maps.on_change(move |change| {
            added.add(ObjectKey::cluster(&change.key.namespace), Cause::Watch);
        });
        Defaults {
            kit,
            ca,
            namespaces: namespaces.clone(),
            accounts: accounts.clone(),
            config_maps: config_maps.clone(),
        }
    }

    async fn act(&self, namespace: &str, act: &Act) -> Result<(), WriteError> {
        let ca = self.ca.as_deref().unwrap_or_default();
        let result = match act {
            Act::CreateAccount => self.kit.create(ACCOUNTS, namespace, &defaults::account()).await,
            Act::CreateRootCa => self.kit.create(CONFIG_MAPS, namespace, &defaults::root_ca(ca)).await,
            Act::CorrectRootCa => {
                let body = json!({"data": {defaults::CA_KEY: ca}});
                self.kit.patch(CONFIG_MAPS, namespace, defaults::ROOT_CA, PatchKind::Merge, &body).await
            }
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() || error.is_namespace_ending() || error.is_not_found() => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Pass for Defaults {
    type Key = ObjectKey;
    type Error = WriteError;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, WriteError> {
        let Some(namespace) = self.namespaces.get(key) else { return Ok(Outcome::IDLE) };
        let account = self.accounts.get(&ObjectKey::namespaced(&key.name, defaults::ACCOUNT));
        let map = self.config_maps.get(&ObjectKey::namespaced(&key.name, defaults::ROOT_CA));
        let held = map
            .as_ref()
            .map_or(Found::Missing, |map| Found::Holding(map.data.get(defaults::CA_KEY).map(String::as_str)));
        let account = if account.is_some() { Found::Holding(None) } else { Found::Missing };
        let acts = defaults::plan(&namespace, account, held, self.ca.as_deref());
        for act in &acts {
            self.act(&key.name, act).await?;
        }
        Ok(if acts.is_empty() { Outcome::IDLE } else { Outcome::ACTED })
    }
}

pub(crate) struct Deletion {
    kit: Kit,
    namespaces: Informer<Namespace>,
}

impl Deletion {
    pub(crate) fn new(kit: Kit, namespaces: &Informer<Namespace>, queue: &Queue<ObjectKey>) -> Deletion {
        let added = queue.clone();
        namespaces.on_change(move |change| {
            if change.new.as_ref().is_some_and(|namespace| namespace.is_leaving()) {
                added.add(change.key.clone(), Cause::Watch);
            }
        });
        Deletion { kit, namespaces: namespaces.clone() }
    }

    /// Pods go first, so that nothing they use is taken from under them (KEP-5080).
    async fn round(&self, namespace: &str) -> Result<Round, WriteError> {
        let found = discovery::discover(&self.kit.rest).await?;
        let mut round = Round { undiscovered: found.failed, ..Round::default() };
        let (pods, others): (Vec<_>, Vec<_>) = found
            .resources
            .iter()
            .filter(|served| served.scope == Scope::Namespaced && served.can(&["list", "delete"]))
            .partition(|served| served.plural == "pods" && served.group().is_empty());
        for served in pods {
            self.empty(namespace, served, &mut round).await;
        }
        if !round.is_empty() {
            return Ok(round);
        }
        for served in others {
            self.empty(namespace, served, &mut round).await;
        }
        Ok(round)
    }

    async fn empty(&self, namespace: &str, served: &Served, round: &mut Round) {
        let removal = Removal { propagation: Some(Propagation::Background), ..Removal::default() };
        let collection = served.path(namespace, "");
        if served.can(&["deletecollection"])
            && let Err(error) = self.kit.rest.delete(&collection, &removal).await
            && !muster_control::is_not_found(&error)
        {
            round.failed.push(format!("{}: {}", served.plural, muster_base::error::chain(&error)));
            return;
        }
        match self.kit.rest.get(&collection).await {
            Ok(list) => {
                let items =
                    list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                if !served.can(&["deletecollection"]) {
                    self.one_by_one(namespace, served, items, round).await;
                }
                count(served, items, round);
            }
            Err(error) if muster_control::is_not_found(&error) => {}
            Err(error) => {
                round.failed.push(format!("{}: {}", served.plural, muster_base::error::chain(&error)));
            }
        }
    }

    async fn one_by_one(&self, namespace: &str, served: &Served, items: &[Value], round: &mut Round) {
        let removal = Removal { propagation: Some(Propagation::Background), ..Removal::default() };
        for item in items {
            let Some(name) = item.pointer("/metadata/name").and_then(Value::as_str) else { continue };
            if let Err(error) = self.kit.rest.delete(&served.path(namespace, name), &removal).await
                && !muster_control::is_not_found(&error)
            {
                round.failed.push(format!("{}: {}", served.plural, muster_base::error::chain(&error)));
            }
        }
    }

    async fn finalize(&self, namespace: &Namespace) -> Result<(), WriteError> {
        let rest: Vec<&String> = namespace.spec.finalizers.iter().filter(|f| *f != FINALIZER).collect();
        let body = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace.name(), "uid": namespace.uid(),
                "resourceVersion": namespace.metadata.resource_version},
            "spec": {"finalizers": rest},
        });
        let path = format!("/api/v1/namespaces/{}/finalize", namespace.name());
        match self.kit.rest.replace(&path, &body).await {
            Ok(_) => Ok(()),
            Err(error) if muster_control::is_not_found(&error) => Ok(()),
            Err(source) => Err(WriteError::Change { path, source }),
        }
    }
}

fn count(served: &Served, items: &[Value], round: &mut Round) {
    if items.is_empty() {
        return;
    }
    let name = format!("{}.{}", served.plural, served.group());
    round.remaining.insert(name, items.len());
    for item in items {
        let finalizers = item.pointer("/metadata/finalizers").and_then(Value::as_array);
        for finalizer in finalizers.into_iter().flatten().filter_map(Value::as_str) {
            *round.finalizers.entry(finalizer.to_owned()).or_default() += 1;
        }
    }
}

impl Pass for Deletion {
    type Key = ObjectKey;
    type Error = WriteError;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, WriteError> {
        let Some(namespace) = self.namespaces.get(key).filter(|namespace| namespace.is_leaving()) else {
            return Ok(Outcome::IDLE);
        };
        if !namespace.spec.finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(Outcome::IDLE);
        }
        let round = self.round(&key.name).await?;
        let conditions = deletion::conditions(&namespace.status.conditions, &round, self.kit.clock.now());
        let told = conditions == namespace.status.conditions;
        if round.is_empty() {
            self.finalize(&namespace).await?;
            return Ok(Outcome::ACTED);
        }
        if !told {
            let body = json!({"status": {"conditions": conditions}});
            let name = format!("{}/status", key.name);
            self.kit.patch(NAMESPACES, "", &name, PatchKind::Merge, &body).await?;
        }
        let outcome = if told { Outcome::IDLE } else { Outcome::ACTED };
        Ok(outcome.again_after(AGAIN))
    }
}
