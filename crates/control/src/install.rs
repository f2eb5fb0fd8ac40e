//! Brings Muster's own kinds to a cluster.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::{self, await_condition};
use kube::{Api, Client, ResourceExt as _};

use crate::{is_conflict, is_not_found};

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
