//! How the server reaches the agent of a node, for what only the node knows.

mod agent;

use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;

pub use agent::AgentDialer;

/// Which part of a container's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// The container.
    pub container: String,
    /// Whether to go on as the container writes.
    pub follow: Follow,
    /// The container before the last restart.
    pub previous: Previous,
    /// A time before each line.
    pub timestamps: Timestamps,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
    /// Only lines of the last seconds.
    pub since_seconds: Option<i64>,
    /// Only lines after this time.
    pub since_time: Option<jiff::Timestamp>,
}

/// Whether a log goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// What is there.
    #[default]
    No,
    /// And what comes.
    Yes,
}

/// Whose log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Previous {
    /// The running container's, or the last one's.
    #[default]
    No,
    /// That of the instance before.
    Yes,
}

/// What stands before each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// Nothing.
    #[default]
    No,
    /// When it was written.
    Yes,
}

/// Why a node does not answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DialError {
    /// The node's agent cannot be reached.
    #[error("the agent of node {node:?} cannot be reached: {reason}")]
    Unreachable {
        /// Which node.
        node: String,
        /// What was tried and what came of it.
        reason: String,
    },
    /// The agent knows no such container.
    #[error("{reason}")]
    NotFound {
        /// In words for the client.
        reason: String,
    },
    /// The request makes no sense for this container (no previous instance, not started yet).
    #[error("{reason}")]
    BadRequest {
        /// In words for the client.
        reason: String,
    },
}

/// Bytes as a node sends them.
pub type ByteStream = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// A way to the agents of nodes.
pub trait NodeDialer: Send + Sync + 'static {
    /// A container's log.
    fn logs(&self, node: &str, options: LogOptions) -> BoxFuture<'static, Result<ByteStream, DialError>>;
}

/// No way to any node: every request is refused with the reason.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNodes;

impl NodeDialer for NoNodes {
    fn logs(&self, node: &str, _options: LogOptions) -> BoxFuture<'static, Result<ByteStream, DialError>> {
        let reason = "this server was started without a way to node agents".to_owned();
        let error = DialError::Unreachable { node: node.to_owned(), reason };
        Box::pin(std::future::ready(Err(error)))
    }
}
