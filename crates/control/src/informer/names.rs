//! Lists of which nothing is read but names and revisions: the rest of the metadata, labels and managed fields, is most of
//! the work for a large fleet.

use std::fmt;

use kube::Client;
use kube::api::ListParams;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::ObjectKey;

#[derive(Deserialize)]
pub(super) struct List {
    pub(super) metadata: ListMeta,
    /// kube-apiserver writes `null` where there are none.
    pub(super) items: Option<Vec<Item>>,
}

#[derive(Deserialize)]
pub(super) struct ListMeta {
    #[serde(rename = "continue")]
    pub(super) continue_token: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Item {
    pub(super) metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(from = "Fields")]
pub(super) struct Metadata {
    pub(super) key: ObjectKey,
    pub(super) revision: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default, deserialize_with = "number")]
    resource_version: u64,
}

impl From<Fields> for Metadata {
    fn from(fields: Fields) -> Self {
        let Fields { name, namespace, resource_version } = fields;
        Self { key: ObjectKey { namespace, name }, revision: resource_version }
    }
}

/// A revision is written as text; what is no number is older than everything, as in [`super::revision`].
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = u64;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a resource version")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            Ok(text.parse().unwrap_or(0))
        }
    }
    deserializer.deserialize_str(Text)
}

/// One page of the objects at `path`.
pub(super) async fn list(client: &Client, path: &str, page: &ListParams) -> Result<List, kube::Error> {
    let request = kube::core::Request::new(path).list_metadata(page);
    client.request(request.map_err(kube::Error::BuildRequest)?).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_revisions_are_read_and_nothing_else() {
        let managed = json!([{"manager": "m", "fieldsV1": {"f:spec": {}}}]);
        let list = json!({"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "9", "continue": "next"},
            "items": [{"metadata": {"name": "a", "labels": {"l": "1"}, "managedFields": managed, "resourceVersion": "7"}},
                {"metadata": {"name": "b", "namespace": "n", "resourceVersion": "opaque"}}]});
        let list: List = serde_json::from_value(list).unwrap();
        assert_eq!(list.metadata.continue_token.as_deref(), Some("next"));
        let seen: Vec<(String, u64)> = list
            .items
            .into_iter()
            .flatten()
            .map(|item| (item.metadata.key.to_string(), item.metadata.revision))
            .collect();
        assert_eq!(seen, [("a".to_owned(), 7), ("n/b".to_owned(), 0)]);
        let none =
            json!({"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "9"}, "items": null});
        assert!(serde_json::from_value::<List>(none).unwrap().items.is_none());
    }
}
