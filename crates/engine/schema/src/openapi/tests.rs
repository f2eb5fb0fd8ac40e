use serde_json::json;

use super::*;
use crate::{Catalog, crd};

fn builtin(group: &str, version: &str) -> Vec<&'static Kind> {
    Catalog::builtin().kinds().filter(|kind| kind.gvk.group == group && kind.gvk.version == version).collect()
}

fn machine() -> Kind {
    let definition = json!({
        "metadata": {"name": "machines.muster.dev"},
        "spec": {"group": "muster.dev", "scope": "Cluster", "names": {"plural": "machines", "kind": "Machine"}, "versions": [{
            "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "role": {"type": "string", "enum": ["a"], "description": "What it is for."}}}}}},
        }]},
    });
    crd::compile(&definition).unwrap().remove(0)
}

#[test]
fn a_document_has_the_types_with_what_apply_needs() {
    let document = v3("apps/v1", &builtin("apps", "v1"));
    let schemas = &document["components"]["schemas"];
    let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(
        deployment["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
    );
    let spec = &schemas["io.k8s.api.apps.v1.DeploymentSpec"];
    assert_eq!(spec["required"], json!(["selector", "template"]));
    assert_eq!(spec["properties"]["strategy"]["x-kubernetes-patch-strategy"], "retainKeys");
    assert_eq!(
        spec["properties"]["selector"]["allOf"],
        json!([{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"}])
    );
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(containers["items"], json!({"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}));
}

#[test]
fn every_reference_leads_to_a_type() {
    let all: Vec<&Kind> = Catalog::builtin().kinds().collect();
    let document = v3("all", &all);
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not defined");
    }
}

#[test]
fn operations_say_their_kind_action_and_parameters() {
    let document = v3("apps/v1", &builtin("apps", "v1"));
    let one = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    assert_eq!(one["patch"]["x-kubernetes-action"], "patch");
    assert_eq!(one["patch"]["operationId"], "patchAppsV1NamespacedDeployment");
    assert_eq!(one["patch"]["x-kubernetes-group-version-kind"]["kind"], "Deployment");
    let names: Vec<_> =
        one["patch"]["parameters"].as_array().unwrap().iter().map(|all| &all["name"]).collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert!(one["delete"].is_object());
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"];
    assert_eq!(scale["get"]["x-kubernetes-group-version-kind"]["group"], "autoscaling");
    assert!(scale.get("delete").is_none());
    let all = &document["paths"]["/apis/apps/v1/deployments"];
    assert_eq!(all["get"]["operationId"], "listAppsV1DeploymentForAllNamespaces");
}

#[test]
fn custom_resources_are_published_with_what_every_object_has() {
    let kind = machine();
    let document = v3("muster.dev/v1alpha1", &[&kind]);
    let schema = &document["components"]["schemas"]["dev.muster.v1alpha1.Machine"];
    assert_eq!(schema["properties"]["spec"]["properties"]["role"]["description"], "What it is for.");
    assert_eq!(schema["properties"]["kind"]["type"], "string");
    assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "Machine");
    let list = &document["components"]["schemas"]["dev.muster.v1alpha1.MachineList"];
    assert_eq!(
        list["properties"]["items"]["items"],
        json!({"$ref": "#/components/schemas/dev.muster.v1alpha1.Machine"})
    );
    let status = &document["paths"]["/apis/muster.dev/v1alpha1/machines/{name}/status"];
    let patches: Vec<_> = status["patch"]["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert_eq!(
        patches,
        ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"],
        "a custom resource has no patch strategies"
    );
    assert_eq!(status["put"]["operationId"], "replaceMusterDevV1alpha1MachineStatus");
}

/// The fields of a protobuf message: number and payload.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let varint = |bytes: &mut &[u8]| {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let payload = match tag & 7 {
            0 => varint(&mut bytes).to_le_bytes().to_vec(),
            1 => bytes.split_off(..8).unwrap().to_vec(),
            2 => {
                let length = varint(&mut bytes) as usize;
                bytes.split_off(..length).unwrap().to_vec()
            }
            other => panic!("wire type {other}"),
        };
        found.push((tag >> 3, payload));
    }
    found
}

fn only(fields: &[(u64, Vec<u8>)], number: u64) -> Vec<&Vec<u8>> {
    fields.iter().filter(|(found, _)| *found == number).map(|(_, payload)| payload).collect()
}

#[test]
fn the_protobuf_document_holds_definitions_with_vendor_extensions() {
    let mut kinds = builtin("apps", "v1");
    let custom = machine();
    kinds.push(&custom);
    let document = fields(&v2_protobuf(&kinds));
    assert_eq!(only(&document, 1), [b"2.0"]);
    let definitions = fields(only(&document, 9)[0]);
    let schema = |name: &str| {
        let named =
            definitions.iter().map(|(_, named)| fields(named)).find(|named| named[0].1 == name.as_bytes());
        fields(only(&named.unwrap(), 2)[0])
    };
    let machine = schema("dev.muster.v1alpha1.Machine");
    let extension = fields(only(&machine, 31)[0]);
    assert_eq!(extension[0].1, b"x-kubernetes-group-version-kind");
    assert_eq!(
        fields(&extension[1].1)[0].1,
        b"[{\"group\":\"muster.dev\",\"kind\":\"Machine\",\"version\":\"v1alpha1\"}]\n"
    );
    let spec = schema("io.k8s.api.core.v1.PodSpec");
    let properties = fields(only(&spec, 25)[0]);
    let volumes =
        properties.iter().map(|(_, named)| fields(named)).find(|named| named[0].1 == b"volumes").unwrap();
    let extensions: Vec<String> = only(&fields(&volumes[1].1), 31)
        .iter()
        .map(|extension| String::from_utf8(fields(extension)[0].1.clone()).unwrap())
        .collect();
    assert_eq!(
        extensions,
        [
            "x-kubernetes-list-map-keys",
            "x-kubernetes-list-type",
            "x-kubernetes-patch-merge-key",
            "x-kubernetes-patch-strategy"
        ]
    );
}

#[test]
fn the_json_document_of_v2_holds_a_custom_kind_as_it_was_given() {
    let custom = machine();
    let document = v2(&[&custom]);
    assert_eq!((&document["swagger"], &document["paths"]), (&json!("2.0"), &json!({})));
    let machine = &document["definitions"]["dev.muster.v1alpha1.Machine"];
    assert_eq!(
        machine["properties"]["metadata"]["$ref"],
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
    assert_eq!(machine["x-kubernetes-group-version-kind"][0]["kind"], "Machine");
    assert_eq!(document.pointer("/components"), None);
}
