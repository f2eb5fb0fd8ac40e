//! One line per measure: `name min/median/max unit ratio`, the ratio to what stands behind the name. What is compared
//! runs by turns, since the time of a sync varies tenfold on some disks.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use muster_store::{CommitError, Config, DecodeError, Expect, Key, Limits, Payload, Revision, Store, Write};
use tokio::runtime::{Builder, Runtime};

const BODY_BYTES: usize = 5 << 10;
const ROUNDS: usize = 7;
const SINGLES: usize = 200;
const CLIENTS: usize = 64;
const EACH: usize = 40;
const ENTRIES: usize = 10_000;
const WATCHERS: usize = 1_000;
const EVENTS: usize = 100;

#[derive(Clone, Copy)]
enum Turn {
    Bare,
    Ours,
}

#[derive(Clone)]
struct Body(Bytes);

impl Payload for Body {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(_: &Key, bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(Self(bytes))
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

fn put(name: &str) -> Write<Body> {
    let value = Body(Bytes::from(vec![b'x'; BODY_BYTES]));
    Write::Put { key: Key::new("pods", "default", name), value, expect: Expect::Any }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(2).build()?;
    single(&runtime)?;
    grouped(&runtime)?;
    reads(&runtime)?;
    fan_out()?;
    reopen(&runtime)?;
    Ok(())
}

fn workplace() -> io::Result<tempfile::TempDir> {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
}

fn single(runtime: &Runtime) -> Result<(), Box<dyn std::error::Error>> {
    let dir = workplace()?;
    let (store, _) = Store::open(Config::new(dir.path().join("data")))?;
    let mut raw = RawLog::create(&dir.path().join("raw"))?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (mut commits, mut syncs) = (Vec::new(), Vec::new());
        for n in 0..SINGLES * 2 {
            let begin = Instant::now();
            // Whose turn it is changes, since each sync may find work that the one before has left.
            match [Turn::Bare, Turn::Ours, Turn::Ours, Turn::Bare][n % 4] {
                Turn::Bare => {
                    raw.append(1)?;
                    syncs.push(micros(begin.elapsed()));
                }
                Turn::Ours => {
                    runtime.block_on(store.commit(vec![put(&format!("p{n}"))]))?;
                    commits.push(micros(begin.elapsed()));
                }
            }
        }
        ours.push(median(&mut commits));
        bare.push(median(&mut syncs));
    }
    let ratio = median(&mut ours) / median(&mut bare);
    report("bare write and fdatasync of 5 KB", &mut bare, "us", None)?;
    report("durable commit of 5 KB, 1 client", &mut ours, "us", Some((ratio, "of one fdatasync")))
}

fn grouped(runtime: &Runtime) -> Result<(), Box<dyn std::error::Error>> {
    let dir = workplace()?;
    let (store, _) = Store::open(Config::new(dir.path().join("data")))?;
    let mut raw = RawLog::create(&dir.path().join("raw"))?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS * 2 {
        let begin = Instant::now();
        match [Turn::Bare, Turn::Ours, Turn::Ours, Turn::Bare][round % 4] {
            Turn::Bare => {
                for _ in 0..EACH {
                    raw.append(CLIENTS)?;
                }
                bare.push(rate(begin.elapsed()));
            }
            Turn::Ours => {
                let clients = (0..CLIENTS).map(|client| create_some(&store, round, client));
                for done in runtime.block_on(join_all(clients)) {
                    done?;
                }
                ours.push(rate(begin.elapsed()));
            }
        }
    }
    let ratio = median(&mut ours) / median(&mut bare);
    report("bare groups of 64 x 5 KB", &mut bare, "writes/s", None)?;
    report("durable commits of 5 KB, 64 clients", &mut ours, "writes/s", Some((ratio, "of bare groups")))
}

async fn create_some(store: &Store<Body>, round: usize, client: usize) -> Result<(), CommitError<Body>> {
    for n in 0..EACH {
        store.commit(vec![put(&format!("p{round}-{client}-{n}"))]).await?;
    }
    Ok(())
}

fn reads(runtime: &Runtime) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::in_memory(Limits::default());
    for n in 0..ENTRIES {
        runtime.block_on(store.commit(vec![put(&format!("p{n}"))]))?;
    }
    let (mut taken, mut walked) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS * 10 {
        let begin = Instant::now();
        let snapshot = store.snapshot("pods");
        taken.push(micros(begin.elapsed()));
        let begin = Instant::now();
        let bodies: Vec<Bytes> = snapshot.iter().map(|entry| entry.value.0.clone()).collect();
        walked.push(micros(begin.elapsed()));
        assert_eq!(bodies.len(), ENTRIES);
    }
    report("snapshot of 10,000 entries", &mut taken, "us", None)?;
    report("list of 10,000 entries", &mut walked, "us", None)
}

fn fan_out() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Builder::new_current_thread().build()?;
    let store = Store::in_memory(Limits::default());
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let after = store.revision();
        let readers = (0..WATCHERS).map(|_| follow(&store, after));
        let write = async {
            for n in 0..EVENTS {
                store.commit(vec![put(&format!("p{n}"))]).await?;
                tokio::task::yield_now().await;
            }
            Ok::<_, CommitError<Body>>(())
        };
        let begin = Instant::now();
        let (written, read) = runtime.block_on(futures::future::join(write, join_all(readers)));
        times.push(micros(begin.elapsed()) * 1000.0 / (WATCHERS * EVENTS) as f64);
        written?;
        assert_eq!(read.len(), WATCHERS);
    }
    report("event to one of 1,000 watchers", &mut times, "ns", None)
}

async fn follow(store: &Store<Body>, after: Revision) -> usize {
    let mut watch = store.watch("pods", after).expect("it is the present");
    let mut bytes = 0;
    for _ in 0..EVENTS {
        bytes += watch.next().await.expect("the ring is large enough").entry.value.0.len();
    }
    bytes
}

fn reopen(runtime: &Runtime) -> Result<(), Box<dyn std::error::Error>> {
    let dir = workplace()?;
    let (store, _) = Store::open(Config::new(dir.path()))?;
    for n in 0..ENTRIES / 100 {
        let batch = (0..100).map(|m| put(&format!("p{n}-{m}"))).collect();
        runtime.block_on(store.commit(batch))?;
    }
    runtime.block_on(store.close());
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let (store, recovery) = Store::<Body>::open(Config::new(dir.path()))?;
        times.push(micros(begin.elapsed()) / 1000.0);
        assert_eq!(recovery.entries, ENTRIES);
        runtime.block_on(store.close());
    }
    report("open with 10,000 entries of 5 KB in the log", &mut times, "ms", None)
}

/// The least that a log can do: write a group in place and sync it.
struct RawLog {
    file: File,
    offset: u64,
    body: Arc<[u8]>,
}

impl RawLog {
    fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, 256 << 20)?;
        file.sync_all()?;
        Ok(Self { file, offset: 0, body: vec![b'x'; BODY_BYTES * CLIENTS].into() })
    }

    fn append(&mut self, writes: usize) -> io::Result<()> {
        let group = &self.body[..writes * BODY_BYTES];
        self.file.write_all_at(group, self.offset)?;
        self.offset += group.len() as u64;
        self.file.sync_data()
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn rate(time: Duration) -> f64 {
    (CLIENTS * EACH) as f64 / time.as_secs_f64()
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn report(
    name: &str,
    samples: &mut [f64],
    unit: &str,
    ratio: Option<(f64, &str)>,
) -> Result<(), Box<dyn std::error::Error>> {
    let median = median(samples);
    let (min, max) = (samples[0], samples[samples.len() - 1]);
    let ratio = ratio.map(|(ratio, to)| format!(" {ratio:.2} {to}")).unwrap_or_default();
    writeln!(io::stdout(), "{name}: {min:.1}/{median:.1}/{max:.1} {unit}{ratio}")?;
    Ok(())
}
