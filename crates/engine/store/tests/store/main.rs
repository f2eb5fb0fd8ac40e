//! The store from outside, through its public interface.

mod commit;
mod snapshot;
mod text;
mod watch;
