use super::{Source, file, modules};

fn source(path: &str, text: String) -> Source {
    Source { path: path.to_owned(), syntax: syn::parse_file(&text).unwrap(), text }
}

fn measure(path: &str, lines: usize) -> Option<usize> {
    file(&source(path, "const A: () = ();\n".repeat(lines))).map(|finding| finding.measure.unwrap())
}

#[test]
fn each_kind_of_file_has_its_own_limit() {
    for (path, max) in [
        ("crates/a/src/b.rs", 500),
        ("xtask/src/b.rs", 500),
        ("crates/a/src/b/tests.rs", 800),
        ("crates/a/tests/a/main.rs", 800),
        ("crates/a/src/main.rs", 60),
        ("crates/a/src/lib.rs", 100),
    ] {
        assert_eq!((measure(path, max), measure(path, max + 1)), (None, Some(max + 1)), "{path}");
    }
}

#[test]
fn test_modules_inside_a_file_do_not_count() {
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "const A: () = ();\n".repeat(400));
    let text = format!("{}{tests}", "const A: () = ();\n".repeat(499));
    assert_eq!(file(&source("crates/a/src/b.rs", text)), None);
}

#[test]
fn a_module_has_at_most_twelve_children() {
    let paths = |count: usize| -> Vec<String> {
        let children = (0..count).map(|index| format!("crates/a/src/b/c{index}.rs"));
        children
            .chain(["crates/a/src/b/c0/deep.rs".to_owned(), "crates/a/src/b/tests.rs".to_owned()])
            .collect()
    };
    assert_eq!(modules(&paths(12)), []);
    let found = modules(&paths(13));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].subject.as_str(), found[0].measure), ("crates/a/src/b", Some(13)));
}

#[test]
fn mod_rs_is_refused_in_tests_too() {
    let paths = ["crates/a/src/b/mod.rs".to_owned(), "crates/a/tests/a/mod.rs".to_owned()];
    let subjects: Vec<String> = modules(&paths).into_iter().map(|finding| finding.subject).collect();
    assert_eq!(subjects, paths);
}
