//! The requests of a watch, on plain JSON: what a type of this program does not know is history too.

use std::time::Duration;

use futures::Stream;
use http::Request;
use kube::Client;
use kube::core::WatchEvent;
use serde_json::Value;

use super::{Interrupted, number};
use crate::kinds::Kind;

const PAGE: u32 = 500;
/// The API ends a watch after this; it is taken up where it ended.
const WATCH_SECONDS: u32 = 290;
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A part of a list.
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    pub(super) revision: u64,
    pub(super) next: Option<String>,
}

fn path(kind: Kind) -> String {
    format!("/apis/{}/{}/{}", muster_api::GROUP, muster_api::VERSION, kind.plural())
}

fn request(path: String) -> Result<Request<Vec<u8>>, Interrupted> {
    Request::get(path).body(Vec::new()).map_err(|error| Box::new(kube::Error::HttpError(error)).into())
}

async fn get(client: &Client, path: String) -> Result<Value, Interrupted> {
    let answer = client.request::<Value>(request(path)?);
    let late = || Box::new(kube::Error::Service("the list did not come in time".into()));
    Ok(tokio::time::timeout(ANSWER_WITHIN, answer).await.map_err(|_| late())?.map_err(Box::new)?)
}

pub(super) async fn page(client: &Client, kind: Kind, from: &str) -> Result<Page, Interrupted> {
    let from = if from.is_empty() { String::new() } else { format!("&continue={from}") };
    let mut list = get(client, format!("{}?limit={PAGE}{from}", path(kind))).await?;
    let text = |key: &str| list.pointer(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let (revision, next) = (number(&text("/metadata/resourceVersion")), text("/metadata/continue"));
    let items = list.get_mut("items").map(Value::take);
    let items = match items {
        Some(Value::Array(items)) => items,
        Some(_) | None => Vec::new(),
    };
    Ok(Page { items, revision, next: Some(next).filter(|next| !next.is_empty()) })
}

/// The revision of the API now.
pub(super) async fn present(client: &Client, kind: Kind) -> Result<u64, Interrupted> {
    let list = get(client, format!("{}?limit=1", path(kind))).await?;
    Ok(list.pointer("/metadata/resourceVersion").and_then(Value::as_str).map_or(0, number))
}

pub(super) async fn watch(
    client: &Client,
    kind: Kind,
    after: u64,
) -> Result<impl Stream<Item = Result<WatchEvent<Value>, kube::Error>> + use<>, Interrupted> {
    let path = format!(
        "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={after}",
        path(kind)
    );
    match client.request_events::<Value>(request(path)?).await {
        Ok(events) => Ok(events),
        Err(kube::Error::Api(status)) if status.code == 410 => Err(Interrupted::Gone(after)),
        Err(error) => Err(Interrupted::Api(Box::new(error))),
    }
}
