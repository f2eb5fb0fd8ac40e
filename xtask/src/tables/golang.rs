//! Struct tags of Go sources: the JSON name of each protobuf field, and when it is left out.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

/// How a field is tagged.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    /// Empty for a struct whose fields stand in its parent.
    pub(super) json: String,
    pub(super) pointer: bool,
    pub(super) omit_empty: bool,
    pub(super) omit_zero: bool,
}

/// Tags by message name and field number.
#[derive(Default)]
pub(super) struct Structs(pub(super) BTreeMap<String, BTreeMap<u32, Tag>>);

impl Structs {
    /// Reads every Go file of a folder.
    pub(super) fn read(&mut self, folder: &Path, package: &str) -> Result<(), Box<dyn Error>> {
        let mut files: Vec<_> =
            fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
        files.sort();
        for file in files {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.ends_with(".go") && !name.ends_with(".pb.go") && !name.ends_with("_test.go") {
                self.parse(&fs::read_to_string(&file)?, package);
            }
        }
        Ok(())
    }

    fn parse(&mut self, text: &str, package: &str) {
        let mut current: Option<String> = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("type ").and_then(|rest| rest.strip_suffix(" struct {")) {
                current = Some(format!("{package}.{name}"));
            } else if line == "}" {
                current = None;
            } else if let Some(name) = &current
                && let Some((number, tag)) = tag(line)
            {
                self.0.entry(name.clone()).or_default().insert(number, tag);
            }
        }
    }
}

fn value<'a>(tags: &'a str, key: &str) -> Option<&'a str> {
    tags.split_once(&format!("{key}:\""))?.1.split('"').next()
}

fn tag(line: &str) -> Option<(u32, Tag)> {
    let (declaration, tags) = line.trim().split_once('`')?;
    let number = value(tags, "protobuf")?.split(',').nth(1)?.parse().ok()?;
    let mut words = declaration.split_whitespace();
    let (first, second) = (words.next()?, words.next());
    let mut json = value(tags, "json")?.split(',');
    let name = json.next()?.to_owned();
    let options: Vec<&str> = json.collect();
    let tag = Tag {
        json: name,
        pointer: second.unwrap_or(first).starts_with('*'),
        omit_empty: options.contains(&"omitempty"),
        omit_zero: options.contains(&"omitzero"),
    };
    Some((number, tag))
}
