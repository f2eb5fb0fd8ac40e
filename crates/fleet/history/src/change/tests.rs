use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn shown(old: &Value, new: &Value) -> Vec<String> {
    let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
    field_changes(Some(old), Some(new))
        .iter()
        .map(|row| format!("{}: {} → {}", row.path, text(&row.old), text(&row.new)))
        .collect()
}

#[test]
fn fields_are_named_to_the_leaf_and_elements_by_their_name() {
    let old = json!({"spec": {"site": "a", "role": "web"}, "status": {"conditions": [{"type": "Accepted", "status": "True"}]}});
    let new = json!({"spec": {"site": "a", "bmc": {"address": "ipmi://h"}}, "status": {"conditions": [{"type": "Accepted", "status": "False"}]}});
    assert_eq!(
        shown(&old, &new),
        [
            r#"spec.role: "web" → -"#,
            r#"spec.bmc.address: - → "ipmi://h""#,
            r#"status.conditions[type=Accepted].status: "True" → "False""#,
        ]
    );
}

#[test]
fn a_list_of_the_last_events_tells_what_came_and_what_fell_out() {
    let old = json!({"t": [{"to": 1}, {"to": 2}, {"to": 3}]});
    let new = json!({"t": [{"to": 2}, {"to": 3}, {"to": 4}]});
    assert_eq!(shown(&old, &new), [r#"t: [{"to":1}] → [{"to":4}]"#]);
    let changes = difference(&old, &new);
    assert!(matches!(&changes[..], [Change { edit: Edit::Slide { drop: 1, add }, .. }] if add.len() == 1));
}

#[test]
fn paths_are_refused_with_the_place() {
    for (text, column) in
        [("spec..role", 6), ("spec[role]", 10), ("a b", 2), ("a[\"x", 3), ("a[name=x", 9), (".a", 1)]
    {
        assert_eq!(Path::parse(text).unwrap_err().column, column, "{text}");
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3i64).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let items = proptest::collection::vec(("[ab]", inner.clone()), 0..4).prop_map(|pairs| {
            let named = pairs.into_iter().map(|(name, value)| json!({"name": name, "v": value}));
            Value::from(named.collect::<Vec<_>>())
        });
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[abc./]{1,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
            items,
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_difference_turns_the_old_into_the_new(old in values(), new in values()) {
        let mut state = old.clone();
        for change in difference(&old, &new) {
            apply(&mut state, &change);
        }
        prop_assert_eq!(state, new);
    }

    #[test]
    fn paths_come_back_from_their_text(names in proptest::collection::vec(("[a-z\"\\\\=.\\]\\[]{1,4}", "[a-z/=\"]{0,3}", any::<bool>()), 0..4)) {
        let steps = names.into_iter().map(|(key, text, item)| if item { Step::Item { key, text } } else { Step::Field(key) });
        let path = Path(steps.collect());
        prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
    }
}
