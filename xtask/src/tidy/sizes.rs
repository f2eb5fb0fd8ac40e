//! Sizes of files and of modules.
use std::collections::{BTreeMap, BTreeSet};

use syn::spanned::Spanned;

use super::finding::{Finding, Rule};
use super::syntax::is_test_only;
use super::tree::{Source, is_test_path};

const SOURCE_LINES_MAX: usize = 500;
const TEST_LINES_MAX: usize = 800;
const MAIN_LINES_MAX: usize = 60;
const LIB_LINES_MAX: usize = 100;
const CHILDREN_MAX: usize = 12;

/// Lines of a file, without the test modules inside it.
pub(super) fn file(source: &Source) -> Option<Finding> {
    let (lines, max) = if source.is_test() {
        (source.text.lines().count(), TEST_LINES_MAX)
    } else {
        (source.text.lines().count() - test_lines(&source.syntax), lines_max(&source.path))
    };
    (lines > max).then(|| Finding {
        subject: source.path.clone(),
        line: None,
        rule: Rule::FileSize,
        measure: Some(lines),
        what: format!("{lines} lines, at most {max}"),
        remedy: "split it by concern into foo.rs and foo/",
    })
}

fn lines_max(path: &str) -> usize {
    if path.ends_with("/src/main.rs") {
        MAIN_LINES_MAX
    } else if path.ends_with("/src/lib.rs") {
        LIB_LINES_MAX
    } else {
        SOURCE_LINES_MAX
    }
}

fn test_lines(syntax: &syn::File) -> usize {
    let modules = syntax
        .items
        .iter()
        .filter_map(|item| if let syn::Item::Mod(module) = item { Some(module) } else { None });
    modules
        .filter(|module| module.content.is_some() && is_test_only(&module.attrs))
        .map(|module| module.span().end().line - module.span().start().line + 1)
        .sum()
}

/// Modules with too many children, and files called mod.rs.
pub(super) fn modules(paths: &[String]) -> Vec<Finding> {
    let mut children: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut findings = Vec::new();
    for path in paths.iter().filter(|path| path.ends_with(".rs")) {
        let Some((folder, name)) = path.rsplit_once('/') else { continue };
        if name == "mod.rs" {
            findings.push(mod_rs(path));
        }
        if is_test_path(path) || !format!("{folder}/").contains("/src/") {
            continue;
        }
        if !matches!(name, "lib.rs" | "main.rs") {
            children.entry(folder).or_default().insert(name.trim_end_matches(".rs"));
        }
    }
    findings.extend(children.iter().filter(|(_, names)| names.len() > CHILDREN_MAX).map(
        |(folder, names)| Finding {
            subject: (*folder).to_owned(),
            line: None,
            rule: Rule::ModuleChildren,
            measure: Some(names.len()),
            what: format!("{} modules side by side, at most {CHILDREN_MAX}", names.len()),
            remedy: "group the ones that change together under one module",
        },
    ));
    findings
}

fn mod_rs(path: &str) -> Finding {
    Finding {
        subject: path.to_owned(),
        line: None,
        rule: Rule::ModRs,
        measure: None,
        what: "a file called mod.rs".to_owned(),
        remedy: "call it foo.rs beside the folder foo/",
    }
}

#[cfg(test)]
mod tests;
