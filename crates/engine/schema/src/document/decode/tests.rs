use serde_json::json;

use super::*;

fn deployment(encoding: Encoding, body: &str, validation: FieldValidation) -> Result<Decoded, DecodeError> {
    decode(
        Catalog::builtin().kind("apps", "v1", "Deployment").unwrap(),
        encoding,
        body.as_bytes(),
        validation,
    )
}

fn refused(encoding: Encoding, body: &str) -> String {
    deployment(encoding, body, FieldValidation::Strict).unwrap_err().to_string()
}

const TWICE: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a","unknownMeta":1},
"spec":{"unknownField":"x","replicas":1,"replicas":2,"template":{"spec":{"containers":[{"name":"a","imgae":"b"}]}}}}"#;

#[test]
fn strict_names_unknown_and_duplicate_fields_in_the_order_of_the_document() {
    assert_eq!(
        refused(Encoding::Json, TWICE),
        r#"strict decoding error: unknown field "metadata.unknownMeta", unknown field "spec.unknownField", duplicate field "spec.replicas", unknown field "spec.template.spec.containers[0].imgae""#
    );
}

#[test]
fn warn_drops_them_and_tells_and_ignore_is_silent() {
    let warned = deployment(Encoding::Json, TWICE, FieldValidation::Warn).unwrap();
    assert_eq!(warned.warnings.len(), 4);
    assert_eq!(warned.warnings[2], "duplicate field \"spec.replicas\"");
    assert_eq!(warned.value["spec"]["replicas"], 2);
    assert_eq!(warned.value["spec"].get("unknownField"), None);
    assert_eq!(deployment(Encoding::Json, TWICE, FieldValidation::Ignore).unwrap().warnings, [""; 0]);
}

#[test]
fn yaml_tells_duplicates_with_their_line() {
    let body = "apiVersion: apps/v1\nkind: Deployment\nspec:\n  foo: 1\n  replicas: 1\n  replicas: 2\n";
    assert_eq!(
        refused(Encoding::Yaml, body),
        "strict decoding error: yaml: unmarshal errors:\n  line 6: key \"replicas\" already set in map, unknown field \"spec.foo\""
    );
}

#[test]
fn wrong_types_are_told_with_the_field_and_both_types() {
    let error =
        deployment(Encoding::Json, r#"{"spec":{"replicas":"3"}}"#, FieldValidation::Strict).unwrap_err();
    assert_eq!(
        error.status_message(Catalog::builtin().kind("apps", "v1", "Deployment").unwrap()),
        "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
    for (body, expected) in [
        (
            r#"{"metadata":{"labels":{"a":1}}}"#,
            "number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":{}}}}}"#,
            "object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (r#"{"spec":[]}"#, "array into Go struct field Deployment.spec of type v1.DeploymentSpec"),
        (
            r#"{"spec":{"paused":"yes"}}"#,
            "string into Go struct field DeploymentSpec.spec.paused of type bool",
        ),
    ] {
        assert_eq!(refused(Encoding::Json, body), format!("json: cannot unmarshal {expected}"));
    }
}

#[test]
fn leaves_that_cannot_be_read_are_told_with_their_path() {
    let body = r#"{"spec":{"template":{"spec":{"containers":[{"resources":{"limits":{"cpu":"one"}}}]}}}}"#;
    assert_eq!(
        refused(Encoding::Json, body),
        "spec.template.spec.containers[0].resources.limits.cpu: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    );
}

#[test]
fn a_built_in_document_comes_out_as_it_is_always_written() {
    let body = r#"{"metadata":{"name":"a","labels":{},"creationTimestamp":null},"spec":{"paused":false,"replicas":0,
        "template":{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":0.5}}}]}}}}"#;
    let decoded = deployment(Encoding::Json, body, FieldValidation::Strict).unwrap();
    assert_eq!(
        decoded.value,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "a"},
            "spec": {
                "replicas": 0, "strategy": {},
                "template": {"metadata": {}, "spec": {"containers": [
                    {"name": "c", "resources": {"limits": {"cpu": "500m"}}},
                ]}},
            },
            "status": {},
        })
    );
}

#[test]
fn yaml_is_read_with_the_same_types() {
    let body = "spec:\n  paused: yes\n  template:\n    spec:\n      containers:\n      - name: \"on\"\n        ports: [{containerPort: 80}]\n";
    let decoded = deployment(Encoding::Yaml, body, FieldValidation::Strict).unwrap().value;
    assert_eq!(decoded["spec"]["paused"], true);
    assert_eq!(decoded["spec"]["template"]["spec"]["containers"][0]["name"], "on");
    assert_eq!(decoded["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"], 80);
    assert!(
        refused(Encoding::Yaml, "metadata:\n  labels:\n    a: 1\n")
            .contains("ObjectMeta.metadata.labels of type string")
    );
}

#[test]
fn refuses_another_kind_another_version_no_object_and_too_much() {
    assert_eq!(
        refused(Encoding::Json, r#"{"apiVersion":"apps/v2"}"#),
        "the API version in the data (apps/v2) does not match the expected API version (apps/v1)"
    );
    assert_eq!(
        refused(Encoding::Json, r#"{"kind":"Pod"}"#),
        "the kind in the data (Pod) does not match the expected kind (Deployment)"
    );
    assert_eq!(refused(Encoding::Json, "null"), DecodeError::NotAnObject.to_string());
    assert!(refused(Encoding::Json, "{\"spec\":").starts_with("EOF while parsing"));
    assert!(refused(Encoding::Json, "{} {}").contains("trailing characters"));
    let huge = " ".repeat(BODY_BYTES_MAX + 1);
    assert_eq!(refused(Encoding::Json, &huge), "Request entity too large: limit is 3145728");
    let deep = format!("{{\"spec\":{}", "[".repeat(100_000));
    assert!(deployment(Encoding::Json, &deep, FieldValidation::Ignore).is_err());
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    assert!(refused(Encoding::Json, &deep).contains("recursion limit"));
}

#[test]
fn the_outcome_of_a_patch_is_checked_like_a_body() {
    let kind = Catalog::builtin().kind("", "v1", "ConfigMap").unwrap();
    let patched = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": null}, "dta": {}});
    assert_eq!(
        value(kind, &patched, FieldValidation::Strict).unwrap_err().to_string(),
        "strict decoding error: unknown field \"dta\""
    );
    assert_eq!(value(kind, &patched, FieldValidation::Ignore).unwrap().value["data"], json!({"a": ""}));
}

#[test]
fn no_depth_of_nesting_and_no_alias_brings_the_reader_down() {
    for body in [
        format!("x: {}", "[".repeat(100_000)),
        format!("x: {}1{}", "[".repeat(5_000), "]".repeat(5_000)),
        format!("x:\n{}", (1..300).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>()),
        (0..30).fold("a0: &a0 [1]\n".to_owned(), |text, n| {
            format!("{text}a{}: &a{} [*a{n}, *a{n}, *a{n}, *a{n}]\n", n + 1, n + 1)
        }),
    ] {
        let outcome = deployment(Encoding::Yaml, &body, FieldValidation::Warn);
        assert!(matches!(outcome, Err(DecodeError::Syntax { .. })), "{:?}", outcome.map(|_| ()));
    }
}

#[test]
fn the_deepest_typed_document_is_read_and_one_level_more_is_refused() {
    let crd = Catalog::builtin().kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
    let body = |levels: usize| {
        let (open, close) = ("{\"properties\":{\"a\":".repeat(levels), "}}".repeat(levels));
        format!("{{\"spec\":{{\"versions\":[{{\"schema\":{{\"openAPIV3Schema\":{open}{{}}{close}}}}}]}}}}")
    };
    let read = |levels| decode(crd, Encoding::Json, body(levels).as_bytes(), FieldValidation::Strict);
    assert!(read(60).is_ok());
    assert!(matches!(read(62), Err(DecodeError::Syntax { .. })));
}
