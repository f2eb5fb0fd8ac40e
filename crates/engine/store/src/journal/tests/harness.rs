//! A journal without its thread, driven step by step.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::config::Config;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::entry::{DecodeError, Expect, Payload, Write};
use crate::error::{OpenError, Recovery};
use crate::journal::Journal;
use crate::journal::group::{Answer, Request};
use crate::key::{Key, Revision};
use crate::log::checkpoint::Job;
use crate::log::recover::{Recovered, recover};
use crate::memory::shared::Shared;
use crate::seal;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl Payload for Text {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }

    fn decode(_: &Key, bytes: Bytes) -> Result<Self, DecodeError> {
        let text = String::from_utf8(bytes.to_vec());
        text.map(Text).map_err(|error| DecodeError { reason: error.to_string() })
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

pub(crate) struct Run {
    pub(crate) journal: Journal<Text>,
    pub(crate) shared: Arc<Shared<Text>>,
    pub(crate) recovery: Recovery,
    pub(crate) job: Option<Job<Text>>,
}

pub(crate) fn config() -> Config {
    Config { segment_bytes: 1500, checkpoint_after_bytes: 2500, ring_bytes: 8 << 10, ..Config::new("unused") }
}

pub(crate) fn open(disk: &SimDisk, config: &Config) -> Result<Run, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let Recovered { sequencer, shared, log, checkpoints, recovery } = recover(disk.clone(), config)?;
    let shared = Arc::new(shared);
    let journal = Journal::new(disk, config, sequencer, shared.clone(), log, checkpoints);
    Ok(Run { journal, shared, recovery, job: None })
}

impl Run {
    pub(crate) fn group(&mut self, batches: Vec<Vec<Write<Text>>>) -> Vec<Answer<Text>> {
        let (requests, mut answers): (Vec<_>, Vec<_>) = batches.into_iter().map(request).unzip();
        self.journal.commit(requests);
        answers.iter_mut().map(|answer| answer.try_recv().expect("a group answers everybody")).collect()
    }

    pub(crate) fn one(&mut self, writes: Vec<Write<Text>>) -> Answer<Text> {
        self.group(vec![writes]).pop().expect("one answer")
    }

    /// Begins a checkpoint if one is due.
    pub(crate) fn begin_checkpoint(&mut self) {
        if self.job.is_none() {
            self.job = self.journal.checkpoint_due(&Arc::new(AtomicBool::new(false)));
        }
    }

    pub(crate) fn finish_checkpoint(&mut self) {
        if let Some(job) = self.job.take() {
            let outcome = job.run();
            self.journal.checkpoint_ended(outcome);
        }
    }

    /// `resource/name=text` of all that is visible.
    pub(crate) fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for resource in self.shared.resources() {
            let snapshot = self.shared.snapshot(&resource);
            rows.extend(snapshot.iter().map(|entry| format!("{}={}", entry.key, entry.value.0)));
        }
        rows
    }
}

fn request(writes: Vec<Write<Text>>) -> (Request<Text>, oneshot::Receiver<Answer<Text>>) {
    let bodies = writes.iter().filter_map(|write| match write {
        Write::Put { key, value, .. } => Some(seal::encode(None, key, value)),
        Write::Delete { .. } => None,
    });
    let bodies = bodies.collect();
    let (answer, answered) = oneshot::channel();
    (Request { writes, bodies, answer, permit: None }, answered)
}

pub(crate) fn put(name: &str, text: &str) -> Write<Text> {
    Write::Put { key: Key::new("pods", "", name), value: Text(text.to_owned()), expect: Expect::Any }
}

pub(crate) fn rev(number: u64) -> Revision {
    Revision::new(number)
}
