use super::{Source, functions, globs};

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned(), syntax: syn::parse_file(text).unwrap() }
}

fn long(head: &str, lines: usize) -> String {
    format!("{head} {{\n{}}}\n", "    one();\n".repeat(lines))
}

fn sizes(text: &str) -> Vec<(String, usize)> {
    let found = functions(&source("a/src/b.rs", text));
    found.into_iter().map(|finding| (finding.subject, finding.measure.unwrap())).collect()
}

#[test]
fn a_function_has_at_most_seventy_lines_of_code() {
    assert_eq!(sizes(&long("fn f()", 68)), []);
    assert_eq!(sizes(&long("fn f()", 69)), [("a/src/b.rs::f".to_owned(), 71)]);
}

#[test]
fn methods_trait_defaults_and_functions_in_functions_count() {
    let body = long("fn f()", 70);
    for text in
        [format!("impl A {{ {body} }}"), format!("trait A {{ {body} }}"), format!("fn g() {{ {body} }}")]
    {
        assert!(sizes(&text).iter().any(|(subject, _)| subject == "a/src/b.rs::f"), "{text}");
    }
}

#[test]
fn comments_empty_lines_and_attributes_do_not_count() {
    let text = format!("/// Doc.\n#[inline]\nfn f() {{\n{}}}", "    // why\n\n    one();\n".repeat(68));
    assert_eq!(sizes(&text), []);
}

#[test]
fn a_glob_import_is_found_where_it_stands() {
    let lines =
        |path, text| globs(&source(path, text)).into_iter().map(|f| f.line.unwrap()).collect::<Vec<_>>();
    assert_eq!(lines("a/src/b.rs", "use a::b;\nuse a::{b::*, c};\nfn f() {\n    use d::*;\n}\n"), [2, 4]);
    assert_eq!(lines("a/src/b.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n}\n"), Vec::<usize>::new());
    assert_eq!(lines("a/src/b/tests.rs", "use super::*;"), Vec::<usize>::new());
}
