//! What keeps every actor away from a machine: pauses and `handsOff`, judged in one place.
//!
//! [`holds`] decides over what is given to it. [`Brake`] asks the API at the moment of asking, for actors that are about
//! to do something: no watch lies between the red button and them. Nothing here acts on a machine or grants anything.

mod ask;
mod hold;

pub use ask::{ASKED_WITHIN, AskError, Brake};
pub use hold::{Act, Hold, Holds, holds};
