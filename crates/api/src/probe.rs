//! What a machine's agent tells the machine's doctor over its read-only socket: one JSON document per connection.
//!
//! The socket takes no input, so whoever may read it can still do nothing.

use serde::{Deserialize, Serialize};

/// The state of the machine's own services at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Readings {
    /// The kernel's identity of this boot.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// The container runtime; absent where the machine carries none, or none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeReading>,
}

/// One question to the container runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimeReading {
    /// Whether it answered.
    pub state: RuntimeState,
    /// What was seen, for people.
    pub detail: String,
    /// How long the question took, in milliseconds.
    pub took_ms: u64,
}

/// Whether a runtime answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RuntimeState {
    /// It answered.
    Answers,
    /// It took the connection and did not answer in time.
    Hung,
    /// It took no connection.
    Gone,
}
