//! Which resources the API server serves, custom ones included.

use std::collections::HashSet;

use muster_control::rest::{Rest, path};
use serde::Deserialize;
use serde_json::Value;

use crate::kit::WriteError;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Served {
    pub(crate) group_version: String,
    pub(crate) plural: String,
    pub(crate) kind: String,
    pub(crate) scope: Scope,
    pub(crate) verbs: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scope {
    Namespaced,
    Cluster,
}

impl Served {
    pub(crate) fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|known| known == verb))
    }

    pub(crate) fn group(&self) -> &str {
        self.group_version.split_once('/').map_or("", |(group, _)| group)
    }

    pub(crate) fn path(&self, namespace: &str, name: &str) -> String {
        path(&self.group_version, namespace, &self.plural, name)
    }
}

/// What could be learnt, and which group versions did not answer.
#[derive(Debug, Default)]
pub(crate) struct Discovered {
    pub(crate) resources: Vec<Served>,
    pub(crate) failed: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceList {
    group_version: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    preferred_version: Option<Version>,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    group_version: String,
}

/// Every resource once, in its group's preferred version where that has it.
pub(crate) async fn discover(rest: &Rest) -> Result<Discovered, WriteError> {
    let failed = |path: &str, source| WriteError::Read { path: path.to_owned(), source };
    let groups = rest.get("/apis").await.map_err(|source| failed("/apis", source))?;
    let groups: Groups = parse(groups).map_err(|source| failed("/apis", source))?;
    let mut found = Discovered::default();
    let mut seen = HashSet::new();
    let named = groups.groups.into_iter().flat_map(|group| {
        let preferred = group.preferred_version.into_iter();
        preferred.chain(group.versions).map(|version| version.group_version).collect::<Vec<_>>()
    });
    let mut asked = HashSet::new();
    for group_version in std::iter::once("v1".to_owned()).chain(named) {
        if !asked.insert(group_version.clone()) {
            continue;
        }
        match rest.get(&path(&group_version, "", "", "")).await.and_then(parse::<ResourceList>) {
            Ok(list) => found.resources.extend(
                list.into_served()
                    .filter(|served| seen.insert((served.group().to_owned(), served.plural.clone()))),
            ),
            Err(_) if group_version == "v1" => found.failed.push(group_version),
            Err(error) => {
                tracing::info!(
                    group_version,
                    error = muster_base::error::chain(&error),
                    "a group does not answer"
                );
                found.failed.push(group_version);
            }
        }
    }
    Ok(found)
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, kube::Error> {
    serde_json::from_value(value).map_err(kube::Error::SerdeError)
}

impl ResourceList {
    fn into_served(self) -> impl Iterator<Item = Served> {
        let group_version = self.group_version;
        self.resources.into_iter().filter(|resource| !resource.name.contains('/')).map(move |resource| {
            Served {
                group_version: group_version.clone(),
                plural: resource.name,
                kind: resource.kind,
                scope: if resource.namespaced { Scope::Namespaced } else { Scope::Cluster },
                verbs: resource.verbs,
            }
        })
    }
}
