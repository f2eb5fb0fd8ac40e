//! The program is killed at random moments under a write load, and nothing it acknowledged is lost.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use muster_store::{Config, Key, Store};
use rand::RngExt;

use crate::text::{Text, pod, put};

const KILLS: usize = 50;
const MARKER: &str = "killed-writer";

fn config(dir: &Path) -> Config {
    Config { segment_bytes: 256 << 10, checkpoint_after_bytes: 512 << 10, ..Config::new(dir.join("data")) }
}

/// Not a test by itself: the process that is killed. It works where it is started, if the marker is there.
#[tokio::test]
#[ignore = "started by the test below"]
async fn writer() {
    let here = std::env::current_dir().unwrap();
    if !here.join(MARKER).exists() {
        return;
    }
    let (store, _) = Store::<Text>::open(config(&here)).unwrap();
    let mut out = std::io::stdout().lock();
    let mut load = FuturesUnordered::new();
    for n in 0_u64.. {
        let text = format!("{}-{n}{}", store.revision(), "x".repeat(2000));
        let (name, pair) = (pod(&format!("p{}", n % 300)), Key::new("pairs", "", format!("p{}", n % 300)));
        let store = store.clone();
        load.push(async move {
            let done = store.commit(vec![put(name, &text), put(pair, &text)]).await.unwrap();
            (n, done)
        });
        if load.len() < 16 {
            continue;
        }
        let (n, done) = load.next().await.unwrap();
        let entry = &done.entries[0];
        writeln!(out, "acknowledged {} {} p{}", entry.revision, done.revision, n % 300).unwrap();
        out.flush().unwrap();
    }
}

fn start(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--ignored", "--exact", "killed::writer", "--nocapture"]).current_dir(dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// Name to revision of the last acknowledged write, read until the process is gone.
fn kill_after(mut child: Child, time: Duration) -> BTreeMap<String, u64> {
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut acknowledged = BTreeMap::new();
    let mut begin = None;
    let mut killed = false;
    while let Some(Ok(line)) = lines.next() {
        let Some(rest) = line.strip_prefix("acknowledged ") else { continue };
        let fields: Vec<_> = rest.split(' ').collect();
        if let [first, _, name] = fields[..] {
            acknowledged.insert(name.to_owned(), first.parse().expect("a revision"));
        }
        let begin = *begin.get_or_insert_with(Instant::now);
        if !killed && time < begin.elapsed() {
            child.kill().expect("it runs");
            killed = true;
        }
    }
    child.wait().expect("it ended");
    assert!(killed, "the writer ended by itself");
    acknowledged
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_at_50_random_moments() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(MARKER), "").unwrap();
    let mut rng = rand::rng();
    let mut total = 0;
    let mut last = 0;
    for kill in 0..KILLS {
        let time = Duration::from_micros(rng.random_range(0..120_000));
        let acknowledged = kill_after(start(dir.path()), time);
        let (store, recovery) = Store::<Text>::open(config(dir.path())).unwrap();
        for (name, revision) in &acknowledged {
            assert!(last < *revision, "kill {kill}: revision {revision} was given before");
            let pod = store.get(&pod(name)).unwrap_or_else(|| panic!("kill {kill}: {name} is lost"));
            assert!(*revision <= pod.revision.get(), "kill {kill}: {name} went back to {}", pod.revision);
            let pair = store.get(&Key::new("pairs", "", name.as_str())).expect("both or none");
            assert_eq!(pair.value, pod.value, "kill {kill}: half of a batch");
            assert_eq!(pair.revision.get(), pod.revision.get() + 1);
        }
        total += acknowledged.len();
        last = recovery.revision.get();
    }
    assert!(KILLS <= total, "hardly anything was written");
}
