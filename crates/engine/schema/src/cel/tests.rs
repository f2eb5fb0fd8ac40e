use serde_json::{Value, json};

use crate::kind::Kind;
use crate::{cel, crd};

/// A kind whose `spec` has these properties and rules.
#[track_caller]
fn kind(properties: Value, rules: Value) -> Kind {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": properties, "x-kubernetes-validations": rules}}});
    let definition = json!({
        "metadata": {"name": "xs.muster.dev"},
        "spec": {
            "group": "muster.dev", "scope": "Cluster", "names": {"plural": "xs", "kind": "X"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    crd::compile(&definition).unwrap_or_else(|errors| panic!("{errors:?}")).remove(0)
}

#[track_caller]
fn check(kind: &Kind, new: Value, old: Option<Value>, expected: &[&str]) {
    let (new, old) = (json!({"spec": new}), old.map(|old| json!({"spec": old})));
    let found: Vec<String> =
        cel::validate(&kind.schema, &new, old.as_ref(), "").iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_rule_refuses_with_its_message_reason_and_path() {
    let kind = kind(
        json!({"min": {"type": "integer"}, "max": {"type": "integer"}}),
        json!([
            {"rule": "self.min <= self.max"},
            {"rule": "self.max < 100", "message": "too big", "reason": "FieldValueForbidden", "fieldPath": ".max"},
            {"rule": "self.min >= 0", "messageExpression": "'min is ' + string(self.min)"},
        ]),
    );
    check(&kind, json!({"min": 1, "max": 2}), None, &[]);
    check(
        &kind,
        json!({"min": 101, "max": 100}),
        None,
        &["spec: Invalid value: failed rule: self.min <= self.max", "spec.max: Forbidden: too big"],
    );
    check(&kind, json!({"min": -1, "max": 2}), None, &["spec: Invalid value: min is -1"]);
    check(
        &kind,
        json!({"min": 1}),
        None,
        &[
            "spec: Invalid value: \"object\": no such key: max evaluating rule: self.min <= self.max",
            "spec: Invalid value: \"object\": no such key: max evaluating rule: too big",
        ],
    );
}

#[test]
fn transition_rules_need_an_old_value_unless_it_is_optional() {
    let kind = kind(
        json!({"role": {"type": "string", "x-kubernetes-validations": [
            {"rule": "self == oldSelf", "message": "is immutable"},
            {"rule": "oldSelf.hasValue() || self == 'new'", "message": "starts as new", "optionalOldSelf": true}]}}),
        json!([]),
    );
    check(&kind, json!({"role": "new"}), None, &[]);
    check(&kind, json!({"role": "b"}), None, &["spec.role: Invalid value: \"b\": starts as new"]);
    check(
        &kind,
        json!({"role": "b"}),
        Some(json!({"role": "a"})),
        &["spec.role: Invalid value: \"b\": is immutable"],
    );
    check(&kind, json!({"role": "b"}), Some(json!({"role": "b"})), &[]);
}

#[test]
fn items_of_keyed_lists_meet_their_old_selves_whatever_their_place() {
    let kind = kind(
        json!({"disks": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"},
                "size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "shrinks"}]}}}}}),
        json!([]),
    );
    check(
        &kind,
        json!({"disks": [{"name": "b", "size": 1}, {"name": "a", "size": 2}]}),
        Some(json!({"disks": [{"name": "a", "size": 2}, {"name": "b", "size": 2}]})),
        &["spec.disks[0].size: Invalid value: 1: shrinks"],
    );
}

#[test]
fn names_that_are_no_identifiers_are_escaped_and_formats_are_typed() {
    let kind = kind(
        json!({
            "x-y": {"type": "integer"}, "namespace": {"type": "string"}, "a__b": {"type": "integer"},
            "from": {"type": "string", "format": "date-time"}, "every": {"type": "string", "format": "duration"},
            "ratio": {"type": "number"}, "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }),
        json!([
            {"rule": "!has(self.x__dash__y) || self.x__dash__y > 0", "message": "dash"},
            {"rule": "!has(self.__namespace__) || self.__namespace__ != ''", "message": "reserved"},
            {"rule": "!has(self.a__underscores__b) || self.a__underscores__b > 0", "message": "underscores"},
            {"rule": "!has(self.from) || self.from > timestamp('2020-01-01T00:00:00Z')", "message": "time"},
            {"rule": "!has(self.every) || self.every < duration('1h')", "message": "duration"},
            {"rule": "!has(self.ratio) || self.ratio < 1.5", "message": "ratio"},
            {"rule": "!has(self.labels) || self.labels.all(key, key.startsWith('a-'))", "message": "label"},
        ]),
    );
    let good = json!({"x-y": 1, "namespace": "n", "a__b": 1, "from": "2021-01-01T00:00:00Z", "every": "5m", "ratio": 1,
        "labels": {"a-b": "c"}});
    check(&kind, good, None, &[]);
    let bad = json!({"x-y": 0, "namespace": "", "a__b": 0, "from": "2019-01-01T00:00:00Z", "every": "2h", "ratio": 2,
        "labels": {"b": "c"}});
    let expected = ["dash", "reserved", "underscores", "time", "duration", "ratio", "label"];
    let expected: Vec<String> = expected.iter().map(|text| format!("spec: Invalid value: {text}")).collect();
    check(&kind, bad, None, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn what_is_null_or_unchanged_is_not_judged() {
    let kind = kind(
        json!({"n": {"type": "integer", "nullable": true, "x-kubernetes-validations": [{"rule": "self > 0"}]}}),
        json!([]),
    );
    check(&kind, json!({"n": null}), None, &[]);
    check(&kind, json!({"n": -1}), Some(json!({"n": -1})), &[]);
    check(
        &kind,
        json!({"n": -1}),
        Some(json!({"n": -2})),
        &["spec.n: Invalid value: -1: failed rule: self > 0"],
    );
}

#[test]
fn work_beyond_the_budget_is_refused_before_it_starts() {
    let kind = kind(
        json!({"l": {"type": "array", "items": {"type": "integer"}}}),
        json!([{"rule": "self.l.all(a, self.l.all(b, self.l.all(c, a + b + c >= 0)))"}]),
    );
    check(&kind, json!({"l": [1, 2, 3]}), None, &[]);
    let many: Vec<u32> = (0..3000).collect();
    check(
        &kind,
        json!({"l": many}),
        None,
        &[
            "spec: Invalid value: \"object\": validation failed due to running out of cost budget, no further \
           validation rules will be run",
        ],
    );
}

#[test]
fn conversions_take_what_is_converted_already() {
    let kind = kind(
        json!({
            "from": {"type": "string", "format": "date-time"}, "to": {"type": "string", "format": "date-time"},
            "every": {"type": "string", "format": "duration"},
        }),
        json!([
            {"rule": "timestamp(self.from) < timestamp(self.to)", "message": "from before to"},
            {"rule": "duration(self.every) < duration('1h')", "message": "every"},
        ]),
    );
    let (early, late) = ("2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z");
    check(&kind, json!({"from": early, "to": late, "every": "1m"}), None, &[]);
    check(
        &kind,
        json!({"from": late, "to": early, "every": "2h"}),
        None,
        &["spec: Invalid value: from before to", "spec: Invalid value: every"],
    );
}

#[test]
fn rules_are_judged_beside_bounds_and_not_beside_wrong_types() {
    let kind = kind(
        json!({
            "max": {"type": "integer", "minimum": 0},
            "share": {"type": "integer", "x-kubernetes-validations": [{"rule": "self <= 100", "message": "at most 100"}]},
        }),
        json!([]),
    );
    check(
        &kind,
        json!({"max": -1, "share": 101}),
        None,
        &[
            "spec.max: Invalid value: -1: spec.max in body should be greater than or equal to 0",
            "spec.share: Invalid value: 101: at most 100",
        ],
    );
    check(
        &kind,
        json!({"max": "no", "share": 101}),
        None,
        &[
            "spec.max: Invalid value: \"string\": spec.max in body must be of type integer: \"string\"",
            "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
             correct the existing errors to complete validation",
        ],
    );
}
