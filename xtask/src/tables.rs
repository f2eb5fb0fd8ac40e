//! `cargo xtask tables`: writes `crates/engine/schema/data/*` from what Kubernetes publishes.
//!
//! Sources: the JSON schemas of PyPI `kubernetes-validate` (types, merge metadata, descriptions), and of the Go
//! modules the `generated.proto` files (wire numbers and types), the struct tags beside them (JSON names, which
//! fields are pointers) and the discovery documents (resources). The output is sorted, one line per definition.

mod discovery;
mod golang;
mod proto;
mod types;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where the sources are and where the tables go.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `_definitions.json` of `kubernetes-validate` (v1.37.0-local).
    #[arg(long)]
    definitions: PathBuf,
    /// The `k8s.io` folder of the Go module cache.
    #[arg(long)]
    protos: PathBuf,
    /// Where the tables are written (`crates/engine/schema/data`).
    #[arg(long)]
    out: PathBuf,
}

/// Release of the Go modules that are read (`k8s.io/api` and its siblings).
const STAGING: &str = "v0.37.2";
/// The same release of `k8s.io/kubernetes`.
const RELEASE: &str = "v1.37.2";

/// Reads the sources and writes the tables.
pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let resources = discovery::read(&args.protos.join(format!("kubernetes@{RELEASE}/api/discovery")))?;
    let document: Value = serde_json::from_slice(&fs::read(&args.definitions)?)?;
    let definitions = document["$defs"].as_object().ok_or("the definitions file has no $defs")?;
    let mut folders = Vec::new();
    for module in ["api", "apimachinery", "apiextensions-apiserver", "kube-aggregator"] {
        find_protos(&args.protos.join(format!("{module}@{STAGING}")), &mut folders)?;
    }
    let mut messages = proto::Messages::default();
    let mut structs = golang::Structs::default();
    for folder in &folders {
        let package = messages.read(&folder.join("generated.proto"))?;
        structs.read(folder, &package)?;
    }
    let tables = types::Tables::build(definitions, &messages, &structs, &resources)?;
    fs::create_dir_all(&args.out)?;
    fs::write(args.out.join("types.txt"), tables.types)?;
    fs::write(args.out.join("descriptions.txt"), tables.descriptions)?;
    fs::write(args.out.join("resources.txt"), discovery::lines(&resources)?)?;
    Ok(())
}

fn find_protos(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if folder.join("generated.proto").is_file() {
        found.push(folder.to_owned());
    }
    let mut children: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    children.sort();
    for child in children.iter().filter(|child| child.is_dir()) {
        find_protos(child, found)?;
    }
    Ok(())
}
