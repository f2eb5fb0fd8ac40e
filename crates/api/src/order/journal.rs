//! The journal of a machine's acts: what was sent, written down before it was sent.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Verb;

/// Acts an order keeps; one that would need more ends instead.
pub const ACTS_MAX: usize = 16;

/// One act towards a management controller. It is in the store before it is sent, so that after a crash an act without
/// an answer may have been sent, and one that is not there was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    /// What was sent: a power cycle is a `PowerOff` and a `PowerOn`, every other verb is itself.
    pub act: Verb,
    /// When it was written down, just before it was sent.
    pub sent_at: Timestamp,
    /// What the controller answered; absent: not known, the actor may have died in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The power state that was seen to follow.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub observed: String,
    /// When it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
}

/// What a management controller answered to an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Answer {
    /// It took the act; whether it took effect is observed.
    Acknowledged,
    /// It refused the act: nothing happened.
    Refused,
    /// The act never left: no connection, no session.
    NotSent,
    /// None in time: the act may or may not happen.
    Silence,
}
