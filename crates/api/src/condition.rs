//! Conditions, as the Kubernetes API conventions shape them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Condition type: whether the owner of the kind takes the object as it stands. `False` names the field and why.
pub const ACCEPTED: &str = "Accepted";

/// State of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be told.
    Unknown,
}

/// One observed fact about an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Name of the fact, in CamelCase.
    pub r#type: String,
    /// Whether it holds.
    pub status: Status,
    /// One CamelCase word for programs.
    pub reason: String,
    /// A sentence for people: what, where (field path), what to do.
    pub message: String,
    /// When the status last changed.
    pub last_transition_time: Timestamp,
    /// The generation of the object that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Puts `condition` among `conditions`; the time of the last transition stays where the status did not change.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition) {
    match conditions.iter_mut().find(|old| old.r#type == condition.r#type) {
        Some(old) => {
            if old.status == condition.status {
                condition.last_transition_time = old.last_transition_time;
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
}

/// The condition of that type.
pub fn find<'a>(conditions: &'a [Condition], r#type: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.r#type == r#type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(status: Status, at: &str) -> Condition {
        Condition {
            r#type: ACCEPTED.into(),
            status,
            reason: "UnknownRole".into(),
            message: "spec.role: no MachineRole \"x\"".into(),
            last_transition_time: at.parse().unwrap(),
            observed_generation: Some(1),
        }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut conditions = Vec::new();
        set(&mut conditions, accepted(Status::False, "2026-11-01T00:00:00Z"));
        set(&mut conditions, accepted(Status::False, "2026-11-01T00:00:09Z"));
        assert_eq!(find(&conditions, ACCEPTED), Some(&accepted(Status::False, "2026-11-01T00:00:00Z")));
        set(&mut conditions, accepted(Status::True, "2026-11-01T00:01:00Z"));
        assert_eq!(conditions, [accepted(Status::True, "2026-11-01T00:01:00Z")]);
    }
}
