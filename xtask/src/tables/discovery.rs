//! Resources from the published discovery documents.

use std::cmp::Reverse;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// One resource or subresource, as discovery tells it.
pub(super) struct Resource {
    /// `apps/v1`.
    pub(super) group_version: String,
    /// The `APIResource`.
    pub(super) document: Map<String, Value>,
}

/// Groups nobody serves yet.
const LEFT_OUT: [&str; 3] =
    ["resource.k8s.io/v1", "storagemigration.k8s.io/v1", "internal.apiserver.k8s.io/v1"];

/// Every resource of the stable versions.
pub(super) fn read(folder: &Path) -> Result<Vec<Resource>, Box<dyn Error>> {
    let mut names: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    // The first version of a group is its preferred one: `apis__autoscaling__v2.json` before `…v1.json`.
    names.sort_by_key(|path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (group, version) = stem.rsplit_once("__").unwrap_or((&stem, ""));
        (group.to_owned(), Reverse(version.to_owned()))
    });
    let mut resources = Vec::new();
    for path in names {
        let document: Value = serde_json::from_slice(&fs::read(&path)?)?;
        if document["kind"] != "APIResourceList" {
            continue;
        }
        let group_version =
            document["groupVersion"].as_str().ok_or("a discovery document without groupVersion")?;
        let version = group_version.rsplit('/').next().unwrap_or(group_version);
        let stable = version.strip_prefix('v').is_some_and(|digits| digits.parse::<u32>().is_ok());
        if !stable || LEFT_OUT.contains(&group_version) {
            continue;
        }
        for resource in document["resources"].as_array().ok_or("a discovery document without resources")? {
            let document = resource.as_object().ok_or("a resource that is not an object")?.clone();
            let name = document["name"].as_str().unwrap_or_default();
            if name != "componentstatuses" {
                resources.push(Resource { group_version: group_version.to_owned(), document });
            }
        }
    }
    Ok(resources)
}

/// One JSON object per line.
pub(super) fn lines(resources: &[Resource]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for resource in resources {
        let mut line = resource.document.clone();
        line.insert("groupVersion".to_owned(), json!(resource.group_version));
        text.push_str(&serde_json::to_string(&line)?);
        text.push('\n');
    }
    Ok(text)
}
