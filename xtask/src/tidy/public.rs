//! Every `pub` item of the crates that others build on has a doc comment.
use syn::visit::{self, Visit};

use super::finding::{Finding, Rule};
use super::syntax::is_test_only;
use super::tree::{Source, crate_folder};

const CRATES: &[&str] =
    &["crates/base", "crates/api", "crates/control", "crates/engine/store", "crates/engine/schema"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if source.is_test() || !CRATES.contains(&crate_folder(&source.path)) {
        return Vec::new();
    }
    undocumented(source)
}

fn undocumented(source: &Source) -> Vec<Finding> {
    let mut visitor = Public { path: &source.path, findings: Vec::new() };
    visitor.visit_file(&source.syntax);
    visitor.findings
}

struct Public<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

impl Public<'_> {
    fn require(&mut self, name: &syn::Ident, visibility: &syn::Visibility, attributes: &[syn::Attribute]) {
        let public = matches!(visibility, syn::Visibility::Public(_));
        if public && !is_documented(attributes) {
            self.push(name);
        }
    }

    fn push(&mut self, name: &syn::Ident) {
        self.findings.push(Finding {
            subject: self.path.to_owned(),
            line: Some(name.span().start().line),
            rule: Rule::Undocumented,
            measure: None,
            what: format!("the public `{name}` has no doc comment"),
            remedy: "say what it is, its units, its errors, its source",
        });
    }
}

fn is_documented(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("doc"))
}

impl<'ast> Visit<'ast> for Public<'_> {
    fn visit_item(&mut self, node: &'ast syn::Item) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "syn::Item is non-exhaustive; other items name nothing public"
        )]
        match node {
            syn::Item::Const(item) => self.require(&item.ident, &item.vis, &item.attrs),
            syn::Item::Enum(item) => self.require(&item.ident, &item.vis, &item.attrs),
            syn::Item::Fn(item) => self.require(&item.sig.ident, &item.vis, &item.attrs),
            syn::Item::Static(item) => self.require(&item.ident, &item.vis, &item.attrs),
            syn::Item::Struct(item) => self.require(&item.ident, &item.vis, &item.attrs),
            syn::Item::Trait(item) => self.require(&item.ident, &item.vis, &item.attrs),
            syn::Item::Type(item) => self.require(&item.ident, &item.vis, &item.attrs),
            syn::Item::Mod(item) if is_test_only(&item.attrs) => return,
            _ => {}
        }
        visit::visit_item(self, node);
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        if node.trait_.is_none() {
            visit::visit_item_impl(self, node);
        }
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.require(&node.sig.ident, &node.vis, &node.attrs);
    }

    fn visit_impl_item_const(&mut self, node: &'ast syn::ImplItemConst) {
        self.require(&node.ident, &node.vis, &node.attrs);
    }

    fn visit_item_trait(&mut self, node: &'ast syn::ItemTrait) {
        if !matches!(node.vis, syn::Visibility::Public(_)) {
            return;
        }
        for item in &node.items {
            if let syn::TraitItem::Fn(method) = item
                && !is_documented(&method.attrs)
            {
                self.push(&method.sig.ident);
            }
        }
    }

    fn visit_block(&mut self, _: &'ast syn::Block) {}
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    fn names(path: &str, text: &str) -> Vec<String> {
        let source =
            Source { path: path.to_owned(), text: text.to_owned(), syntax: syn::parse_file(text).unwrap() };
        let what = check(&source).into_iter().map(|finding| finding.what);
        what.map(|what| what.split('`').nth(1).unwrap().to_owned()).collect()
    }

    const ITEMS: &str = "
        /// Said.
        pub struct Said;
        pub struct Mute;
        pub(crate) struct Inner;
        impl Said { pub fn method(&self) {} fn private(&self) {} }
        impl Display for Said { fn fmt(&self) {} }
        /// Said.
        pub trait Trait { fn required(&self); }
        pub use other::Thing;
        mod inner { pub const DEEP: u8 = 1; }
        #[cfg(test)]
        mod tests { pub fn helper() {} }
        fn body() { pub fn inside() {} }
    ";

    #[test]
    fn public_items_methods_and_trait_functions_need_a_doc_comment() {
        assert_eq!(names("crates/base/src/a.rs", ITEMS), ["Mute", "method", "required", "DEEP"]);
    }

    #[test]
    fn other_crates_and_test_files_are_free() {
        assert_eq!(names("crates/fleet/doctor/src/a.rs", ITEMS), Vec::<String>::new());
        assert_eq!(names("crates/base/src/a/tests.rs", ITEMS), Vec::<String>::new());
    }
}
