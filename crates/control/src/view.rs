//! Slim views: structs with just the fields a controller uses of a hot kind.

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
