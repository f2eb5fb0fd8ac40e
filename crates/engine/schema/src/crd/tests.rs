use serde_json::json;

use super::*;
use crate::kind::Subresource;
use crate::structural;

const RULES_NOT_CHECKED: &str = "<nil>: Invalid value: null: some validation rules were not checked because the object was \
     invalid; correct the existing errors to complete validation";

fn crd(schema: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "machines.muster.dev"},
        "spec": {
            "group": "muster.dev",
            "scope": "Cluster",
            "names": {"plural": "machines", "kind": "Machine", "shortNames": ["mc"]},
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

fn spec(properties: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})
}

#[track_caller]
fn kind(crd: &Value) -> Kind {
    let mut kinds = compile(crd).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!(kinds.len(), 1);
    kinds.remove(0)
}

#[track_caller]
fn refused(crd: &Value, expected: &[&str]) {
    let found: Vec<String> = compile(crd).unwrap_err().iter().map(ToString::to_string).collect();
    let prefix = "spec.versions[0].schema.openAPIV3Schema";
    let short: Vec<String> = found.iter().map(|error| error.replace(prefix, "~")).collect();
    assert_eq!(short, expected);
}

#[track_caller]
fn wrong(kind: &Kind, value: Value, old: Option<Value>, expected: &[&str]) {
    let found: Vec<String> = validate(kind, &value, old.as_ref()).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_kind_has_the_names_scope_and_defaults_of_its_definition() {
    let mut crd = crd(spec(json!({"role": {"type": "string"}})));
    crd["spec"]["versions"][0]["subresources"] = json!({
        "status": {},
        "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"},
    });
    let kind = kind(&crd);
    assert_eq!(kind.gvk.api_version(), "muster.dev/v1alpha1");
    assert_eq!((kind.singular.as_str(), kind.list_kind.as_str()), ("machine", "MachineList"));
    assert_eq!(kind.resource(), "machines.muster.dev");
    assert_eq!(kind.storage_version, "v1alpha1");
    assert_eq!(kind.scope, Scope::Cluster);
    assert!(kind.has_status());
    assert!(
        matches!(&kind.subresources[1], Subresource::Scale(paths) if paths.status_replicas == ".status.n")
    );
}

#[test]
fn a_version_that_is_not_served_is_checked_and_not_returned() {
    let mut crd = crd(spec(json!({})));
    let mut old = crd["spec"]["versions"][0].clone();
    old["name"] = json!("v1alpha0");
    old["served"] = json!(false);
    old["storage"] = json!(false);
    crd["spec"]["versions"].as_array_mut().unwrap().push(old);
    assert_eq!(compile(&crd).unwrap().len(), 1);
    crd["spec"]["versions"][1]["schema"] = json!({"openAPIV3Schema": {"type": "string"}});
    let found = compile(&crd).unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "spec.versions[1].schema.openAPIV3Schema.type: Invalid value: \"string\": must be object at the root"
    );
}

#[test]
fn names_group_and_versions_are_checked() {
    let mut bad = crd(spec(json!({})));
    bad["metadata"]["name"] = json!("x");
    bad["spec"]["group"] = json!("muster");
    bad["spec"]["scope"] = json!("Planet");
    bad["spec"]["versions"][0]["storage"] = json!(false);
    let found: Vec<String> = compile(&bad).unwrap_err().iter().map(|error| error.to_string()).collect();
    assert_eq!(found[0], "metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group");
    assert_eq!(found[1], "spec.group: Invalid value: \"muster\": should be a domain with at least one dot");
    assert_eq!(
        found[2],
        "spec.scope: Unsupported value: \"Planet\": supported values: \"Cluster\", \"Namespaced\""
    );
    assert!(found[3].ends_with("must have exactly one version marked as storage version"), "{}", found[3]);
    assert_eq!(found.len(), 4);
    let mut webhook = crd(spec(json!({})));
    webhook["spec"]["conversion"] = json!({"strategy": "Webhook"});
    refused(
        &webhook,
        &["spec.conversion.strategy: Unsupported value: \"Webhook\": supported values: \"None\""],
    );
}

#[test]
fn a_schema_that_is_not_structural_is_refused_in_upstream_words() {
    refused(
        &crd(spec(json!({"a": {}, "b": {"type": "array"}, "c": {"type": "frob"}}))),
        &[
            "~.properties[spec].properties[a].type: Required value: must not be empty for specified object fields",
            "~.properties[spec].properties[b].items: Required value: must be specified",
            "~.properties[spec].properties[c].type: Unsupported value: \"frob\": supported values: \"array\", \
             \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ],
    );
    refused(
        &crd(json!({"type": "object", "anyOf": [{"type": "object", "properties": {"x": {"minimum": 1}}}]})),
        &[
            "~.anyOf[0].type: Forbidden: must be empty to be structural",
            "~.properties[x]: Required value: because it is defined in ~.anyOf[0].properties[x]",
        ],
    );
    refused(
        &crd(
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
        ),
        &[
            "~.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but \
           metadata is implicitly specified",
        ],
    );
    refused(
        &crd(spec(
            json!({"l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}}}}}),
        )),
        &[
            "~.properties[spec].properties[l].items.properties[k].default: Required value: this property is in \
           x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ],
    );
    refused(
        &crd(spec(
            json!({"s": {"type": "string", "pattern": "a("}, "o": {"type": "object", "uniqueItems": true}}),
        )),
        &[
            "~.properties[spec].properties[s].pattern: Invalid value: \"a(\": must be a valid regular expression, \
             but isn't: regex parse error:\n    a(\n     ^\nerror: unclosed group",
            "~.properties[spec].properties[o].uniqueItems: Forbidden: uniqueItems cannot be set to true since the \
             runtime complexity becomes quadratic",
        ],
    );
}

#[test]
fn a_root_beside_a_status_subresource_has_no_junctors() {
    let mut with_status = crd(json!({"type": "object", "oneOf": [{"required": ["spec"]}]}));
    assert!(compile(&with_status).is_ok());
    with_status["spec"]["versions"][0]["subresources"] = json!({"status": {}});
    let found = compile(&with_status).unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(
        found[0]
            .detail
            .ends_with("fields are allowed at the root of the schema if the status subresource is enabled")
    );
}

#[test]
fn defaults_are_judged_by_their_own_type() {
    refused(
        &crd(spec(json!({"n": {"type": "integer", "default": "x"},
            "o": {"type": "object", "properties": {"a": {"type": "string"}}, "default": {"b": 1}}}))),
        &[
            "~.properties[spec].properties[n].default: Invalid value: \"string\": \
             ~.properties[spec].properties[n].default in body must be of type integer: \"string\"",
            "~.properties[spec].properties[o].default: Invalid value: {\"b\":1}: must not have unknown fields",
        ],
    );
}

#[test]
fn values_are_pruned_defaulted_and_judged() {
    let kind = kind(&crd(json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}},
            "spec": {
                "type": "object",
                "required": ["port"],
                "properties": {
                    "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                    "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                    "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                },
                "oneOf": [{"required": ["mode"]}, {"required": ["raw"]}],
            },
        },
    })));
    let mut value = json!({"apiVersion": "muster.dev/v1alpha1", "kind": "Machine", "metadata": {"name": "abc", "x": 1},
        "spec": {"port": "http", "other": 1, "raw": null}, "junk": {}});
    structural::prune(&kind.schema, &mut value);
    structural::default(&kind.schema, &mut value);
    let clean = json!({"apiVersion": "muster.dev/v1alpha1", "kind": "Machine", "metadata": {"name": "abc"},
        "spec": {"port": "http", "mode": "a"}});
    assert_eq!(value, clean);
    wrong(&kind, clean, None, &[]);
    wrong(
        &kind,
        json!({"metadata": {"name": "abcd"}, "spec": {"port": 1.5, "mode": "c", "raw": {"any": 1}}}),
        None,
        &[
            "metadata.name: Too long: may not be more than 3 bytes",
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            "spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\"",
            "spec.port: Invalid value: \"number\": spec.port in body must be of type integer,string: \"number\"",
            RULES_NOT_CHECKED,
        ],
    );
    wrong(&kind, json!({}), None, &["spec: Required value", RULES_NOT_CHECKED]);
}

#[test]
fn rules_are_judged_beside_bounds_and_not_beside_wrong_types() {
    let at_most_100 = json!([{"rule": "self <= 100", "message": "at most 100"}]);
    let kind = kind(&crd(json!({"type": "object", "properties": {
        "max": {"type": "integer", "minimum": 0},
        "share": {"type": "integer", "x-kubernetes-validations": at_most_100},
    }})));
    wrong(
        &kind,
        json!({"max": -1, "share": 101}),
        None,
        &[
            "max: Invalid value: -1: max in body should be greater than or equal to 0",
            "share: Invalid value: 101: at most 100",
        ],
    );
    wrong(
        &kind,
        json!({"max": "no", "share": 101}),
        None,
        &[
            "max: Invalid value: \"string\": max in body must be of type integer: \"string\"",
            RULES_NOT_CHECKED,
        ],
    );
}

#[test]
fn rules_that_do_not_compile_refuse_the_definition_at_their_path() {
    let with = |rule: Value| {
        crd(json!({"type": "object", "properties": {"spec": {"type": "object",
            "properties": {"n": {"type": "integer"}, "l": {"type": "array", "items": {"type": "string"}}},
            "x-kubernetes-validations": [rule]}}}))
    };
    let at = "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]";
    let found = compile(&with(json!({"rule": "self.n >"}))).unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, format!("{at}.rule"));
    assert!(found[0].detail.starts_with("compilation failed: "), "{}", found[0]);
    for (rule, detail) in [
        ("self.m > 1", "compilation failed: undefined field 'm'"),
        ("self.n + 1", "cel expression must evaluate to a bool"),
        ("self.n", "cel expression must evaluate to a bool"),
        ("other > 1", "compilation failed: undeclared reference to 'other' (in container '')"),
        (
            "self.l.all(x, x.y == 1 && z == 2)",
            "compilation failed: undeclared reference to 'z' (in container '')",
        ),
    ] {
        let found = compile(&with(json!({"rule": rule}))).unwrap_err();
        assert_eq!((found[0].path.as_str(), found[0].detail.as_str()), (&*format!("{at}.rule"), detail));
        assert_eq!(found.len(), 1);
    }
    let found = compile(&with(json!({"rule": "self.n > 1", "messageExpression": "self.n"}))).unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, format!("{at}.messageExpression"));
    assert_eq!(found[0].detail, "messageExpression must evaluate to a string");
    let found = compile(&with(json!({"rule": "self.n > 1", "reason": "Because"}))).unwrap_err();
    assert_eq!(found[0].path, format!("{at}.reason"));
    let found = compile(&with(json!({"rule": "self.n > 1", "optionalOldSelf": true}))).unwrap_err();
    assert_eq!(found[0].detail, "may not be set if oldSelf is not used in rule");
    let found = compile(&with(json!({"rule": "self.n > 1", "fieldPath": ".x"}))).unwrap_err();
    assert_eq!(found[0].detail, "must be a valid path");
    assert!(compile(&with(json!({"rule": "has(self.n) && self.l.exists(x, x.startsWith('a'))"}))).is_ok());
}

#[test]
fn printer_columns_and_selectable_fields_are_checked() {
    let mut crd = crd(spec(json!({"role": {"type": "string"}, "o": {"type": "object"}})));
    let version = &mut crd["spec"]["versions"][0];
    version["additionalPrinterColumns"] = json!([{"name": "Role", "type": "string", "jsonPath": ".spec.role"}, {"name": "X", "type": "text", "jsonPath": "spec"}]);
    version["selectableFields"] =
        json!([{"jsonPath": ".spec.role"}, {"jsonPath": ".spec.o"}, {"jsonPath": ".spec.z"}]);
    let found: Vec<String> = compile(&crd).unwrap_err().iter().map(|error| error.to_string()).collect();
    assert_eq!(
        found,
        [
            "spec.versions[0].additionalPrinterColumns[1].type: Invalid value: \"text\": must be one of \
             boolean,date,integer,number,string",
            "spec.versions[0].additionalPrinterColumns[1].JSONPath: Invalid value: \"spec\": must be a simple json \
             path starting with .",
        ]
    );
    crd["spec"]["versions"][0]["additionalPrinterColumns"] = json!([]);
    let found: Vec<String> = compile(&crd).unwrap_err().iter().map(|error| error.path.clone()).collect();
    assert_eq!(
        found,
        ["spec.versions[0].selectableFields[1].jsonPath", "spec.versions[0].selectableFields[2].jsonPath"]
    );
}
