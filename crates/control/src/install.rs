//! Brings Muster's own kinds, and the objects that come with it, to a cluster.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::core::object::HasSpec;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::{self, await_condition};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{is_conflict, is_not_found};

/// Annotation of an object that comes with the program: the generation the program wrote. A higher one is a person's.
const BUILTIN: &str = "muster.dev/builtin-generation";

/// How long a definition may take to be served.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

/// Why a kind could not be brought.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The definition could not be written.
    #[error("cannot install the CustomResourceDefinition {name}")]
    Write {
        /// Its name.
        name: String,
        /// The API's answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The definition was written and is not served.
    #[error(
        "the CustomResourceDefinition {name} was not established within {ESTABLISHED_WITHIN:?}; see its status"
    )]
    NotEstablished {
        /// Its name.
        name: String,
    },
    /// Watching for it failed.
    #[error("cannot see whether the CustomResourceDefinition {name} is established")]
    Watch {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<wait::Error>,
    },
}

/// Creates or updates the definitions and waits until they are served.
///
/// # Errors
/// The first definition that could not be brought.
pub async fn crds(client: &Client, wanted: Vec<CustomResourceDefinition>) -> Result<(), InstallError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut names = Vec::new();
    for crd in wanted {
        let name = crd.name_any();
        ensure(&api, crd)
            .await
            .map_err(|source| InstallError::Write { name: name.clone(), source: Box::new(source) })?;
        names.push(name);
    }
    for name in names {
        let established = await_condition(api.clone(), &name, is_crd_established());
        match tokio::time::timeout(ESTABLISHED_WITHIN, established).await {
            Ok(Ok(_)) => {}
            Ok(Err(source)) => return Err(InstallError::Watch { name, source: Box::new(source) }),
            Err(_) => return Err(InstallError::NotEstablished { name }),
        }
    }
    Ok(())
}

async fn ensure(
    api: &Api<CustomResourceDefinition>,
    crd: CustomResourceDefinition,
) -> Result<(), kube::Error> {
    let name = crd.name_any();
    loop {
        let written = match api.get(&name).await {
            Ok(mut there) => {
                there.spec = crd.spec.clone();
                api.replace(&name, &PostParams::default(), &there).await
            }
            Err(error) if is_not_found(&error) => api.create(&PostParams::default(), &crd).await,
            Err(error) => Err(error),
        };
        match written {
            Err(error) if is_conflict(&error) => {}
            other => return other.map(|_| ()),
        }
    }
}

/// Creates an object that comes with the program, or brings the one of an older program up to date. What a person has
/// changed stays as it is.
///
/// # Errors
/// Those of the requests.
pub async fn builtin<K>(client: &Client, wanted: K) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + HasSpec + Clone + Debug + Serialize + DeserializeOwned,
    K::Spec: PartialEq + Clone,
{
    let (api, name): (Api<K>, String) = (Api::all(client.clone()), wanted.name_any());
    loop {
        let written = match api.get_opt(&name).await? {
            None => api.create(&PostParams::default(), &marked(wanted.clone(), 1)).await,
            Some(there) => match renewed(there, &wanted) {
                Some(renewed) => api.replace(&name, &PostParams::default(), &renewed).await,
                None => return Ok(()),
            },
        };
        match written {
            Err(error) if is_conflict(&error) => {}
            other => return other.map(|_| ()),
        }
    }
}

fn marked<K: Resource>(mut object: K, generation: i64) -> K {
    object.annotations_mut().insert(BUILTIN.to_owned(), generation.to_string());
    object
}

/// What is to be written over what is there; `None` where nothing is.
fn renewed<K>(mut there: K, wanted: &K) -> Option<K>
where
    K: Resource<DynamicType = ()> + HasSpec,
    K::Spec: PartialEq + Clone,
{
    if there.spec() == wanted.spec() {
        return None;
    }
    let generation = there.meta().generation.unwrap_or(1);
    // Before they were marked, they were only ever created.
    let ours = there.annotations().get(BUILTIN).map_or(Some(1), |text| text.parse().ok());
    if ours != Some(generation) {
        tracing::info!(
            kind = %K::kind(&()),
            name = there.name_any(),
            "what comes with this program differs from what stands here, which a person has changed: it is left so"
        );
        return None;
    }
    *there.spec_mut() = wanted.spec().clone();
    Some(marked(there, generation + 1))
}

#[cfg(test)]
mod tests {
    use muster_api::MachineRole;
    use muster_api::role::MachineRoleSpec;

    use super::*;

    fn role(feature: &str) -> MachineRole {
        let spec =
            MachineRoleSpec { kernel_features: vec![feature.to_owned()], ..MachineRoleSpec::default() };
        MachineRole::new("worker", spec)
    }

    fn stored(feature: &str, generation: i64) -> MachineRole {
        let mut role = role(feature);
        role.metadata.generation = Some(generation);
        role
    }

    #[test]
    fn what_an_older_program_wrote_is_renewed_and_what_a_person_changed_is_left() {
        let wanted = role("new");
        assert!(renewed(marked(stored("new", 3), 1), &wanted).is_none(), "nothing to do");
        for there in [stored("old", 1), marked(stored("old", 1), 1), marked(stored("old", 4), 4)] {
            let generation = there.metadata.generation.unwrap();
            let renewed = renewed(there, &wanted).unwrap();
            assert_eq!(renewed.spec, wanted.spec);
            assert_eq!(renewed.annotations()[BUILTIN], (generation + 1).to_string());
        }
        for there in [stored("mine", 2), marked(stored("mine", 2), 1), marked(stored("mine", 5), 4)] {
            assert!(renewed(there, &wanted).is_none());
        }
    }
}
