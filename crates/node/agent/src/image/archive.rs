//! Writes an image as an OCI archive: an image layout in a tar (OCI image-spec 1.0). The bytes depend on the content only.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot write the tar")]
    Tar(#[source] io::Error),
    #[error("cannot put the finished file in place")]
    Place(#[source] io::Error),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
}

impl Platform {
    /// The platform this program was built for, in the words of Go.
    pub fn current() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// From the root, without a leading slash.
    pub path: String,
    pub mode: u32,
    pub content: Vec<u8>,
}

/// An image of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The full reference under which it is imported.
    pub name: String,
    pub platform: Platform,
    pub files: Vec<File>,
    pub entrypoint: Vec<String>,
    pub environment: Vec<String>,
    pub user: String,
    pub exposed_ports: Vec<String>,
}

struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { digest, bytes }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": format!("sha256:{}", self.digest), "size": self.bytes.len()})
    }
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, path, content)
}

impl Archive {
    /// A name for its file.
    pub(super) fn file_stem(&self) -> String {
        self.name.replace(['/', ':', '@'], "-")
    }

    fn layer(&self) -> io::Result<Blob> {
        let mut tar = tar::Builder::new(Vec::new());
        for file in &self.files {
            append(&mut tar, &file.path, file.mode, &file.content)?;
        }
        tar.into_inner().map(Blob::new)
    }

    fn config(&self, layer: &Blob) -> Blob {
        let ports: BTreeMap<&str, Value> =
            self.exposed_ports.iter().map(|port| (port.as_str(), json!({}))).collect();
        Blob::json(&json!({
            "architecture": self.platform.architecture,
            "os": self.platform.os,
            "config": {"Entrypoint": self.entrypoint, "Env": self.environment, "User": self.user, "ExposedPorts": ports},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)]},
        }))
    }

    /// The whole archive.
    ///
    /// # Errors
    /// A path too long for a tar.
    pub fn bytes(&self) -> Result<Vec<u8>, ArchiveError> {
        self.build().map_err(ArchiveError::Tar)
    }

    fn build(&self) -> io::Result<Vec<u8>> {
        let layer = self.layer()?;
        let config = self.config(&layer);
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar")],
        }));
        let mut entry = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
        entry["annotations"] =
            json!({"io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": self.name});
        entry["platform"] = json!({"os": self.platform.os, "architecture": self.platform.architecture});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut tar, "index.json", 0o644, index.to_string().as_bytes())?;
        for blob in [&layer, &config, &manifest] {
            append(&mut tar, &format!("blobs/sha256/{}", blob.digest), 0o644, &blob.bytes)?;
        }
        tar.into_inner()
    }

    /// Writes the archive; a file half written is never seen under `path`.
    ///
    /// # Errors
    /// Which of writing and placing failed.
    pub fn write(&self, path: &Path) -> Result<(), ArchiveError> {
        let bytes = self.bytes()?;
        let next = path.with_extension("next");
        let place = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&next, bytes)?;
            fs::rename(&next, path)
        };
        place().map_err(ArchiveError::Place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn sample() -> Archive {
        Archive {
            name: "muster.local/x:1".to_owned(),
            platform: Platform { os: "linux".to_owned(), architecture: "amd64".to_owned() },
            files: vec![File { path: "bin/x".to_owned(), mode: 0o755, content: b"x".to_vec() }],
            entrypoint: vec!["/bin/x".to_owned()],
            environment: Vec::new(),
            user: String::new(),
            exposed_ports: Vec::new(),
        }
    }

    fn entries(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn every_blob_is_named_by_its_digest_and_reached_from_the_index() {
        let entries = entries(&sample().bytes().unwrap());
        for (path, content) in entries.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            assert_eq!(path, &format!("blobs/sha256/{}", Blob::new(content.clone()).digest));
        }
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
            assert_eq!(descriptor["size"], entries[&digest].len());
            entries[&digest].clone()
        };
        let index: Value = serde_json::from_slice(&entries["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "muster.local/x:1");
        let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(entries.len(), 5);
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        assert_eq!(sample().bytes().unwrap(), sample().bytes().unwrap());
    }

    #[test]
    fn the_pause_image_is_small() {
        let size = crate::image::pause().bytes().unwrap().len();
        assert!(size < 12_000, "{size} bytes");
    }
}
