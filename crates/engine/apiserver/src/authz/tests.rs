use super::*;

fn rule(verbs: &str, groups: &str, resources: &str, names: &str) -> Rule {
    let list =
        |text: &str| text.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let groups = groups.split(' ').map(|one| if one == "core" { "" } else { one }.to_owned()).collect();
    Rule { verbs: list(verbs), groups, resources: list(resources), names: list(names), paths: Vec::new() }
}

fn asks(verb: &str, group: &str, resource: &str, subresource: &str, name: &str) -> Attributes {
    Attributes {
        verb: verb.into(),
        group: group.into(),
        resource: resource.into(),
        subresource: subresource.into(),
        name: name.into(),
        ..Attributes::default()
    }
}

#[test]
fn a_rule_allows_what_it_names_and_nothing_else() {
    let pods = rule("get list", "core", "pods pods/log", "");
    for (what, expected) in [
        (asks("get", "", "pods", "", "p"), true),
        (asks("get", "", "pods", "log", "p"), true),
        (asks("get", "", "pods", "exec", "p"), false),
        (asks("delete", "", "pods", "", "p"), false),
        (asks("get", "apps", "pods", "", "p"), false),
        (asks("get", "", "secrets", "", "p"), false),
    ] {
        assert_eq!(pods.allows(&what), expected, "{what:?}");
    }
    assert!(rule("*", "*", "*", "").allows(&asks("get", "x", "pods", "log", "")));
    assert!(rule("get", "core", "*/scale", "").allows(&asks("get", "", "things", "scale", "")));
    assert!(!rule("get", "core", "*/scale", "").allows(&asks("get", "", "things", "", "")));
}

#[test]
fn a_rule_with_names_allows_no_list_of_everything() {
    let named = rule("get list", "core", "configmaps", "a");
    assert!(named.allows(&asks("get", "", "configmaps", "", "a")));
    assert!(named.allows(&asks("list", "", "configmaps", "", "a")));
    assert!(!named.allows(&asks("list", "", "configmaps", "", "")));
    assert!(!named.allows(&asks("get", "", "configmaps", "", "b")));
}

#[test]
fn paths_end_in_a_star_or_match_exactly() {
    let healthz = Rule {
        verbs: vec!["get".into()],
        paths: vec!["/healthz".into(), "/logs/*".into()],
        ..Rule::default()
    };
    let path = |path: &str| Attributes { verb: "get".into(), path: path.into(), ..Attributes::default() };
    for (asked, expected) in [("/healthz", true), ("/healthz/x", false), ("/logs/x/y", true), ("/", false)] {
        assert_eq!(healthz.allows(&path(asked)), expected, "{asked}");
    }
}

#[test]
fn a_grant_is_covered_part_by_part() {
    let held = [rule("get list", "core", "pods", ""), rule("get", "core", "secrets", "a b")];
    let covered = |wanted: &Rule| wanted.parts().iter().all(|part| held.iter().any(|rule| rule.covers(part)));
    assert!(covered(&rule("get", "core", "pods", "")));
    assert!(covered(&rule("get list", "core", "pods", "x")));
    assert!(covered(&rule("get", "core", "secrets", "a")));
    assert!(!covered(&rule("get", "core", "secrets", "")));
    assert!(!covered(&rule("get", "core", "secrets", "a c")));
    assert!(!covered(&rule("get delete", "core", "pods", "")));
    assert!(!covered(&rule("*", "core", "pods", "")));
    assert!(!covered(&Rule::every_path()));
}
