//! One record of the log: one stored version of one object, what changed in it, who changed it.

mod coding;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::change::Change;
use crate::kinds::Kind;
use crate::log::Position;

pub(crate) use coding::{decode, encode};

/// What was done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// It was not there before.
    Create,
    /// It changed.
    Update,
    /// It is there no more.
    Delete,
}

/// How it is known who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Via {
    /// The webhook saw the request that was stored.
    Webhook,
    /// The webhook saw several requests for the same new state from the same old one; one of these users' was stored.
    WebhookSeveral,
    /// No webhook saw it: the watch alone, and the field manager that the object names.
    WatchOnly,
}

/// Who asked for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    pub(crate) user: Arc<str>,
    pub(crate) groups: Vec<Arc<str>>,
}

/// What is left of the object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// All of it.
    Whole(Value),
    /// What differs from the record before.
    Changes(Vec<Change>),
    /// Nothing.
    Gone,
}

/// The name and uid that a number stands for from this record on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Born {
    pub(crate) name: Arc<str>,
    pub(crate) uid: Uuid,
}

/// What is in the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) at: Timestamp,
    pub(crate) revision: u64,
    pub(crate) kind: Kind,
    /// Of the object, in the order of first sight.
    pub(crate) number: u32,
    pub(crate) born: Option<Born>,
    pub(crate) operation: Operation,
    pub(crate) via: Via,
    /// It was not seen when it happened: nobody looked then.
    pub(crate) late: bool,
    pub(crate) actor: Option<Actor>,
    pub(crate) manager: Option<Arc<str>>,
    pub(crate) reason: Option<String>,
    /// The record before of the same object.
    pub(crate) previous: Option<Position>,
    pub(crate) body: Body,
}
