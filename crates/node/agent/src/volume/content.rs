//! The files of volumes that come from the API.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeProjection};
use kube::Client;
use muster_base::clock::SharedClock;

use super::VolumeError;
use super::token::{self, Tokens};
use crate::pod::field::{self, Facts, FieldError};
use crate::pod::objects::{Objects, PartError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

pub(super) type Files = BTreeMap<String, File>;

/// What volumes are made of.
pub(crate) struct Sources<'a> {
    pub(crate) client: &'a Client,
    pub(crate) clock: &'a SharedClock,
    pub(crate) facts: Facts<'a>,
    pub(crate) objects: &'a Objects,
}

const MODE: u32 = 0o644;

fn mode(file: Option<i32>, volume: Option<i32>) -> u32 {
    file.or(volume).and_then(|mode| u32::try_from(mode).ok()).unwrap_or(MODE)
}

/// The files of a volume; `None` if it is of a kind we do not have.
pub(super) async fn of(
    volume: &Volume,
    sources: &Sources<'_>,
    tokens: &mut Tokens,
) -> Result<Option<Files>, VolumeError> {
    let part = |source| VolumeError::Part { volume: volume.name.clone(), source };
    let field = |source| VolumeError::Field { volume: volume.name.clone(), source };
    if let Some(map) = &volume.config_map {
        let data = sources.objects.config_map(&map.name, map.optional == Some(true)).map_err(part)?;
        let kind = ("config map", map.name.as_str());
        return keys(kind, data, map.items.as_deref(), map.default_mode, map.optional == Some(true))
            .map(Some)
            .map_err(part);
    }
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.clone().unwrap_or_default();
        let optional = secret.optional == Some(true);
        let data = sources.objects.secret(&name, optional).map_err(part)?;
        return keys(("secret", &name), data, secret.items.as_deref(), secret.default_mode, optional)
            .map(Some)
            .map_err(part);
    }
    if let Some(downward) = &volume.downward_api {
        let items = downward.items.as_deref().unwrap_or_default();
        return fields(items, downward.default_mode, &sources.facts).map(Some).map_err(field);
    }
    let Some(projected) = &volume.projected else { return Ok(None) };
    let mut files = Files::new();
    for source in projected.sources.iter().flatten() {
        files.extend(projection(volume, source, projected.default_mode, sources, tokens).await?);
    }
    Ok(Some(files))
}

async fn projection(
    volume: &Volume,
    source: &VolumeProjection,
    default_mode: Option<i32>,
    sources: &Sources<'_>,
    tokens: &mut Tokens,
) -> Result<Files, VolumeError> {
    let part = |source| VolumeError::Part { volume: volume.name.clone(), source };
    if let Some(map) = &source.config_map {
        let optional = map.optional == Some(true);
        let data = sources.objects.config_map(&map.name, optional).map_err(part)?;
        return keys(("config map", &map.name), data, map.items.as_deref(), default_mode, optional)
            .map_err(part);
    }
    if let Some(secret) = &source.secret {
        let optional = secret.optional == Some(true);
        let data = sources.objects.secret(&secret.name, optional).map_err(part)?;
        return keys(("secret", &secret.name), data, secret.items.as_deref(), default_mode, optional)
            .map_err(part);
    }
    if let Some(downward) = &source.downward_api {
        let items = downward.items.as_deref().unwrap_or_default();
        let field = |source| VolumeError::Field { volume: volume.name.clone(), source };
        return fields(items, default_mode, &sources.facts).map_err(field);
    }
    if let Some(wanted) = &source.service_account_token {
        let token = token::ensure(sources, &volume.name, wanted, tokens).await;
        let token = token.map_err(|source| VolumeError::Token { volume: volume.name.clone(), source })?;
        let file = File { bytes: token.into_bytes(), mode: mode(None, default_mode) };
        return Ok(Files::from([(wanted.path.clone(), file)]));
    }
    Err(VolumeError::Unsupported { volume: volume.name.clone() })
}

fn keys(
    (kind, name): (&'static str, &str),
    data: Option<&BTreeMap<String, Vec<u8>>>,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
    optional: bool,
) -> Result<Files, PartError> {
    let Some(data) = data else { return Ok(Files::new()) };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let file = |bytes: &Vec<u8>| File { bytes: bytes.clone(), mode: mode(None, default_mode) };
        return Ok(data.iter().map(|(key, bytes)| (key.clone(), file(bytes))).collect());
    };
    let mut files = Files::new();
    for item in items {
        match data.get(&item.key) {
            Some(bytes) => {
                files.insert(
                    item.path.clone(),
                    File { bytes: bytes.clone(), mode: mode(item.mode, default_mode) },
                );
            }
            None if optional => {}
            None => return Err(PartError::NoKey { kind, name: name.to_owned(), key: item.key.clone() }),
        }
    }
    Ok(files)
}

fn fields(
    items: &[DownwardAPIVolumeFile],
    default_mode: Option<i32>,
    facts: &Facts<'_>,
) -> Result<Files, FieldError> {
    let file = |item: &DownwardAPIVolumeFile| {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(reference), _) => facts.field(&reference.field_path)?,
            (None, Some(reference)) => {
                let container = container(facts.pod, reference.container_name.as_deref().unwrap_or_default());
                let unknown = || FieldError::Resource { resource: reference.resource.clone() };
                field::resource(container.ok_or_else(unknown)?, reference, facts)?
            }
            (None, None) => String::new(),
        };
        Ok((item.path.clone(), File { bytes: text.into_bytes(), mode: mode(item.mode, default_mode) }))
    };
    items.iter().map(file).collect()
}

fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a k8s_openapi::api::core::v1::Container> {
    let spec = pod.spec.as_ref()?;
    spec.init_containers.iter().flatten().chain(&spec.containers).find(|container| container.name == name)
}
