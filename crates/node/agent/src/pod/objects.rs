//! The config maps and secrets a pod refers to, read from the API in one go.

mod links;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, Service, Volume};
use kube::api::ListParams;
use kube::{Api, Client};

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("cannot read the {kind} {namespace}/{name}")]
    Read {
        kind: &'static str,
        namespace: String,
        name: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("no answer for the {kind} {namespace}/{name} within {} s", LIMIT.as_secs())]
    TimedOut { kind: &'static str, namespace: String, name: String },
    #[error("cannot list the services of {namespace}")]
    Services {
        namespace: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("no list of the services of {namespace} within {} s", LIMIT.as_secs())]
    ServicesTimedOut { namespace: String },
}

const LIMIT: Duration = Duration::from_secs(10);

/// Why a reference leads nowhere.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum PartError {
    #[error("{kind} {name:?} not found")]
    Missing { kind: &'static str, name: String },
    #[error("{kind} {name:?} has no key {key:?}")]
    NoKey { kind: &'static str, name: String, key: String },
}

/// One key of one object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: &'a str,
    pub(crate) optional: bool,
}

/// What was found. A name that is absent here does not exist in the API.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects {
    config_maps: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// The variables that name the services of the pod's namespace; only where containers are to be started.
    pub(super) services: BTreeMap<String, String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct References {
    config_maps: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl References {
    fn of(pod: &Pod) -> Self {
        let mut found = Self::default();
        let Some(spec) = &pod.spec else { return found };
        spec.init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
            .for_each(|container| found.container(container));
        spec.volumes.iter().flatten().for_each(|volume| found.volume(volume));
        found
    }

    fn container(&mut self, container: &Container) {
        for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            self.config_maps.extend(source.config_map_key_ref.iter().map(|reference| reference.name.clone()));
            self.secrets.extend(source.secret_key_ref.iter().map(|reference| reference.name.clone()));
        }
        for source in container.env_from.iter().flatten() {
            self.config_maps.extend(source.config_map_ref.iter().map(|reference| reference.name.clone()));
            self.secrets.extend(source.secret_ref.iter().map(|reference| reference.name.clone()));
        }
    }

    fn volume(&mut self, volume: &Volume) {
        self.config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        self.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            self.config_maps.extend(source.config_map.iter().map(|source| source.name.clone()));
            self.secrets.extend(source.secret.iter().map(|source| source.name.clone()));
        }
    }
}

async fn get<K>(
    client: &Client,
    kind: &'static str,
    namespace: &str,
    name: String,
) -> Result<Option<(String, K)>, FetchError>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    match tokio::time::timeout(LIMIT, api.get_opt(&name)).await {
        Ok(Ok(found)) => Ok(found.map(|object| (name, object))),
        Ok(Err(source)) => {
            Err(FetchError::Read { kind, namespace: namespace.to_owned(), name, source: Box::new(source) })
        }
        Err(_) => Err(FetchError::TimedOut { kind, namespace: namespace.to_owned(), name }),
    }
}

/// The variables of the services beside the pod; none if the pod wants none.
async fn services(client: &Client, pod: &Pod) -> Result<BTreeMap<String, String>, FetchError> {
    if pod.spec.as_ref().and_then(|spec| spec.enable_service_links) == Some(false) {
        return Ok(BTreeMap::new());
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    match tokio::time::timeout(LIMIT, api.list(&ListParams::default())).await {
        Ok(Ok(list)) => Ok(links::of(&list.items)),
        Ok(Err(source)) => {
            Err(FetchError::Services { namespace: namespace.to_owned(), source: Box::new(source) })
        }
        Err(_) => Err(FetchError::ServicesTimedOut { namespace: namespace.to_owned() }),
    }
}

fn texts(data: Option<BTreeMap<String, String>>) -> impl Iterator<Item = (String, Vec<u8>)> {
    data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()))
}

impl Objects {
    /// Reads everything `pod` refers to.
    ///
    /// # Errors
    /// The API does not answer or refuses; an object that does not exist is no error here.
    pub(super) async fn fetch(client: &Client, pod: &Pod) -> Result<Self, FetchError> {
        let references = References::of(pod);
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let maps = references
            .config_maps
            .into_iter()
            .map(|name| get::<ConfigMap>(client, "config map", namespace, name));
        let secrets =
            references.secrets.into_iter().map(|name| get::<Secret>(client, "secret", namespace, name));
        let (maps, secrets) =
            futures::try_join!(futures::future::try_join_all(maps), futures::future::try_join_all(secrets))?;
        let config_maps = maps.into_iter().flatten().map(|(name, map)| {
            let binary = map.binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
            (name, texts(map.data).chain(binary).collect())
        });
        let secrets = secrets.into_iter().flatten().map(|(name, secret)| {
            (name, secret.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0)).collect())
        });
        let (config_maps, secrets) = (config_maps.collect(), secrets.collect());
        Ok(Self { config_maps, secrets, services: BTreeMap::new() })
    }

    /// The same, and the services that its containers are told of.
    ///
    /// # Errors
    /// As [`Objects::fetch`].
    pub(super) async fn fetch_for_start(client: &Client, pod: &Pod) -> Result<Self, FetchError> {
        let (objects, services) = futures::try_join!(Self::fetch(client, pod), services(client, pod))?;
        Ok(Self { services, ..objects })
    }

    /// All keys of a config map; `None` if it does not exist and that is allowed.
    pub(crate) fn config_map(
        &self,
        name: &str,
        optional: bool,
    ) -> Result<Option<&BTreeMap<String, Vec<u8>>>, PartError> {
        whole(&self.config_maps, "config map", name, optional)
    }

    /// All keys of a secret; `None` if it does not exist and that is allowed.
    pub(crate) fn secret(
        &self,
        name: &str,
        optional: bool,
    ) -> Result<Option<&BTreeMap<String, Vec<u8>>>, PartError> {
        whole(&self.secrets, "secret", name, optional)
    }

    pub(super) fn config_map_text(&self, part: Part<'_>) -> Result<Option<String>, PartError> {
        text(self.config_map(part.name, part.optional)?, "config map", part)
    }

    pub(super) fn secret_text(&self, part: Part<'_>) -> Result<Option<String>, PartError> {
        text(self.secret(part.name, part.optional)?, "secret", part)
    }

    pub(super) fn config_map_all(
        &self,
        name: &str,
        optional: bool,
    ) -> Result<Vec<(String, String)>, PartError> {
        Ok(all(self.config_map(name, optional)?))
    }

    pub(super) fn secret_all(&self, name: &str, optional: bool) -> Result<Vec<(String, String)>, PartError> {
        Ok(all(self.secret(name, optional)?))
    }
}

fn whole<'a, T>(
    all: &'a BTreeMap<String, T>,
    kind: &'static str,
    name: &str,
    optional: bool,
) -> Result<Option<&'a T>, PartError> {
    match all.get(name) {
        Some(found) => Ok(Some(found)),
        None if optional => Ok(None),
        None => Err(PartError::Missing { kind, name: name.to_owned() }),
    }
}

fn text(
    object: Option<&BTreeMap<String, Vec<u8>>>,
    kind: &'static str,
    part: Part<'_>,
) -> Result<Option<String>, PartError> {
    let Some(object) = object else { return Ok(None) };
    match object.get(part.key) {
        Some(bytes) => Ok(Some(String::from_utf8_lossy(bytes).into_owned())),
        None if part.optional => Ok(None),
        None => Err(PartError::NoKey { kind, name: part.name.to_owned(), key: part.key.to_owned() }),
    }
}

/// Keys that cannot be variable names are left out, as with the kubelet.
fn all(object: Option<&BTreeMap<String, Vec<u8>>>) -> Vec<(String, String)> {
    let usable =
        |key: &str| !key.is_empty() && !key.contains('=') && !key.starts_with(|c: char| c.is_ascii_digit());
    let pairs = object.into_iter().flatten().filter(|(key, _)| usable(key));
    pairs.map(|(key, bytes)| (key.clone(), String::from_utf8_lossy(bytes).into_owned())).collect()
}
