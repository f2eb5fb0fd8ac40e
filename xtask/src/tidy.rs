//! `cargo xtask tidy`: the limits of the style, held by a program instead of by memory.
mod comments;
mod dependencies;
mod documents;
mod exceptions;
mod finding;
mod passing;
mod public;
mod purity;
mod sizes;
mod syntax;
mod tree;
mod words;

use std::path::Path;

use finding::Finding;
use tree::{Source, Tree};

/// Why the tree could not be looked at, or that it was and is not tidy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TidyError {
    #[error("tidy: {0}")]
    Tree(#[from] tree::TreeError),
    #[error("tidy: the exceptions are not readable: {0}")]
    Exceptions(#[from] exceptions::RowError),
    #[error("tidy: {0} finding(s); each line above says where and what to do")]
    Untidy(usize),
}

/// Prints every finding of the tree at `root`; an error if there is any.
pub(crate) fn run(root: &Path) -> Result<(), TidyError> {
    let tree = Tree::read(root)?;
    let exceptions = exceptions::parse(&tree.text(exceptions::PATH).unwrap_or_default())?;
    let mut findings = exceptions::apply(&exceptions, inspect(&tree)?);
    findings.extend(exceptions::grown(&exceptions, tree.earlier(exceptions::PATH)?.as_deref())?);
    let names = tree.text(passing::PATH).unwrap_or_default();
    findings.extend(passing::check(&names, tree.earlier(passing::PATH)?.as_deref()));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() { Ok(()) } else { Err(TidyError::Untidy(findings.len())) }
}

fn inspect(tree: &Tree) -> Result<Vec<Finding>, tree::TreeError> {
    let mut findings = dependencies::check(&tree.crates()?);
    let sources: Vec<Source> = tree.rust_sources(&mut findings)?;
    for source in &sources {
        findings.extend(sizes::file(source));
        findings.extend(syntax::functions(source));
        findings.extend(syntax::globs(source));
        findings.extend(public::check(source));
        findings.extend(purity::check(source));
    }
    findings.extend(sizes::modules(tree.paths()));
    findings.extend(comments::check(&sources));
    findings.extend(documents::check(tree)?);
    findings.extend(words::check(tree)?);
    Ok(findings)
}
