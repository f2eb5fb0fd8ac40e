//! The thread of the journal: what arrives during one sync is the next group.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::config::{BATCH_BYTES_MAX, Config, QUEUE_BYTES_MAX, Sync};
use crate::disk::lock::DirectoryLock;
use crate::entry::{Payload, Write};
use crate::error::{CommitError, Failure};
use crate::journal::group::{Answer, Request, Size};
use crate::journal::{FailureCell, Journal};
use crate::log::checkpoint::{Job, Outcome};
use crate::seal::{self, Body, Sealing};

/// Relaxed writes are synced at most this long after they were acknowledged.
const RELAXED_SYNC_AFTER: Duration = Duration::from_millis(100);
/// What a commit takes in the queue besides its values.
const WRITE_OVERHEAD_BYTES: usize = 256;

enum Message<T> {
    Commit(Request<T>),
    CheckpointEnded(Outcome),
    Close(oneshot::Sender<()>),
}

/// The handle to the journal's thread. Dropping it finishes what is queued and waits for the thread.
pub(crate) struct Committer<T> {
    outbox: Sender<Message<T>>,
    queue: Arc<Semaphore>,
    failure: FailureCell,
    sealing: Option<Sealing>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<T: Payload> Committer<T> {
    pub(crate) fn start(journal: Journal<T>, config: &Config, lock: DirectoryLock) -> io::Result<Self> {
        let (outbox, inbox) = mpsc::channel();
        let failure = journal.failure();
        let service = Service {
            journal,
            inbox,
            outbox: outbox.clone(),
            sync: config.sync,
            checkpoint: None,
            cancelled: Arc::default(),
            unsynced_since: None,
        };
        let thread = thread::Builder::new().name("store-log".to_owned()).spawn(move || service.run(lock))?;
        let queue = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        let sealing = config.sealing.clone();
        Ok(Self { outbox, queue, failure, sealing, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) async fn commit(&self, writes: Vec<Write<T>>) -> Answer<T> {
        if let Some(failure) = self.failure() {
            return Err(CommitError::Failed(failure));
        }
        let bodies = encode(&writes, self.sealing.as_ref());
        let bytes: usize = bodies.iter().map(Body::len).sum();
        if BATCH_BYTES_MAX < bytes {
            return Err(CommitError::BatchTooLarge { bytes, max: BATCH_BYTES_MAX });
        }
        let share = (bytes + writes.len() * WRITE_OVERHEAD_BYTES).min(QUEUE_BYTES_MAX);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let permit = self.queue.clone().acquire_many_owned(share).await.map_err(|_| CommitError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let request = Request { writes, bodies, answer, permit: Some(permit) };
        self.outbox.send(Message::Commit(request)).map_err(|_| CommitError::Closed)?;
        answered.await.unwrap_or(Err(CommitError::Closed))
    }

    pub(crate) fn failure(&self) -> Option<Arc<Failure>> {
        self.failure.lock().clone()
    }

    /// Resolves when all that was queued before is answered and the data directory is unlocked.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.outbox.send(Message::Close(done)).is_ok() && closed.await.is_err() {
            tracing::debug!("the log thread had ended already");
        }
    }
}

impl<T> Drop for Committer<T> {
    fn drop(&mut self) {
        let (done, _) = oneshot::channel();
        if self.outbox.send(Message::Close(done)).is_err() {
            tracing::trace!("the store was closed before its last handle was dropped");
        }
        if let Some(thread) = self.thread.get_mut().take()
            && thread.join().is_err()
        {
            tracing::error!("the log thread panicked");
        }
    }
}

fn encode<T: Payload>(writes: &[Write<T>], sealing: Option<&Sealing>) -> Vec<Body> {
    let mut bodies = Vec::with_capacity(writes.len());
    for write in writes {
        match write {
            Write::Put { key, value, .. } => bodies.push(seal::encode(sealing, key, value)),
            Write::Delete { .. } => {}
        }
    }
    bodies
}

struct Service<T> {
    journal: Journal<T>,
    inbox: Receiver<Message<T>>,
    outbox: Sender<Message<T>>,
    sync: Sync,
    checkpoint: Option<JoinHandle<()>>,
    cancelled: Arc<AtomicBool>,
    unsynced_since: Option<Instant>,
}

impl<T: Payload> Service<T> {
    fn run(mut self, lock: DirectoryLock) {
        loop {
            match self.wait() {
                Err(RecvTimeoutError::Timeout) => self.sync_relaxed(),
                Err(RecvTimeoutError::Disconnected) => return self.end(),
                Ok(message) => {
                    if let Some(done) = self.handle(message) {
                        self.end();
                        drop(lock);
                        if done.send(()).is_err() {
                            tracing::trace!("nobody waits for the store to be closed");
                        }
                        return;
                    }
                }
            }
            self.start_checkpoint();
        }
    }

    fn wait(&self) -> Result<Message<T>, RecvTimeoutError> {
        match self.unsynced_since {
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(since) => self.inbox.recv_timeout(RELAXED_SYNC_AFTER.saturating_sub(since.elapsed())),
        }
    }

    /// Some if the store is to be closed.
    fn handle(&mut self, message: Message<T>) -> Option<oneshot::Sender<()>> {
        match message {
            Message::Commit(first) => {
                let (group, next) = self.gather(first);
                self.journal.commit(group);
                self.note_unsynced();
                next.and_then(|message| self.handle(message))
            }
            Message::CheckpointEnded(outcome) => {
                self.journal.checkpoint_ended(outcome);
                self.join_checkpoint();
                None
            }
            Message::Close(done) => Some(done),
        }
    }

    /// The commits that are there already, or come within the time to linger; and what else came in between.
    fn gather(&self, first: Request<T>) -> (Vec<Request<T>>, Option<Message<T>>) {
        let until = match self.sync {
            Sync::AtOnce => None,
            Sync::Linger(time) => Some(Instant::now() + time),
        };
        let mut size = Size::default();
        size.add(&first);
        let mut group = vec![first];
        while !size.is_full() {
            let message = self.poll(until);
            match message {
                Some(Message::Commit(request)) => {
                    size.add(&request);
                    group.push(request);
                }
                Some(other @ (Message::CheckpointEnded(_) | Message::Close(_))) => {
                    return (group, Some(other));
                }
                None => break,
            }
        }
        (group, None)
    }

    /// What is there now, or comes before that time. That nothing came is no error.
    fn poll(&self, until: Option<Instant>) -> Option<Message<T>> {
        let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() { self.inbox.try_recv().ok() } else { self.inbox.recv_timeout(left).ok() }
    }

    fn note_unsynced(&mut self) {
        if !self.journal.is_unsynced() {
            self.unsynced_since = None;
        } else if self.unsynced_since.is_none() {
            self.unsynced_since = Some(Instant::now());
        }
    }

    fn sync_relaxed(&mut self) {
        self.journal.sync();
        self.note_unsynced();
    }

    fn start_checkpoint(&mut self) {
        let Some(job) = self.journal.checkpoint_due(&self.cancelled) else { return };
        self.note_unsynced();
        let outbox = self.outbox.clone();
        let write = move || {
            if outbox.send(Message::CheckpointEnded(Job::run(job))).is_err() {
                tracing::debug!("the store was closed during a checkpoint");
            }
        };
        match thread::Builder::new().name("store-checkpoint".to_owned()).spawn(write) {
            Ok(thread) => self.checkpoint = Some(thread),
            Err(error) => {
                let failure = Failure::new("checkpoint", "start the thread", error);
                self.journal.checkpoint_ended(Outcome::Failed(failure));
            }
        }
    }

    fn end(&mut self) {
        self.journal.close();
        self.cancelled.store(true, Ordering::Relaxed);
        self.join_checkpoint();
    }

    fn join_checkpoint(&mut self) {
        if let Some(thread) = self.checkpoint.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}
