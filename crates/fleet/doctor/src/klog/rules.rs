//! Rules of the kernel log, as data: those built in, and those of a directory. A malformed one is told and left out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use muster_api::GoDuration;
use regex::bytes::{Captures, Regex, RegexBuilder};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::SOURCE;
use super::scan::is_virtual_disk;
use crate::rule::{Opens, Rule};

/// Where the built-in rules stand.
const BUILT_IN: &str = include_str!("../../rules/kernel.yaml");
/// Rules at most, and bytes of a file of them.
const RULES_MAX: usize = 256;
const FILE_BYTES_MAX: u64 = 1 << 20;
const PATTERN_BYTES_MAX: usize = 1024;
/// Bytes of a compiled expression, and of what it keeps while it looks.
const COMPILED_BYTES_MAX: usize = 256 << 10;
const CACHE_BYTES_MAX: usize = 64 << 10;
/// Bad lines that a rule may ask for.
const COUNT_MAX: u32 = 10_000;

/// A rule of the kernel log.
#[derive(Clone, Debug)]
pub(crate) struct LineRule {
    pub(crate) rule: Arc<Rule>,
    pub(crate) pattern: Pattern,
    /// The component; absent: the group `component` of the expression.
    pub(crate) component: Option<String>,
    /// The component is a disk or a part of one.
    pub(crate) is_disk: bool,
}

impl LineRule {
    /// The part that a line is about; none where the rule is not about the line, or the disk is none.
    pub(super) fn part(&self, line: &[u8], virtual_devices: bool) -> Option<String> {
        let captures = self.pattern.captures(line)?;
        let part = match &self.component {
            Some(component) => component.clone(),
            None => {
                let part = captures.name("component").map(|part| part.as_bytes()).unwrap_or_default();
                String::from_utf8_lossy(part).to_ascii_lowercase()
            }
        };
        let is_none = self.is_disk && !virtual_devices && is_virtual_disk(&part);
        (!is_none).then_some(part)
    }
}

/// An expression that compiles. It is kept compiled once it was asked for: most never find anything.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn captures<'line>(&self, line: &'line [u8]) -> Option<Captures<'line>> {
        let compiled = || {
            let tell = |error: &String| tracing::error!(error, pattern = self.text, "a rule finds nothing");
            compile(&self.text).inspect_err(tell).ok()
        };
        self.compiled.get_or_init(compiled).as_ref()?.captures(line)
    }
}

/// Why a rule is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleFault {
    file: String,
    line: u64,
    text: String,
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    name: String,
    class: String,
    pattern: String,
    #[serde(default)]
    component: Option<String>,
    #[serde(default)]
    disk: bool,
    #[serde(default = "one")]
    count: u32,
    #[serde(default)]
    within: Option<GoDuration>,
    quiet: GoDuration,
    #[serde(default)]
    shadow: bool,
}

const fn one() -> u32 {
    1
}

/// The rules built in, then those of the directory's `*.yaml` files in the order of their names. A name that was there
/// already replaces that rule.
pub(crate) fn load(directory: Option<&Path>) -> (Vec<LineRule>, Vec<RuleFault>) {
    let (mut rules, mut faults) = (Vec::new(), Vec::new());
    parse("built-in", BUILT_IN, &mut rules, &mut faults);
    for path in directory.map(|directory| files(directory, &mut faults)).unwrap_or_default() {
        let file = path.display().to_string();
        let fault = |text: String| RuleFault { file: file.clone(), line: 1, text };
        match std::fs::metadata(&path) {
            Ok(found) if FILE_BYTES_MAX < found.len() => {
                faults.push(fault(format!("is longer than {FILE_BYTES_MAX} bytes")));
                continue;
            }
            Ok(_) | Err(_) => {}
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => parse(&file, &text, &mut rules, &mut faults),
            Err(error) => faults.push(fault(format!("cannot be read: {error}"))),
        }
    }
    (rules, faults)
}

fn files(directory: &Path, faults: &mut Vec<RuleFault>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            let (file, text) = (directory.display().to_string(), format!("cannot be read: {error}"));
            faults.push(RuleFault { file, line: 1, text });
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

/// Each rule is read by itself, so that one that is malformed costs no other.
pub(super) fn parse(file: &str, text: &str, rules: &mut Vec<LineRule>, faults: &mut Vec<RuleFault>) {
    let mut fault = |line: u64, text: String| faults.push(RuleFault { file: file.to_owned(), line, text });
    let documents: Vec<Spanned<serde_json::Value>> = match serde_saphyr::from_str(text) {
        Ok(documents) => documents,
        Err(error) => {
            let line = error.location().map_or(1, |place| place.line());
            return fault(line, format!("is no list of rules: {}", first_line(&error.to_string())));
        }
    };
    for document in documents {
        let line = document.referenced.line();
        match serde_json::from_value(document.value).map_err(|error| error.to_string()).and_then(build) {
            Ok(rule) => match rules.iter().position(|there| there.rule.name == rule.rule.name) {
                Some(at) => rules[at] = rule,
                None if RULES_MAX <= rules.len() => fault(line, format!("more than {RULES_MAX} rules")),
                None => rules.push(rule),
            },
            Err(text) => fault(line, text),
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn build(written: Written) -> Result<LineRule, String> {
    let Written { name, class, pattern, component, disk, count, within, quiet, shadow } = written;
    let word = |text: &str, more: &[char]| {
        let fits =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || more.contains(&letter);
        !text.is_empty() && text.len() <= 63 && text.chars().all(fits)
    };
    if !word(&name, &['-']) {
        return Err(format!("name: {name:?} must be lower case letters, digits and -, 63 at most"));
    }
    let parts = |class: &str| {
        class
            .split('.')
            .all(|part| word(part, &['_']) && !part.starts_with(|c: char| !c.is_ascii_lowercase()))
    };
    if !parts(&class) || class.starts_with("correlated.") {
        return Err(format!("{name}: class: {class:?} must be dotted lower case, such as disk.media_error"));
    }
    if count == 0 || COUNT_MAX < count {
        return Err(format!("{name}: count: must be from 1 to {COUNT_MAX}"));
    }
    if 1 < count && within.is_none() {
        return Err(format!("{name}: within: must say in which time {count} lines open it"));
    }
    let compiled = compile(&pattern).map_err(|text| format!("{name}: pattern: {text}"))?;
    let captured = compiled.capture_names().flatten().any(|group| group == "component");
    if component.is_some() == captured {
        return Err(format!("{name}: component: give either this or a group (?<component>…) in the pattern"));
    }
    let window = within.unwrap_or(quiet).0;
    let opens = Opens::Within { count, window };
    let rule = Arc::new(Rule { name, class, source: SOURCE, opens, quiet: quiet.0, shadow });
    let pattern = Pattern { text: pattern, compiled: OnceLock::new() };
    Ok(LineRule { rule, pattern, component, is_disk: disk })
}

/// The engine takes time linear in the line whatever the expression; what it may cost in memory is bounded here.
fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.is_empty() || PATTERN_BYTES_MAX < pattern.len() {
        return Err(format!("must have from 1 to {PATTERN_BYTES_MAX} bytes"));
    }
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(CACHE_BYTES_MAX)
        .build()
        .map_err(|error| {
            if matches!(error, regex::Error::CompiledTooBig(_)) {
                return format!("takes more than {COMPILED_BYTES_MAX} bytes when compiled");
            }
            error.to_string().lines().last().unwrap_or_default().to_owned()
        })
}

#[cfg(test)]
mod tests;
