//! Groups of commits: stage, log, sync, publish, answer. Synchronous; the thread around it is `committer`.

pub(crate) mod committer;
pub(crate) mod group;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use crate::config::{BATCH_WRITES_MAX, Config};
use crate::disk::Disk;
use crate::entry::Payload;
use crate::error::Failure;
use crate::journal::group::{Group, Request, StagedBatch};
use crate::key::Revision;
use crate::log::checkpoint::{Job, Outcome};
use crate::log::names;
use crate::log::recover::Checkpoints;
use crate::log::writer::Log;
use crate::memory::sequencer::{Sequencer, Staged};
use crate::memory::shared::Shared;
use crate::seal::Sealing;

/// The buffer for a group is kept, a larger one is not.
const FRAMES_KEPT_BYTES: usize = 1 << 20;

/// A checkpoint writes everything, however little has changed. So it waits until the log has grown to this part of the
/// last one: what is written in all stays below three times what the log takes.
const LOG_SHARE: u64 = 2;

/// Why the log stopped, where every handle can read it.
pub(crate) type FailureCell = Arc<Mutex<Option<Arc<Failure>>>>;

/// The single writer.
pub(crate) struct Journal<T> {
    disk: Arc<dyn Disk>,
    sequencer: Sequencer<T>,
    shared: Arc<Shared<T>>,
    log: Log,
    relaxed: BTreeSet<String>,
    checkpoint_after_bytes: u64,
    /// Of the last checkpoint, near enough; 0 before the first.
    checkpoint_bytes: u64,
    checkpoints: Vec<Revision>,
    checkpoint: Checkpointing,
    failure: FailureCell,
    frames: Vec<u8>,
    sealing: Option<Sealing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checkpointing {
    Idle,
    Running,
}

impl<T: Payload> Journal<T> {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        config: &Config,
        sequencer: Sequencer<T>,
        shared: Arc<Shared<T>>,
        log: Log,
        checkpoints: Checkpoints,
    ) -> Self {
        Self {
            disk,
            sequencer,
            shared,
            log,
            relaxed: config.relaxed.clone(),
            checkpoint_after_bytes: config.checkpoint_after_bytes,
            checkpoint_bytes: checkpoints.bytes,
            checkpoints: checkpoints.revisions,
            checkpoint: Checkpointing::Idle,
            failure: FailureCell::default(),
            frames: Vec::new(),
            sealing: config.sealing.clone(),
        }
    }

    pub(crate) fn failure(&self) -> FailureCell {
        self.failure.clone()
    }

    /// Does a group and answers each of its commits, conflicts too: what a conflict shows must be durable like the
    /// rest.
    pub(crate) fn commit(&mut self, requests: Vec<Request<T>>) {
        let group = self.stage(requests);
        let result = match self.failed() {
            Some(failure) => Err(failure),
            None => self.persist(&group).map_err(|failure| self.fail(failure)),
        };
        match result {
            Ok(()) => self.publish(group),
            Err(failure) => group.refuse(&failure),
        }
    }

    fn stage(&mut self, requests: Vec<Request<T>>) -> Group<T> {
        let mut group = Group::default();
        for request in requests {
            let answer = self.sequencer.stage(request.writes).map(|Staged { events, committed }| {
                group.batches.push(StagedBatch { events, bodies: request.bodies });
                committed
            });
            group.answers.push((request.answer, answer));
            group.permits.extend(request.permit);
        }
        group
    }

    fn persist(&mut self, group: &Group<T>) -> Result<(), Failure> {
        let Some(first) = group.events().next() else { return Ok(()) };
        self.log.make_room(group.bytes(), first.revision)?;
        group.encode(&self.log, &mut self.frames);
        self.log.append(&self.frames, self.sequencer.last())?;
        self.frames.clear();
        self.frames.shrink_to(FRAMES_KEPT_BYTES);
        let outstanding = self.log.last().get() - self.log.synced().get();
        if !self.is_relaxed(group) || BATCH_WRITES_MAX as u64 <= outstanding {
            self.log.sync()?;
        }
        Ok(())
    }

    fn is_relaxed(&self, group: &Group<T>) -> bool {
        let mut events = group.events();
        !self.relaxed.is_empty() && events.all(|event| self.relaxed.contains(&*event.entry.key.resource))
    }

    fn publish(&self, group: Group<T>) {
        let events: Vec<_> = group.batches.into_iter().flat_map(|batch| batch.events).collect();
        let touched = self.sequencer.touched(&events);
        self.shared.publish(events, touched, self.sequencer.last());
        group::answer(group.answers);
    }

    /// Whether relaxed writes wait for a sync.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.log.synced() < self.log.last() && self.failed().is_none()
    }

    /// Syncs relaxed writes.
    pub(crate) fn sync(&mut self) {
        if self.is_unsynced()
            && let Err(failure) = self.log.sync()
        {
            self.fail(failure);
        }
    }

    /// Ends the log for good: the next start finds no reserved space to look through.
    pub(crate) fn close(&mut self) {
        if self.failed().is_none()
            && let Err(failure) = self.log.seal()
        {
            self.fail(failure);
        }
    }

    fn failed(&self) -> Option<Arc<Failure>> {
        self.failure.lock().clone()
    }

    /// After a failed sync the kernel may have dropped the pages and a second one would succeed without them: so the
    /// log is never touched again (the fsync lesson of PostgreSQL, 2018).
    fn fail(&self, failure: Failure) -> Arc<Failure> {
        let failure = Arc::new(failure);
        tracing::error!(
            code = "store-read-only",
            %failure,
            source = %failure.source,
            "the store is read-only from now on"
        );
        *self.failure.lock() = Some(failure.clone());
        failure
    }

    /// A checkpoint to be written now, if enough log has gathered and none is under way. Its log begins a segment.
    pub(crate) fn checkpoint_due(&mut self, cancelled: &Arc<AtomicBool>) -> Option<Job<T>> {
        let after_bytes = self.checkpoint_after_bytes.max(self.checkpoint_bytes / LOG_SHARE);
        let due = after_bytes <= self.log.since_checkpoint_bytes();
        if !due || self.checkpoint == Checkpointing::Running || self.failed().is_some() {
            return None;
        }
        let revision = self.sequencer.last();
        if let Err(failure) = self.log.rotate(revision.next()) {
            self.fail(failure);
            return None;
        }
        self.log.begin_checkpoint();
        self.checkpoint = Checkpointing::Running;
        Some(Job {
            disk: self.disk.clone(),
            revision,
            tables: self.sequencer.tables().clone(),
            obsolete: self.obsolete(),
            cancelled: cancelled.clone(),
            sealing: self.sealing.clone(),
        })
    }

    /// What only the checkpoints before the newest one there is need. Checkpoints first: a segment without its
    /// checkpoint is a leftover, a checkpoint without its segments is damage.
    fn obsolete(&self) -> Vec<String> {
        let Some((newest, older)) = self.checkpoints.split_last() else { return Vec::new() };
        let checkpoints = older.iter().map(|revision| names::checkpoint(*revision));
        checkpoints.chain(self.log.covered_by(*newest).map(names::segment)).collect()
    }

    pub(crate) fn checkpoint_ended(&mut self, outcome: Outcome) {
        self.checkpoint = Checkpointing::Idle;
        match outcome {
            Outcome::Written { revision, bytes } => {
                tracing::debug!(%revision, bytes, "checkpoint written");
                self.checkpoint_bytes = bytes;
                if let Some(newest) = self.checkpoints.pop() {
                    self.log.forget_covered_by(newest);
                    self.checkpoints = vec![newest];
                }
                self.checkpoints.push(revision);
            }
            Outcome::NotTidied { revision, failure } => {
                tracing::warn!(%failure, source = %failure.source, "an old file of the log is not removed");
                self.checkpoints.push(revision);
            }
            Outcome::Failed(failure) => {
                tracing::warn!(%failure, source = %failure.source, "no checkpoint; the log goes on growing");
            }
            Outcome::Cancelled => {}
        }
    }
}
