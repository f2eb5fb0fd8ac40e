//! Kinds that are served in more forms than the one they are stored in.

mod autoscaling;
pub(crate) mod events;

use serde_json::Value;

use crate::server::Served;

/// Whether a kind is served in another form than it is stored in.
pub(crate) fn is_needed(served: &Served) -> bool {
    events::is_new(served) || autoscaling::is_old(served)
}

/// From the stored form to the one served.
pub(crate) fn to_served(served: &Served, document: Value) -> Value {
    if events::is_new(served) {
        events::to_new(document)
    } else if autoscaling::is_old(served) {
        autoscaling::to_old(document)
    } else {
        document
    }
}

/// From the form served to the stored one.
pub(crate) fn to_stored(served: &Served, document: Value) -> Value {
    if events::is_new(served) {
        events::to_stored(document)
    } else if autoscaling::is_old(served) {
        autoscaling::to_stored(document)
    } else {
        document
    }
}
