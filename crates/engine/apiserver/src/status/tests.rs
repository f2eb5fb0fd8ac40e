use muster_schema::FieldError;
use serde_json::json;

use super::*;

const PODS: About<'static> = About { group: "", resource: "pods" };

#[test]
fn every_refusal_is_a_status_document_with_its_code() {
    let document = Refusal::not_found(About { group: "apps", resource: "deployments" }, "web").document();
    assert_eq!(
        document,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound", "code": 404,
            "message": "deployments.apps \"web\" not found",
            "details": {"name": "web", "group": "apps", "kind": "deployments"},
        })
    );
}

#[test]
fn several_wrong_fields_are_listed_in_brackets_each_a_cause() {
    let errors = [
        FieldError::required("spec.a", ""),
        FieldError::invalid("spec.b", json!(-1), "must be greater than or equal to 0"),
    ];
    let document = Refusal::invalid(About { group: "", resource: "Pod" }, "p", &errors).document();
    assert_eq!(
        document["message"],
        "Pod \"p\" is invalid: [spec.a: Required value, spec.b: Invalid value: -1: must be greater than or equal to 0]"
    );
    assert_eq!(
        document["details"]["causes"],
        json!([
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.a"},
            {
                "reason": "FieldValueInvalid", "field": "spec.b",
                "message": "Invalid value: -1: must be greater than or equal to 0",
            },
        ])
    );
}

#[test]
fn an_expired_continuation_brings_a_token_to_go_on_with() {
    let document = Refusal::continue_expired("next".to_owned()).document();
    assert_eq!((&document["code"], &document["reason"]), (&json!(410), &json!("Expired")));
    assert_eq!(document["metadata"], json!({"continue": "next"}));
}

#[test]
fn a_refusal_to_try_again_says_when() {
    let refusal = Refusal::name_not_free(PODS, "p-x");
    assert_eq!(refusal.retry_after_seconds(), Some(1));
    assert_eq!(refusal.document()["details"]["retryAfterSeconds"], 1);
    assert_eq!(Refusal::modified(PODS, "p").retry_after_seconds(), None);
}
