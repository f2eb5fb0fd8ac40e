//! Reads the kernel log from the agent's socket, and goes on where it stopped.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use muster_base::clock::SharedClock;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::SOURCE;
use super::scan::Scanner;
use crate::kernel::Roots;
use crate::rule::{Look, Rest};
use crate::state::StateFile;

/// How often it is said that nothing bad was told.
const BEAT: Duration = Duration::from_secs(2);
/// Rest before the agent is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// Lines that are looked at before something is said of them.
const BATCH_MAX: usize = 256;
const BUFFER_BYTES: usize = 16 * 1024;

/// Where it stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    #[serde(rename = "bootID")]
    boot_id: String,
    sequence: u64,
}

/// The reader of the kernel log.
pub(crate) struct Stream {
    pub(crate) socket: PathBuf,
    pub(crate) scanner: Scanner,
    pub(crate) roots: Roots,
    pub(crate) clock: SharedClock,
    pub(crate) state: StateFile,
    pub(crate) to: Sender<Look>,
}

impl Stream {
    /// Reads until shutdown.
    pub(crate) async fn run(mut self, token: CancellationToken) {
        while !token.is_cancelled() {
            let read = async {
                if let Err(error) = self.read().await {
                    tracing::debug!(%error, "the kernel log cannot be read");
                }
                self.say(Rest::Unseen).await;
            };
            token.run_until_cancelled(read).await;
            self.note(&mut None);
            token.run_until_cancelled(tokio::time::sleep(RETRY)).await;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        let stream = UnixStream::connect(&self.socket).await?;
        let mut lines = BufReader::with_capacity(BUFFER_BYTES, stream);
        let boot_id = self.roots.boot_id();
        let place: Option<Place> = self.state.read();
        let last = place.filter(|place| place.boot_id == boot_id).map(|place| place.sequence);
        self.scanner.begin(last, self.roots.uptime());
        let mut noted = self.scanner.last();
        let mut beat = tokio::time::interval(BEAT);
        let mut line = Vec::new();
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    self.note(&mut noted);
                    self.say(Rest::Good).await;
                }
                read = lines.read_until(b'\n', &mut line) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.take(&line);
                    line.clear();
                    self.rest_of(&mut lines);
                    self.say(Rest::Untouched).await;
                }
            }
        }
    }

    /// The lines that are here already.
    fn rest_of(&mut self, lines: &mut BufReader<UnixStream>) {
        use tokio::io::AsyncBufRead as _;
        let mut taken = 0;
        for _ in 0..BATCH_MAX {
            let buffer = &lines.buffer()[taken..];
            let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else { break };
            let line = buffer[..end].to_vec();
            self.take(&line);
            taken += end + 1;
        }
        std::pin::Pin::new(lines).consume(taken);
    }

    fn take(&mut self, line: &[u8]) {
        self.scanner.line(String::from_utf8_lossy(line).trim_end_matches('\n'), self.clock.now());
    }

    async fn say(&mut self, rest: Rest) {
        let found = self.scanner.found();
        if found.is_empty() && rest == Rest::Untouched {
            return;
        }
        if self.to.send(Look { source: SOURCE, found, rest }).await.is_err() {
            tracing::debug!("the doctor ends");
        }
    }

    /// Notes the place for the next life.
    fn note(&self, noted: &mut Option<u64>) {
        let last = self.scanner.last();
        if let Some(sequence) = last.filter(|_| last != *noted) {
            self.state.write(&Place { boot_id: self.roots.boot_id(), sequence });
            *noted = last;
        }
    }
}
