//! A payload for tests, and shorthands.

use std::time::Duration;

use bytes::Bytes;
use muster_store::{
    Change, Committed, DecodeError, Event, Expect, Key, Limits, Payload, Revision, Store, Watch, Write,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl Payload for Text {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }

    fn decode(_: &Key, bytes: Bytes) -> Result<Self, DecodeError> {
        let text = String::from_utf8(bytes.to_vec());
        text.map(Text).map_err(|error| DecodeError { reason: error.to_string() })
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

pub(crate) fn memory() -> Store<Text> {
    Store::in_memory(Limits::default())
}

pub(crate) fn pod(name: &str) -> Key {
    Key::new("pods", "default", name)
}

pub(crate) fn put(key: Key, text: &str) -> Write<Text> {
    put_if(key, text, Expect::Any)
}

pub(crate) fn put_if(key: Key, text: &str, expect: Expect) -> Write<Text> {
    Write::Put { key, value: Text(text.to_owned()), expect }
}

pub(crate) fn delete(key: Key) -> Write<Text> {
    Write::Delete { key, expect: Expect::Exists }
}

pub(crate) fn rev(number: u64) -> Revision {
    Revision::new(number)
}

/// `name=text@revision/created` of each entry.
pub(crate) fn rows(committed: &Committed<Text>) -> Vec<String> {
    committed.entries.iter().map(|entry| row(entry)).collect()
}

pub(crate) fn row(entry: &muster_store::Entry<Text>) -> String {
    format!("{}={}@{}/{}", entry.key, entry.value.0, entry.revision, entry.created)
}

/// `+`, `~` or `-` for the change, the entry, the text before.
pub(crate) fn event(event: &Event<Text>) -> String {
    let sign = match event.change {
        Change::Created => '+',
        Change::Updated => '~',
        Change::Deleted => '-',
    };
    let before = event.previous.as_ref().map(|entry| format!(" was {}", entry.value.0)).unwrap_or_default();
    assert_eq!(event.revision, event.entry.revision);
    format!("{sign}{}{before}", row(&event.entry))
}

/// All events that are there already.
pub(crate) fn drain(watch: &mut Watch<Text>) -> Vec<String> {
    std::iter::from_fn(|| watch.try_next().expect("not lapped")).map(|one| event(&one)).collect()
}

pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(10), future).await {
        Ok(output) => output,
        Err(_) => panic!("waited 10 s for {what}"),
    }
}
