use super::*;
use crate::types::{ListKind, Presence, Scalar, Shape, WireForm};
use crate::{Scope, Subresource};

fn field<'a>(schema: &'a Schema, name: &str) -> &'a crate::Field {
    let Shape::Object { fields, .. } = &schema.node().shape else { panic!("not an object") };
    fields.get(name).unwrap_or_else(|| panic!("no field {name}"))
}

#[test]
fn knows_names_scope_and_subresources_as_discovery_tells_them() {
    let deployment = Catalog::builtin().kind("apps", "v1", "Deployment").unwrap();
    assert_eq!(deployment.plural, "deployments");
    assert_eq!(deployment.short_names, ["deploy"]);
    assert_eq!(deployment.categories, ["all"]);
    assert_eq!(deployment.scope, Scope::Namespaced);
    assert_eq!(deployment.resource(), "deployments.apps");
    assert!(matches!(deployment.subresources[..], [Subresource::Scale(_), Subresource::Status]));
    let node = Catalog::builtin().by_plural("", "v1", "nodes").unwrap();
    assert_eq!((node.scope, node.resource().as_str()), (Scope::Cluster, "nodes"));
    assert_eq!(node.subresources, [Subresource::Other("proxy"), Subresource::Status]);
}

#[test]
fn serves_every_stable_group_of_the_skeleton_and_no_review_as_a_stored_kind() {
    let catalog = Catalog::builtin();
    let names: Vec<String> = catalog.kinds().map(Kind::resource).collect();
    for name in [
        "pods",
        "podtemplates",
        "endpointslices.discovery.k8s.io",
        "leases.coordination.k8s.io",
        "events.events.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        "apiservices.apiregistration.k8s.io",
        "flowschemas.flowcontrol.apiserver.k8s.io",
    ] {
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name} in {names:?}");
    }
    let of_both_versions = names.iter().filter(|name| *name == "horizontalpodautoscalers.autoscaling");
    assert_eq!(of_both_versions.count(), 2, "{names:?}");
    assert_eq!(names.len(), 58, "{names:?}");
    assert!(catalog.by_plural("authentication.k8s.io", "v1", "tokenreviews").is_none());
    assert!(catalog.resources().iter().any(|resource| resource.name == "tokenreviews"));
    assert!(catalog.kind("", "v1", "ComponentStatus").is_none());
}

#[test]
fn finds_types_that_are_sent_but_never_stored() {
    for name in [
        "DeleteOptions",
        "Status",
        "v1/DeleteOptions",
        "policy/v1/Eviction",
        "authentication.k8s.io/v1/TokenRequest",
        "authorization.k8s.io/v1/SelfSubjectAccessReview",
        "v1/Binding",
        "autoscaling/v1/Scale",
        "io.k8s.api.core.v1.PodSpec",
    ] {
        assert!(Catalog::builtin().message(name).is_some(), "{name}");
    }
    assert!(Catalog::builtin().message("policy/v1/Nothing").is_none());
}

#[test]
fn a_field_carries_its_merge_keys_wire_place_and_meaning_of_zero() {
    let pod = Catalog::builtin().message("io.k8s.api.core.v1.PodSpec").unwrap();
    let containers = field(&pod, "containers");
    assert_eq!(containers.patch.merge_key.as_deref(), Some("name"));
    let Shape::List { items, kind } = &pod.at(containers.node).shape else { panic!("not a list") };
    assert_eq!(*kind, ListKind::Map(vec!["name".into()]));
    assert_eq!(pod.sub(*items).node().limits, None);
    let ephemeral = Catalog::builtin().message("io.k8s.api.core.v1.EphemeralContainer").unwrap();
    let wire = field(&ephemeral, "image").wire.unwrap();
    assert_eq!((wire.number, wire.within, wire.presence), (2, [1, 0], Presence::OmitZero));
    let rule =
        Catalog::builtin().message("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations").unwrap();
    assert_eq!(field(&rule, "apiGroups").wire.unwrap().within, [2, 2]);
    let review = Catalog::builtin().message("io.k8s.api.authorization.v1.SubjectAccessReviewSpec").unwrap();
    assert_eq!(field(&review, "extra").wire.unwrap().form, WireForm::Wrapped);
    let replicas = Catalog::builtin().message("io.k8s.api.apps.v1.DeploymentSpec").unwrap();
    let replicas_node = replicas.at(field(&replicas, "replicas").node);
    assert!(matches!(replicas_node.shape, Shape::Scalar(Scalar::Integer)));
    assert_eq!(replicas_node.limits.as_ref().unwrap().format.as_deref(), Some("int32"));
    assert_eq!(field(&replicas, "replicas").wire.unwrap().presence, Presence::Optional);
}

#[test]
fn every_list_of_a_kind_is_a_type_too() {
    let catalog = Catalog::builtin();
    for kind in catalog.kinds() {
        let name = format!("{}/{}", kind.gvk.api_version(), kind.list_kind);
        assert!(catalog.message(&name).is_some(), "{name}");
    }
}

#[test]
fn explains_types_and_fields_and_shares_repeated_texts() {
    let text = description("io.k8s.api.apps.v1.DeploymentSpec", "replicas").unwrap();
    assert!(text.starts_with("Number of desired pods."), "{text}");
    assert!(description("io.k8s.api.apps.v1.Deployment", "").unwrap().starts_with("Deployment enables"));
    assert!(description("io.k8s.api.apps.v1.Deployment", "kind").unwrap().starts_with("Kind is a string"));
    assert_eq!(description("io.k8s.api.apps.v1.Deployment", "nothing"), None);
}
