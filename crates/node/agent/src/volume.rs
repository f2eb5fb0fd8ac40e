//! Volumes: the directories and files a pod sees beside its image. Preparing is idempotent: doing it again brings changed
//! contents up to date.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, HostPathVolumeSource, Volume};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::pod::field::FieldError;
use crate::pod::objects::PartError;

mod atomic;
mod content;
mod token;

pub(crate) use content::Sources;
pub(crate) use token::TokenError;
pub(crate) use token::Tokens;

#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error(
        "volume {volume}: volumes of this kind are not supported here: use emptyDir, configMap, secret, projected, downwardAPI or hostPath"
    )]
    Unsupported { volume: String },
    #[error("volume {volume}")]
    Part {
        volume: String,
        #[source]
        source: PartError,
    },
    #[error("volume {volume}")]
    Field {
        volume: String,
        #[source]
        source: FieldError,
    },
    #[error("volume {volume}")]
    Token {
        volume: String,
        #[source]
        source: TokenError,
    },
    #[error("volume {volume}: the path {path:?} leaves the volume")]
    Escapes { volume: String, path: String },
    #[error("volume {volume}: {} is not a {wanted}", .path.display())]
    HostPath { volume: String, path: PathBuf, wanted: String },
    #[error("volume {volume}: cannot write {}", .path.display())]
    Write {
        volume: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot remove the volume directory {}", .path.display())]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Where each volume of a pod lies on this machine.
pub(crate) type Places = BTreeMap<String, PathBuf>;

/// Makes every volume of the pod below `dir`, or brings it up to date.
pub(crate) async fn prepare(
    sources: &Sources<'_>,
    tokens: &mut Tokens,
    dir: &Path,
) -> Result<Places, VolumeError> {
    let mut places = Places::new();
    let spec = sources.facts.pod.spec.as_ref();
    let group = spec.and_then(|spec| spec.security_context.as_ref()?.fs_group);
    for volume in spec.and_then(|spec| spec.volumes.as_ref()).into_iter().flatten() {
        let place = dir.join(&volume.name);
        let place = if let Some(source) = &volume.host_path {
            host_path(&volume.name, source)?
        } else if let Some(source) = &volume.empty_dir {
            empty_dir(&place, source, group).map_err(|source| write_failed(&volume.name, &place, source))?;
            place
        } else {
            let files = content::of(volume, sources, tokens).await?;
            let files = files.ok_or_else(|| VolumeError::Unsupported { volume: volume.name.clone() })?;
            check_paths(volume, &files)?;
            atomic::write(&place, &files, group)
                .map_err(|source| write_failed(&volume.name, &place, source))?;
            place
        };
        places.insert(volume.name.clone(), place);
    }
    Ok(places)
}

fn write_failed(volume: &str, path: &Path, source: io::Error) -> VolumeError {
    VolumeError::Write { volume: volume.to_owned(), path: path.to_owned(), source }
}

fn check_paths(volume: &Volume, files: &content::Files) -> Result<(), VolumeError> {
    let escapes =
        |path: &&String| path.starts_with('/') || path.split('/').any(|part| matches!(part, "" | ".." | "."));
    match files.keys().find(escapes) {
        Some(path) => Err(VolumeError::Escapes { volume: volume.name.clone(), path: path.clone() }),
        None => Ok(()),
    }
}

fn empty_dir(place: &Path, source: &EmptyDirVolumeSource, group: Option<i64>) -> io::Result<()> {
    if place.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(place)?;
    if source.medium.as_deref() == Some("Memory") {
        let size = source
            .size_limit
            .as_ref()
            .and_then(|limit| limit.0.parse::<muster_base::quantity::Quantity>().ok());
        let options = size.map(|size| format!("size={}", size.units()));
        mount(
            Some("tmpfs"),
            place,
            Some("tmpfs"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            options.as_deref(),
        )?;
    }
    let mut mode = 0o777;
    if let Some(group) = group.and_then(|group| u32::try_from(group).ok()) {
        chown(place, None, Some(group))?;
        mode = 0o2777;
    }
    fs::set_permissions(place, fs::Permissions::from_mode(mode))
}

fn host_path(volume: &str, source: &HostPathVolumeSource) -> Result<PathBuf, VolumeError> {
    let path = PathBuf::from(&source.path);
    let made = match source.type_.as_deref() {
        Some("DirectoryOrCreate") => fs::create_dir_all(&path),
        Some("FileOrCreate") => fs::OpenOptions::new().create(true).append(true).open(&path).map(|_| ()),
        _ => Ok(()),
    };
    made.map_err(|source| write_failed(volume, &path, source))?;
    let kind = fs::metadata(&path).map(|meta| meta.file_type()).ok();
    let fits = match source.type_.as_deref() {
        Some("Directory" | "DirectoryOrCreate") => kind.is_some_and(|kind| kind.is_dir()),
        Some("File" | "FileOrCreate") => kind.is_some_and(|kind| kind.is_file()),
        Some("Socket") => kind.is_some_and(|kind| kind.is_socket()),
        Some("CharDevice") => kind.is_some_and(|kind| kind.is_char_device()),
        Some("BlockDevice") => kind.is_some_and(|kind| kind.is_block_device()),
        Some(_) | None => true,
    };
    let wanted = source.type_.clone().unwrap_or_default();
    if fits { Ok(path) } else { Err(VolumeError::HostPath { volume: volume.to_owned(), path, wanted }) }
}

/// Unmounts and removes everything below a pod's volume directory.
///
/// # Errors
/// The directory cannot be removed; a file system still mounted in it is never descended into.
pub(crate) fn remove(dir: &Path) -> Result<(), VolumeError> {
    let failed = |source| VolumeError::Remove { path: dir.to_owned(), source };
    let mounts = fs::read_to_string("/proc/self/mounts").map_err(failed)?;
    let mut below: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(unescape)
        .filter(|path| path.starts_with(dir))
        .collect();
    below.sort_by(|a, b| b.cmp(a));
    for path in below {
        umount2(&path, MntFlags::MNT_DETACH).map_err(|errno| failed(errno.into()))?;
    }
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `/proc/self/mounts` writes space, tab, newline and backslash in octal (proc(5)).
fn unescape(text: &str) -> PathBuf {
    let pairs = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)))
}

/// The place of `sub_path` in a volume, made if it is missing. A link that leads out of the volume is refused.
pub(crate) fn sub_path(volume: &str, place: &Path, sub_path: &str) -> Result<PathBuf, VolumeError> {
    let escapes = || VolumeError::Escapes { volume: volume.to_owned(), path: sub_path.to_owned() };
    if sub_path.starts_with('/') || sub_path.split('/').any(|part| part == "..") {
        return Err(escapes());
    }
    let path = place.join(sub_path);
    let failed = |source| write_failed(volume, &path, source);
    if !path.exists() {
        fs::create_dir_all(&path).map_err(failed)?;
    }
    let real = path.canonicalize().map_err(failed)?;
    if real.starts_with(place.canonicalize().map_err(failed)?) { Ok(real) } else { Err(escapes()) }
}
