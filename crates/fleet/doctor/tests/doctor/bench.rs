//! A doctor over the API in memory, and what its tests wait for.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use muster_api::probe::Readings;
use muster_base::clock::{SharedClock, SystemClock};
use muster_base::task::{Kind, Tasks};
use muster_doctor::{Config, Doctor, Local, ReadingsError, Source, Trust};
use parking_lot::Mutex;

use crate::fleet::Fleet;

/// What the agent answers.
#[derive(Clone, Default)]
pub(crate) struct Agent(pub(crate) Arc<Mutex<Readings>>, Arc<AtomicBool>);

impl Agent {
    /// From now on it takes no connection, or again each.
    pub(crate) fn set_dead(&self, dead: bool) {
        self.1.store(dead, Ordering::SeqCst);
    }
}

impl Source for Agent {
    fn readings(&self) -> BoxFuture<'_, Result<Readings, ReadingsError>> {
        let readings = Readings { boot_id: "boot".into(), ..self.0.lock().clone() };
        let refused = || ReadingsError::Connect {
            path: "probe.sock".into(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        };
        let answer = if self.1.load(Ordering::SeqCst) { Err(refused()) } else { Ok(readings) };
        Box::pin(async move { answer })
    }
}

/// A directory of its own, with a machine's `/proc` and `/sys` where a test wants its own.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) fleet: Fleet,
    pub(crate) agent: Agent,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), fleet: Fleet::default(), agent: Agent::default() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Nothing but what a test adds: roots in the directory, everything believed.
    pub(crate) fn blind(&self) -> Local {
        let roots = muster_doctor::Roots { proc: self.path("proc"), sys: self.path("sys") };
        Local { trust: Trust { forged: true, virtual_devices: true }, roots, ..Local::default() }
    }

    /// The real machine's files.
    pub(crate) fn real(&self) -> Local {
        Local { trust: Trust { forged: true, virtual_devices: true }, ..Local::default() }
    }

    /// Starts a doctor; it ends with what is given back.
    pub(crate) async fn doctor(&self, local: Local) -> Tasks {
        self.doctor_by(local, Arc::new(SystemClock)).await
    }

    /// Starts a doctor that goes by that clock.
    pub(crate) async fn doctor_by(&self, local: Local, clock: SharedClock) -> Tasks {
        let config = Config { local: Some(local), ..Config::new("m1".into(), PathBuf::new()) };
        let doctor =
            Doctor::over(config, Box::new(self.agent.clone()), self.fleet.client(), clock).await.unwrap();
        let tasks = Tasks::new();
        let inner = tasks.clone();
        tasks.spawn(Kind::Service, "doctor", async move { doctor.run(&inner).await });
        tasks
    }
}

/// Writes a file and the directories above it.
pub(crate) fn write(path: &Path, text: &str) {
    if std::fs::write(path, text).is_err() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Polls until `look` gives something; reports the last state seen.
pub(crate) async fn wait_for<T>(
    what: &str,
    most: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(state) => assert!(began.elapsed() < most, "no {what} within {most:?}; last seen: {state}"),
        }
        rest(Duration::from_millis(20)).await;
    }
}

/// Waits until a problem is in that state; how long that took.
pub(crate) async fn wait_state(fleet: &Fleet, row: &str, most: Duration) -> Duration {
    let began = Instant::now();
    wait_for(row, most, || {
        let states = fleet.states();
        if states.iter().any(|state| state == row) { Ok(()) } else { Err(format!("{states:?}")) }
    })
    .await;
    began.elapsed()
}

/// The rest between two looks, or the time over which something must not happen.
pub(crate) fn rest(time: Duration) -> impl Future<Output = ()> {
    tokio::time::sleep(time)
}

/// Runs a program to its end; what it wrote.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Why a test that wants root and these programs cannot run here.
pub(crate) fn unable(programs: &[&str]) -> Option<String> {
    if !nix::unistd::Uid::effective().is_root() {
        return Some("not root".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).exists());
    programs.iter().find(|program| !there(program)).map(|program| format!("{program} is not installed"))
}

/// Returns from a test that cannot run here, and says so in the form that is counted.
macro_rules! needs {
    ($($program:expr),*) => {
        if let Some(why) = $crate::bench::unable(&[$($program),*]) {
            println!("could not run: {why}");
            return;
        }
    };
}
pub(crate) use needs;
