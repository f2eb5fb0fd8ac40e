//! Test documents that `k8s.io/api` publishes of every kind, read from the Go module cache.

use std::path::PathBuf;

use crate::Kind;

/// The folder of documents, or `None` after saying why they are not here.
pub(crate) fn folder() -> Option<PathBuf> {
    let cache = std::env::home_dir().unwrap().join("go/pkg/mod");
    let folder = cache.join("k8s.io/api@v0.37.2/testdata/HEAD");
    if folder.is_dir() {
        return Some(folder);
    }
    let why =
        format!("not compared: {} is absent; run `go mod download k8s.io/api@v0.37.2`\n", folder.display());
    std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes()).unwrap();
    None
}

/// The file name of a kind's document, without its ending.
pub(crate) fn stem(kind: &Kind) -> String {
    let group = if kind.gvk.group.is_empty() { "core" } else { &kind.gvk.group };
    format!("{group}.{}.{}", kind.gvk.version, kind.gvk.kind)
}
