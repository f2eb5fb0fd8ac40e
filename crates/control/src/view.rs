//! Slim views: structs with just the fields a controller uses of a hot kind.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// The parts of an object's metadata that controllers use.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slim {
    name: Option<String>,
    generate_name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
}

/// Reads metadata without `managedFields`, a third of a typical Pod. For `#[serde(deserialize_with = …)]`.
///
/// # Errors
/// Those of the deserializer.
pub fn slim_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let slim = Slim::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: slim.name,
        generate_name: slim.generate_name,
        namespace: slim.namespace,
        uid: slim.uid,
        resource_version: slim.resource_version,
        generation: slim.generation,
        creation_timestamp: slim.creation_timestamp,
        deletion_timestamp: slim.deletion_timestamp,
        deletion_grace_period_seconds: slim.deletion_grace_period_seconds,
        labels: slim.labels,
        annotations: slim.annotations,
        owner_references: slim.owner_references,
        finalizers: slim.finalizers,
        managed_fields: None,
        self_link: None,
    })
}

/// Makes a serde struct with a `metadata: ObjectMeta` field a [`kube::Resource`] that reads an existing kind.
///
/// A full `k8s_openapi` Pod costs 43 KB and 60–90 µs to parse; a view keeps what is used. A view is for reading and
/// watching: never write one back as a whole.
///
/// ```
/// use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
/// #[derive(Clone, Debug, serde::Deserialize)]
/// struct PodView {
///     metadata: ObjectMeta,
/// }
/// muster_control::view!(PodView: "", "v1", "Pod", "pods", kube::core::NamespaceResourceScope);
/// ```
#[macro_export]
macro_rules! view {
    ($type:ty : $group:literal, $version:literal, $kind:literal, $plural:literal, $scope:ty) => {
        impl ::kube::Resource for $type {
            type DynamicType = ();
            type Scope = $scope;

            fn kind(_: &()) -> ::std::borrow::Cow<'_, str> {
                $kind.into()
            }

            fn group(_: &()) -> ::std::borrow::Cow<'_, str> {
                $group.into()
            }

            fn version(_: &()) -> ::std::borrow::Cow<'_, str> {
                $version.into()
            }

            fn plural(_: &()) -> ::std::borrow::Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slim_metadata_keeps_what_controllers_use_and_drops_managed_fields() {
        let text = r#"{"name": "a", "uid": "u", "labels": {"x": "1"}, "finalizers": ["f"],
            "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}], "selfLink": "/a"}"#;
        let meta = slim_metadata(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert_eq!((meta.name.as_deref(), meta.uid.as_deref()), (Some("a"), Some("u")));
        assert_eq!((meta.finalizers.map(|f| f.len()), meta.labels.map(|l| l.len())), (Some(1), Some(1)));
        assert_eq!((meta.managed_fields, meta.self_link), (None, None));
    }
}
