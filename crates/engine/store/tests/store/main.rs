//! The store from outside, through its public interface.

mod commit;
mod durable;
mod killed;
mod sealed;
mod snapshot;
mod text;
mod watch;
