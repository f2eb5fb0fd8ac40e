//! Texts that recur in most objects (stamps, label keys and values, paths) are kept once.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

/// Beyond this many texts the table starts over: sharing is a saving, not a promise.
const TEXTS_MAX: usize = 1 << 16;

static TEXTS: LazyLock<Mutex<HashSet<Arc<str>>>> = LazyLock::new(|| Mutex::new(HashSet::new()));

pub(super) fn text(text: &str) -> Arc<str> {
    let mut texts = TEXTS.lock();
    if let Some(found) = texts.get(text) {
        return Arc::clone(found);
    }
    if texts.len() >= TEXTS_MAX {
        texts.clear();
    }
    let new: Arc<str> = text.into();
    texts.insert(Arc::clone(&new));
    new
}
