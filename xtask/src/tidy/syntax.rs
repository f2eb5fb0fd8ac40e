//! What only the syntax tree knows: sizes of functions, glob imports.
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::finding::{Finding, Rule};
use super::tree::Source;

const FUNCTION_LINES_MAX: usize = 70;

/// True if the attributes say that the item is compiled for tests only.
pub(super) fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        syn::Meta::NameValue(_) => false,
    })
}

/// Functions with more than 70 lines of code, from the signature to the closing brace.
pub(super) fn functions(source: &Source) -> Vec<Finding> {
    let mut visitor = Functions { source, lines: source.text.lines().collect(), findings: Vec::new() };
    visitor.visit_file(&source.syntax);
    visitor.findings
}

struct Functions<'a> {
    source: &'a Source,
    lines: Vec<&'a str>,
    findings: Vec<Finding>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, end: &syn::Block) {
        let first = signature.span().start().line;
        let code = &self.lines[first - 1..end.span().end().line];
        let lines = code
            .iter()
            .map(|line| line.trim())
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .count();
        if lines > FUNCTION_LINES_MAX {
            self.findings.push(Finding {
                subject: format!("{}::{}", self.source.path, signature.ident),
                line: Some(first),
                rule: Rule::FunctionSize,
                measure: Some(lines),
                what: format!("{lines} lines of code, at most {FUNCTION_LINES_MAX}"),
                remedy: "split it by step",
            });
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.measure(&node.sig, &node.block);
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.measure(&node.sig, &node.block);
        visit::visit_impl_item_fn(self, node);
    }

    fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
        if let Some(block) = &node.default {
            self.measure(&node.sig, block);
        }
        visit::visit_trait_item_fn(self, node);
    }
}

/// `use foo::*` outside tests.
pub(super) fn globs(source: &Source) -> Vec<Finding> {
    if source.is_test() {
        return Vec::new();
    }
    let mut visitor = Globs { path: &source.path, findings: Vec::new() };
    visitor.visit_file(&source.syntax);
    visitor.findings
}

struct Globs<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

impl<'ast> Visit<'ast> for Globs<'_> {
    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        if !is_test_only(&node.attrs) {
            visit::visit_item_mod(self, node);
        }
    }

    fn visit_use_glob(&mut self, node: &'ast syn::UseGlob) {
        self.findings.push(Finding {
            subject: self.path.to_owned(),
            line: Some(node.span().start().line),
            rule: Rule::Glob,
            measure: None,
            what: "a glob import outside tests".to_owned(),
            remedy: "name what is used",
        });
    }
}

#[cfg(test)]
mod tests;
