//! The messages of `generated.proto` files: field numbers and types.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

/// A field of a message.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// `string`, `.k8s.io.api.core.v1.Pod` made absolute and without the leading dot, or `map<string, T>`.
    pub(super) kind: String,
}

/// Messages by full name (`k8s.io.api.core.v1.Pod`), fields by number.
#[derive(Default)]
pub(super) struct Messages(pub(super) BTreeMap<String, BTreeMap<u32, Field>>);

const PRIMITIVES: [&str; 8] = ["string", "bytes", "bool", "int32", "int64", "uint32", "uint64", "double"];

fn absolute(kind: &str, package: &str) -> String {
    if let Some(full) = kind.strip_prefix('.') {
        return full.replace('_', "-");
    }
    if PRIMITIVES.contains(&kind) { kind.to_owned() } else { format!("{package}.{kind}") }
}

impl Messages {
    /// Reads one file and answers its package (with `-`, as definitions write it).
    pub(super) fn read(&mut self, path: &Path) -> Result<String, Box<dyn Error>> {
        let text = fs::read_to_string(path)?;
        let mut package = String::new();
        let mut message: Option<String> = None;
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("package ") {
                package = name.trim_end_matches(';').replace('_', "-");
            } else if let Some(name) = line.strip_prefix("message ") {
                let name = format!("{package}.{}", name.trim_end_matches('{').trim());
                self.0.insert(name.clone(), BTreeMap::new());
                message = Some(name);
            } else if line == "}" {
                message = None;
            } else if let Some(message) =
                message.as_ref().filter(|_| line.ends_with(';') && !line.starts_with("//"))
            {
                let (number, field) =
                    parse(line, &package).ok_or_else(|| format!("{}: {line}", path.display()))?;
                if let Some(fields) = self.0.get_mut(message) {
                    fields.insert(number, field);
                }
            }
        }
        Ok(package)
    }
}

fn parse(line: &str, package: &str) -> Option<(u32, Field)> {
    let (left, number) = line.trim_end_matches(';').split_once(" = ")?;
    let number = number.split_whitespace().next()?.parse().ok()?;
    let (kind, name) = left.rsplit_once(' ')?;
    let kind = if let Some(inner) = kind.strip_prefix("map<string, ") {
        format!("map<string, {}>", absolute(inner.trim_end_matches('>'), package))
    } else {
        absolute(kind.rsplit(' ').next()?, package)
    };
    Some((number, Field { name: name.to_owned(), kind }))
}
