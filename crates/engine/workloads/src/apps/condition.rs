//! Conditions: set without moving the time of what did not change.

use jiff::Timestamp;

use crate::view::Condition;

/// Sets a condition. Nothing changes if status and reason stand already; the transition time only moves with the status.
pub fn set(conditions: &mut Vec<Condition>, mut new: Condition) {
    let before = conditions.iter().find(|condition| condition.r#type == new.r#type);
    if let Some(before) = before {
        if before.status == new.status && before.reason == new.reason {
            return;
        }
        if before.status == new.status {
            new.last_transition_time = before.last_transition_time;
        }
    }
    remove(conditions, &new.r#type.clone());
    conditions.push(new);
}

pub fn remove(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|condition| condition.r#type != kind);
}

pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.r#type == kind)
}

/// A condition that came true, or false, now.
pub fn new(kind: &str, status: &str, reason: &str, message: String, now: Timestamp) -> Condition {
    Condition {
        r#type: kind.into(),
        status: status.into(),
        last_heartbeat_time: None,
        last_update_time: Some(now),
        last_transition_time: Some(now),
        reason: Some(reason.into()),
        message: Some(message),
    }
}
