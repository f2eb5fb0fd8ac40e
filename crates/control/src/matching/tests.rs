use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

fn labels(text: &str) -> Labels {
    text.split_whitespace().filter_map(|p| p.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn expression(key: &str, operator: &str, values: &str) -> LabelSelector {
    LabelSelector {
        match_labels: None,
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: key.into(),
            operator: operator.into(),
            values: Some(words(values)),
        }]),
    }
}

#[test]
fn an_empty_selector_matches_everything_and_pairs_must_all_hold() {
    assert!(selects(&LabelSelector::default(), &labels("")));
    let both = LabelSelector { match_labels: Some(labels("a=1 b=2")), match_expressions: None };
    assert!(selects(&both, &labels("a=1 b=2 c=3")));
    assert!(!selects(&both, &labels("a=1")));
}

#[test]
fn each_operator_decides_as_the_api_defines() {
    let rows = [
        ("In", "x y", "k=x", true),
        ("In", "x y", "k=z", false),
        ("In", "x", "", false),
        ("NotIn", "x", "k=x", false),
        ("NotIn", "x", "", true),
        ("Exists", "", "k=", true),
        ("Exists", "", "", false),
        ("DoesNotExist", "", "", true),
        ("DoesNotExist", "", "k=1", false),
        ("Gt", "5", "k=6", true),
        ("Gt", "5", "k=5", false),
        ("Lt", "5", "k=4", true),
        ("Lt", "5", "k=four", false),
        ("Resembles", "x", "k=x", false),
    ];
    for (operator, values, found, expected) in rows {
        let got = selects(&expression("k", operator, values), &labels(found));
        assert_eq!(got, expected, "k {operator} [{values}] on {{{found}}}");
    }
}

#[test]
fn a_node_term_that_asks_for_nothing_matches_nothing() {
    assert!(!term_matches(&NodeSelectorTerm::default(), "n1", &labels("a=1")));
    let selector = NodeSelector { node_selector_terms: vec![] };
    assert!(!node_matches(&selector, "n1", &labels("a=1")));
}

#[test]
fn a_node_term_can_pin_a_name_and_no_other_field() {
    let pin = |key: &str| NodeSelectorTerm {
        match_expressions: None,
        match_fields: Some(vec![NodeSelectorRequirement {
            key: key.into(),
            operator: "In".into(),
            values: Some(words("n1")),
        }]),
    };
    assert!(term_matches(&pin("metadata.name"), "n1", &Labels::new()));
    assert!(!term_matches(&pin("metadata.name"), "n2", &Labels::new()));
    assert!(!term_matches(&pin("metadata.uid"), "n1", &Labels::new()));
}

fn taint(text: &str) -> Taint {
    let (pair, effect) = text.split_once(':').unwrap();
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Taint {
        key: key.into(),
        value: (!value.is_empty()).then(|| value.into()),
        effect: effect.into(),
        time_added: None,
    }
}

fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
    let some = |s: &str| (!s.is_empty()).then(|| s.to_owned());
    Toleration {
        key: some(key),
        operator: some(operator),
        value: some(value),
        effect: some(effect),
        toleration_seconds: None,
    }
}

#[test]
fn a_toleration_covers_a_taint_by_key_value_and_effect() {
    let rows = [
        (toleration("", "Exists", "", ""), "a=1:NoExecute", true),
        (toleration("a", "Exists", "", ""), "a=1:NoSchedule", true),
        (toleration("a", "Exists", "", "NoExecute"), "a=1:NoSchedule", false),
        (toleration("a", "", "1", ""), "a=1:NoSchedule", true),
        (toleration("a", "Equal", "2", ""), "a=1:NoSchedule", false),
        (toleration("b", "Exists", "", ""), "a=1:NoSchedule", false),
        (toleration("", "Equal", "", ""), "a:NoSchedule", false),
    ];
    for (toleration, text, expected) in rows {
        assert_eq!(covers(&toleration, &taint(text)), expected, "{toleration:?} on {text}");
    }
}

#[test]
fn only_the_effects_asked_for_repel() {
    let taints = [taint("a:PreferNoSchedule"), taint("b:NoSchedule"), taint("c:Odd")];
    let repelled = untolerated(&taints, &[], &[Effect::NoSchedule, Effect::NoExecute]);
    assert_eq!(repelled.map(|t| t.key.as_str()), Some("b"));
    assert_eq!(untolerated(&taints, &[], &[Effect::NoExecute]), None);
}
