//! CustomResourceDefinitions.

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{World, status};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/example.com/v1/namespaces/default/things";

fn definition(plural: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {
                        "type": "object", "required": ["color"],
                        "properties": {
                            "color": {"type": "string", "enum": ["red", "blue"]},
                            "size": {"type": "integer", "default": 3},
                        },
                        "x-kubernetes-validations": [{"rule": "self.size < 10", "message": "too big"}],
                    },
                    "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
                }}},
            }],
        },
    })
}

fn thing(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn a_definition_is_served_as_soon_as_it_is_answered() {
    let world = World::new().await;
    let admin = world.admin();
    assert_eq!(admin.get(THINGS).await.code, 404);
    let made = admin.post(DEFINITIONS, &definition("things", "Thing")).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let conditions: Vec<String> = made.body["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{}={}", one["type"].as_str().unwrap(), one["status"].as_str().unwrap()))
        .collect();
    assert_eq!(conditions, ["NamesAccepted=True", "Established=True"]);
    assert_eq!(made.body["status"]["storedVersions"], json!(["v1"]));
    let one = admin.post(THINGS, &thing("a", json!({"color": "red"}))).await;
    assert_eq!((one.code.as_u16(), &one.body["spec"]), (201, &json!({"color": "red", "size": 3})));
    assert_eq!(one.body["metadata"]["generation"], 1);
    let list = admin.get("/apis/example.com/v1").await.body;
    let names: Vec<&str> =
        list["resources"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["things", "things/status"]);
    let table = admin.get_as(THINGS, "application/json;as=Table;v=v1;g=meta.k8s.io").await.body;
    assert_eq!(table["rows"][0]["cells"], json!(["a", "red"]));
    assert_eq!(
        admin.get(&format!("{THINGS}?fieldSelector=spec.color%3Dblue")).await.body["items"],
        json!([])
    );
}

#[tokio::test]
async fn its_schema_and_rules_are_checked() {
    let world = World::new().await;
    let admin = world.admin();
    admin.post(DEFINITIONS, &definition("things", "Thing")).await;
    let strict = format!("{THINGS}?fieldValidation=Strict");
    let refused = [
        admin.post(THINGS, &thing("a", json!({"color": "green"}))).await,
        admin.post(THINGS, &thing("a", json!({}))).await,
        admin.post(THINGS, &thing("a", json!({"color": "red", "size": 11}))).await,
        admin.post(&strict, &thing("a", json!({"color": "red", "shape": "round"}))).await,
    ];
    let lines: Vec<String> = refused.iter().map(status).collect();
    expect![[r#"
        422 Invalid: Thing.example.com "a" is invalid: [spec.color: Unsupported value: "green": supported values: "red", "blue", <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]
        422 Invalid: Thing.example.com "a" is invalid: [spec.color: Required value, <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]
        422 Invalid: Thing.example.com "a" is invalid: spec: Invalid value: too big
        400 BadRequest: Thing in version "v1" cannot be handled as a Thing: strict decoding error: unknown field "spec.shape""#]].assert_eq(&lines.join("\n"));
    let pruned = admin.post(THINGS, &thing("a", json!({"color": "red", "shape": "round"}))).await;
    assert_eq!(pruned.body["spec"], json!({"color": "red", "size": 3}));
    let unversioned = admin.put(&format!("{THINGS}/a"), &thing("a", json!({"color": "blue"}))).await;
    assert_eq!(
        status(&unversioned),
        "422 Invalid: Thing.example.com \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for \
         an update"
    );
}

#[tokio::test]
async fn status_is_written_through_its_subresource_only() {
    let world = World::new().await;
    let admin = world.admin();
    admin.post(DEFINITIONS, &definition("things", "Thing")).await;
    admin.post(THINGS, &thing("a", json!({"color": "red"}))).await;
    let both = json!({"spec": {"color": "blue"}, "status": {"ready": true}});
    let path = format!("{THINGS}/a");
    let first = admin.patch(&format!("{path}/status"), "merge-patch+json", &both).await.body;
    assert_eq!((&first["spec"]["color"], &first["status"]["ready"]), (&json!("red"), &json!(true)));
    let second = admin
        .patch(&path, "merge-patch+json", &json!({"spec": {"color": "blue"}, "status": {"ready": false}}))
        .await;
    assert_eq!(
        (&second.body["spec"]["color"], &second.body["status"]["ready"]),
        (&json!("blue"), &json!(true))
    );
    assert_eq!(second.body["metadata"]["generation"], 2);
    assert_eq!(admin.patch(&path, "strategic-merge-patch+json", &json!({})).await.code, 415);
}

#[tokio::test]
async fn a_name_in_use_is_not_given_twice() {
    let world = World::new().await;
    let admin = world.admin();
    admin.post(DEFINITIONS, &definition("things", "Thing")).await;
    let second = admin.post(DEFINITIONS, &definition("objects", "Thing")).await.body;
    assert_eq!(second["status"]["conditions"][0]["status"], "False");
    assert_eq!(second["status"]["conditions"][1]["status"], "False");
    assert_eq!(admin.get("/apis/example.com/v1/namespaces/default/objects").await.code, 404);
}

#[tokio::test]
async fn a_definition_takes_its_objects_with_it() {
    let world = World::new().await;
    let admin = world.admin();
    admin.post(DEFINITIONS, &definition("things", "Thing")).await;
    admin.post(THINGS, &thing("a", json!({"color": "red"}))).await;
    let mut events = admin.watch(&format!("{DEFINITIONS}?watch=true")).await;
    assert_eq!(events.line().await, "ADDED things.example.com");
    let leaving = admin.delete(&format!("{DEFINITIONS}/things.example.com"), &Value::Null).await;
    assert_eq!(leaving.body["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    while events.line().await != "DELETED things.example.com" {}
    assert_eq!(admin.get(THINGS).await.code, 404);
    assert_eq!(admin.get("/apis/example.com/v1").await.code, 404);
    admin.post(DEFINITIONS, &definition("things", "Thing")).await;
    assert_eq!(admin.get(THINGS).await.body["items"], json!([]));
}

#[tokio::test]
async fn a_default_added_later_is_seen_in_objects_from_before() {
    let world = World::new().await;
    let admin = world.admin();
    let mut before = definition("things", "Thing");
    let versions = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let spec = before.pointer_mut(versions).unwrap();
    spec["properties"]["size"] = json!({"type": "integer"});
    spec["x-kubernetes-validations"] = json!([]);
    admin.post(DEFINITIONS, &before).await;
    admin.post(THINGS, &thing("a", json!({"color": "red"}))).await;
    let path = format!("{THINGS}/a");
    assert_eq!(admin.get(&path).await.body["spec"], json!({"color": "red"}));
    let replace = json!([{
        "op": "add", "path": format!("{versions}/properties/size"), "value": {"type": "integer", "default": 3},
    }]);
    let changed =
        admin.patch(&format!("{DEFINITIONS}/things.example.com"), "json-patch+json", &replace).await;
    assert_eq!(changed.code, 200, "{}", changed.body);
    assert_eq!(admin.get(&path).await.body["spec"], json!({"color": "red", "size": 3}));
    assert_eq!(admin.get(THINGS).await.body["items"][0]["spec"]["size"], 3);
}
