//! Modules called `plan` decide and do nothing else: no waiting, no clock, no input or output (invariant 12).
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::finding::{Finding, Rule};
use super::syntax::is_test_only;
use super::tree::Source;

/// A path that begins with one of these reaches outside.
const OUTSIDE: &[&[&str]] = &[
    &["std", "env"],
    &["std", "fs"],
    &["std", "io", "stdin"],
    &["std", "io", "stdout"],
    &["std", "io", "stderr"],
    &["std", "net", "TcpListener"],
    &["std", "net", "TcpStream"],
    &["std", "net", "UdpSocket"],
    &["std", "os"],
    &["std", "process"],
    &["std", "thread"],
    &["hyper"],
    &["nix"],
    &["rand"],
    &["tokio"],
    &["kube", "Api"],
    &["kube", "Client"],
    &["muster_base", "clock", "Clock"],
    &["muster_base", "clock", "ManualClock"],
    &["muster_base", "clock", "SystemClock"],
    &["muster_base", "task"],
    &["muster_store"],
];

/// Functions that look at a clock, by their last two names.
const CLOCKS: &[[&str; 2]] =
    &[["Instant", "now"], ["SystemTime", "now"], ["Timestamp", "now"], ["Utc", "now"], ["Zoned", "now"]];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let planning = source.path.split('/').any(|part| part == "plan" || part == "plan.rs");
    if !planning || source.is_test() {
        return Vec::new();
    }
    let mut visitor = Purity { path: &source.path, findings: Vec::new() };
    visitor.visit_file(&source.syntax);
    visitor.findings
}

struct Purity<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

impl Purity<'_> {
    fn push(&mut self, span: proc_macro2::Span, what: String) {
        self.findings.push(Finding {
            subject: self.path.to_owned(),
            line: Some(span.start().line),
            rule: Rule::PlanPurity,
            measure: None,
            what,
            remedy: "take it as an argument, and leave the doing to the pass around the plan",
        });
    }

    fn path(&mut self, names: &[String], span: proc_macro2::Span) {
        let outside = OUTSIDE
            .iter()
            .any(|start| names.len() >= start.len() && names.iter().zip(*start).all(|(a, b)| a == b));
        let clock = CLOCKS.iter().any(|end| names.ends_with(&end.map(str::to_owned)));
        if outside || clock {
            self.push(span, format!("a plan uses {}", names.join("::")));
        }
    }

    /// Every path that a `use` names, written out.
    fn tree(&mut self, start: &[String], tree: &syn::UseTree) {
        let joined = |name: &syn::Ident| [start, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&joined(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.path(&joined(&name.ident), name.span()),
            syn::UseTree::Rename(rename) => self.path(&joined(&rename.ident), rename.span()),
            syn::UseTree::Glob(glob) => self.path(start, glob.span()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(start, item)),
        }
    }
}

impl<'ast> Visit<'ast> for Purity<'_> {
    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        if !is_test_only(&node.attrs) {
            visit::visit_item_mod(self, node);
        }
    }

    fn visit_item_use(&mut self, node: &'ast syn::ItemUse) {
        self.tree(&[], &node.tree);
    }

    fn visit_path(&mut self, node: &'ast syn::Path) {
        let names: Vec<String> = node.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.path(&names, node.span());
        visit::visit_path(self, node);
    }

    fn visit_signature(&mut self, node: &'ast syn::Signature) {
        if let Some(keyword) = &node.asyncness {
            self.push(keyword.span, format!("a plan waits: `async fn {}`", node.ident));
        }
        visit::visit_signature(self, node);
    }

    fn visit_expr_async(&mut self, node: &'ast syn::ExprAsync) {
        self.push(node.span(), "a plan waits: an async block".to_owned());
        visit::visit_expr_async(self, node);
    }
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    fn found(path: &str, text: &str) -> Vec<String> {
        let source =
            Source { path: path.to_owned(), text: text.to_owned(), syntax: syn::parse_file(text).unwrap() };
        check(&source).into_iter().map(|finding| finding.what).collect()
    }

    const IMPURE: &str = "
        use std::{collections::BTreeMap, fs};
        use tokio::time as t;
        async fn wait() {}
        fn plan() -> u8 { let _ = jiff::Timestamp::now(); let later = async { 1 }; kube::Client::try_default() }
        #[cfg(test)]
        mod tests { use std::fs; }
    ";

    #[test]
    fn a_plan_neither_waits_nor_looks_at_a_clock_nor_reaches_outside() {
        assert_eq!(
            found("crates/fleet/a/src/repair/plan.rs", IMPURE),
            [
                "a plan uses std::fs",
                "a plan uses tokio::time",
                "a plan waits: `async fn wait`",
                "a plan uses jiff::Timestamp::now",
                "a plan waits: an async block",
                "a plan uses kube::Client::try_default",
            ]
        );
        assert_eq!(found("crates/fleet/a/src/plan/step.rs", IMPURE).len(), 6);
    }

    #[test]
    fn other_modules_and_tests_of_plans_may() {
        for path in
            ["crates/fleet/a/src/repair.rs", "crates/fleet/a/src/plan/tests.rs", "crates/a/src/planet.rs"]
        {
            assert_eq!(found(path, IMPURE), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn what_a_plan_works_on_may_come_from_anywhere() {
        let text = "use kube::ResourceExt; use jiff::Timestamp; use std::net::IpAddr; use muster_base::clock::elapsed; fn plan(now: Timestamp) -> std::time::Duration { now }";
        assert_eq!(found("crates/a/src/plan.rs", text), Vec::<String>::new());
    }
}
