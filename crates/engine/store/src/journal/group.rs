//! Commits that are made durable together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::config::{BATCH_BYTES_MAX, BATCH_WRITES_MAX};
use crate::entry::{Change, Committed, Event, Write};
use crate::error::{CommitError, Failure};
use crate::log::frame::{Batch, Frame, Op, frame_bytes};
use crate::log::writer::Log;
use crate::seal::Body;

pub(crate) type Answer<T> = Result<Committed<T>, CommitError<T>>;

/// One commit under way.
pub(crate) struct Request<T> {
    pub(crate) writes: Vec<Write<T>>,
    /// The encoded values of the puts, in order: encoding is the committer's own work, not the log thread's.
    pub(crate) bodies: Vec<Body>,
    pub(crate) answer: oneshot::Sender<Answer<T>>,
    /// Its share of the queue; none in tests that have no queue.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// How large a group may become before it is closed; one batch more may be in it.
#[derive(Debug, Default)]
pub(crate) struct Size {
    writes: usize,
    bytes: usize,
}

impl Size {
    pub(crate) fn add<T>(&mut self, request: &Request<T>) {
        self.writes += request.writes.len();
        self.bytes += request.bodies.iter().map(Body::len).sum::<usize>();
    }

    pub(crate) fn is_full(&self) -> bool {
        BATCH_WRITES_MAX <= self.writes || BATCH_BYTES_MAX <= self.bytes
    }
}

/// A batch whose preconditions held, with the encoded values of its puts.
pub(crate) struct StagedBatch<T> {
    pub(crate) events: Vec<Event<T>>,
    pub(crate) bodies: Vec<Body>,
}

/// Staged batches, and the answers that wait until they are durable.
pub(crate) struct Group<T> {
    pub(crate) batches: Vec<StagedBatch<T>>,
    pub(crate) answers: Vec<(oneshot::Sender<Answer<T>>, Answer<T>)>,
    pub(crate) permits: Vec<OwnedSemaphorePermit>,
}

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self { batches: Vec::new(), answers: Vec::new(), permits: Vec::new() }
    }
}

impl<T> Group<T> {
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event<T>> {
        self.batches.iter().flat_map(|batch| &batch.events)
    }

    /// Bytes in the log, at most.
    pub(crate) fn bytes(&self) -> u64 {
        self.batches.iter().map(StagedBatch::bytes).sum()
    }

    pub(crate) fn encode(&self, log: &Log, out: &mut Vec<u8>) {
        for batch in &self.batches {
            batch.encode(log, out);
        }
    }

    pub(crate) fn refuse(self, failure: &Arc<Failure>) {
        answer(self.answers.into_iter().map(|(to, _)| (to, Err(CommitError::Failed(failure.clone())))));
    }
}

impl<T> StagedBatch<T> {
    fn bytes(&self) -> u64 {
        let padded = |bytes: usize| (bytes + 8) as u64;
        let keys: u64 = self.events.iter().map(|event| padded(frame_bytes(&event.entry.key, 0))).sum();
        keys + self.bodies.iter().map(|body| body.len() as u64).sum::<u64>()
    }

    fn encode(&self, log: &Log, out: &mut Vec<u8>) {
        let mut bodies = self.bodies.iter();
        for (index, event) in self.events.iter().enumerate() {
            let op = match event.change {
                Change::Deleted => Op::Delete,
                Change::Created | Change::Updated => {
                    let body = bodies.next().expect("every put has its encoded value");
                    Op::Put { body: &body.bytes, form: body.form }
                }
            };
            let key = &event.entry.key;
            let frame = Frame {
                revision: event.revision,
                base: log.synced(),
                op,
                batch: if index + 1 == self.events.len() { Batch::Ends } else { Batch::Continues },
                resource: &key.resource,
                namespace: &key.namespace,
                name: &key.name,
            };
            frame.encode(log.seed(), out);
        }
    }
}

/// Tells each caller, if it still waits.
pub(crate) fn answer<T>(answers: impl IntoIterator<Item = (oneshot::Sender<Answer<T>>, Answer<T>)>) {
    for (to, answer) in answers {
        if to.send(answer).is_err() {
            tracing::trace!("a commit's caller has gone");
        }
    }
}
