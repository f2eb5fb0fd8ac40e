use serde_json::{Value, json};

use crate::decode::{self, FieldValidation};
use crate::{Catalog, default, validate::validate};

/// The errors of a configuration with one webhook, changed at these JSON pointers.
#[track_caller]
fn check(changes: &[(&str, Value)], expected: &[&str]) {
    let mut sent = json!({"metadata": {"name": "c"}, "webhooks": [{
        "name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://h/"}, "matchConditions": [],
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"]}],
    }]});
    for (field, value) in changes {
        let (parent, key) = field.rsplit_once('/').unwrap_or(("", field));
        let parent = format!("/webhooks/0{}{parent}", if parent.is_empty() { "" } else { "/" });
        let place = sent.pointer_mut(&parent).unwrap_or_else(|| panic!("{parent}"));
        place[key] = value.clone();
    }
    let kind =
        Catalog::builtin().kind("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
    let kind = kind.unwrap();
    let mut value = decode::value(kind, &sent, FieldValidation::Strict).unwrap().value;
    default::apply(kind, &mut value);
    let errors: Vec<String> = validate(kind, &value, None).iter().map(ToString::to_string).collect();
    assert_eq!(errors, expected);
}

#[test]
fn a_webhook_needs_a_full_name_an_address_a_version_and_no_side_effects() {
    check(&[], &[]);
    check(
        &[("name", json!("a.b")), ("sideEffects", json!("Some")), ("timeoutSeconds", json!(31))],
        &[
            r#"webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by dots"#,
            r#"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#,
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ],
    );
    check(
        &[
            ("sideEffects", Value::Null),
            ("admissionReviewVersions", json!(["v2", "v2"])),
            ("clientConfig", json!({})),
        ],
        &[
            "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            r#"webhooks[0].admissionReviewVersions[1]: Invalid value: "v2": duplicate version"#,
            r#"webhooks[0].admissionReviewVersions: Invalid value: ["v2","v2"]: must include at least one of v1, v1beta1"#,
        ],
    );
}

#[test]
fn an_address_is_an_https_url_or_a_service() {
    check(
        &[("clientConfig", json!({"url": "http://user@h/p?q#f"}))],
        &[
            r#"webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]"#,
            r#"webhooks[0].clientConfig.url: Invalid value: "user": user information is not permitted in the URL"#,
            r#"webhooks[0].clientConfig.url: Invalid value: "f": fragments are not permitted in the URL"#,
            r#"webhooks[0].clientConfig.url: Invalid value: "q": query parameters are not permitted in the URL"#,
        ],
    );
    check(
        &[(
            "clientConfig",
            json!({"service": {"name": "", "namespace": "n", "port": 70000, "path": "a//b"}}),
        )],
        &[
            "webhooks[0].clientConfig.service.name: Required value",
            "webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
            r#"webhooks[0].clientConfig.service.path: Invalid value: "a//b": must start with a '/'"#,
            r#"webhooks[0].clientConfig.service.path: Invalid value: "a//b": segment[0] may not be empty"#,
            r#"webhooks[0].clientConfig.service.path: Invalid value: "a//b": segment[1] may not be empty"#,
        ],
    );
}

#[test]
fn a_star_stands_alone_and_conditions_compile() {
    check(
        &[
            ("rules/0/operations", json!(["*", "CREATE", "READ"])),
            ("rules/0/resources", json!(["pods/*", "pods/status"])),
        ],
        &[
            r#"webhooks[0].rules[0].operations: Invalid value: ["*","CREATE","READ"]: if '*' is present, must not specify other operations"#,
            r#"webhooks[0].rules[0].operations[2]: Unsupported value: "READ": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE""#,
            r#"webhooks[0].rules[0].resources[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status"#,
        ],
    );
    check(
        &[(
            "matchConditions",
            json!([{"name": "a", "expression": "who == 1"}, {"name": "a", "expression": " "}]),
        )],
        &[
            r#"webhooks[0].matchConditions[0].expression: Invalid value: "who == 1": compilation failed: undeclared reference to 'who' (in container '')"#,
            "webhooks[0].matchConditions[1].expression: Required value",
            r#"webhooks[0].matchConditions[1].name: Duplicate value: "a""#,
        ],
    );
}
