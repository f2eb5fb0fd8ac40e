//! Starts the real binary in a network namespace of its own, and takes everything away again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use serde_json::Value;

use crate::log::{self, Allowed};

pub(crate) const MUSTER: &str = env!("CARGO_BIN_EXE_muster");
/// Name of the one machine of every test.
pub(crate) const MACHINE: &str = "m1";

/// Where this crate lies now: asked of cargo when the test runs, for a shared target folder may hold a test that
/// was built from another clone, which is gone.
pub(crate) fn here() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests and says where"))
}

/// The top of the source tree.
pub(crate) fn root() -> PathBuf {
    here().join("../..").canonicalize().expect("the crate lies in a source tree")
}

/// Why tests with real containers cannot run here.
pub(crate) fn unable() -> Option<String> {
    if !Uid::effective().is_root() {
        return Some("not root".to_owned());
    }
    let missing = |program: &&str| {
        let found =
            Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
        !found.is_ok_and(|status| status.success())
    };
    ["containerd", "runc", "nft", "ip", "nsenter", "kubectl", "curl"]
        .iter()
        .find(|program| missing(program))
        .map(|program| format!("{program} is not installed"))
}

/// Returns from a test that cannot run here, and says so in the form that is counted.
macro_rules! needs_containers {
    () => {
        if let Some(why) = $crate::harness::unable() {
            println!("could not run: {why}");
            return;
        }
    };
}
pub(crate) use needs_containers;

/// Polls until `look` gives something; reports the last state seen.
pub(crate) fn wait_for<T>(what: &str, most: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + most;
    loop {
        match look() {
            Ok(found) => return found,
            Err(state) if deadline <= Instant::now() => {
                panic!("no {what} within {most:?}; last seen: {state}")
            }
            Err(_) => pause(Duration::from_millis(50)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the rest between two looks of wait_for")]
pub(crate) fn pause(rest: Duration) {
    std::thread::sleep(rest);
}

/// A network namespace with a loopback.
pub(crate) struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("muster-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        done(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Self(name);
        done(namespace.command("ip").args(["link", "set", "lo", "up"]));
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// A command that runs inside.
    pub(crate) fn command(&self, program: &str) -> Command {
        command_in(&self.0, program)
    }
}

/// A command that runs inside the namespace of that name.
pub(crate) fn command_in(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).args(["--", program]);
    command
}

impl Drop for Namespace {
    fn drop(&mut self) {
        done(Command::new("ip").args(["netns", "del", &self.0]));
    }
}

/// Runs a command that must succeed.
pub(crate) fn done(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A process that is ended with the test.
pub(crate) struct Process {
    child: Child,
    pub(crate) log: PathBuf,
}

impl Process {
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let output = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        Self { child, log: log.to_owned() }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it ended with, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    pub(crate) fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            kill(self.pid(), Signal::SIGTERM).unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// A cluster in a namespace of its own; what the binary makes there is taken back at the end.
pub(crate) struct Cluster {
    pub(crate) namespace: Namespace,
    pub(crate) data_dir: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    /// Warnings that this test brings about, besides those of every story.
    pub(crate) allowed: &'static [Allowed],
    directory: Option<tempfile::TempDir>,
}

impl Cluster {
    /// Nothing runs yet. The kubeconfig is that of the data directory unless another is set.
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("muster-test-").tempdir_in("/tmp").unwrap();
        // As `mktemp -d` makes one: nobody but root passes through it.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let data_dir = directory.path().join("d");
        fs::create_dir(&data_dir).unwrap();
        let kubeconfig = data_dir.join("kubeconfig");
        Self { namespace: Namespace::new(), data_dir, kubeconfig, allowed: &[], directory: Some(directory) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.as_ref().unwrap().path().join(name)
    }

    /// The binary inside the namespace; it finds the cluster and the data directory.
    pub(crate) fn muster(&self, words: &[&str]) -> Command {
        let mut command = self.namespace.command(MUSTER);
        command.args(words).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Starts one of the commands that stay.
    pub(crate) fn service(&self, name: &str, words: &[&str]) -> Process {
        Process::start(self.muster(words), &self.path(&format!("{name}.log")))
    }

    pub(crate) fn kubectl(&self, words: &[&str]) -> Output {
        let mut command = self.namespace.command("kubectl");
        command.args(words).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null()).output().unwrap()
    }

    /// One object or list as JSON.
    pub(crate) fn get(&self, words: &[&str]) -> Result<Value, String> {
        let output = self.kubectl(&[&["get", "-o", "json"], words].concat());
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    /// The containerd of this data directory.
    pub(crate) fn containerd(&self) -> Pid {
        let record = fs::read(self.data_dir.join("agent/containerd/pid.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        Pid::from_raw(i32::try_from(record["pid"].as_i64().unwrap()).unwrap())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in fs::read_dir(self.path("")).unwrap().flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "log") {
                    let words = fs::read_to_string(entry.path()).unwrap_or_default();
                    let from = words.len().saturating_sub(6000);
                    println!("== {}\n{}", entry.path().display(), words.get(from..).unwrap_or_default());
                }
            }
        }
        let down = ["down", "--data-dir", self.data_dir.to_str().unwrap()];
        let output = self.muster(&down).output().unwrap();
        if !output.status.success() {
            println!("muster down: {}", String::from_utf8_lossy(&output.stderr));
        }
        let left = left_behind(&self.data_dir);
        if !std::thread::panicking() {
            let unlisted = log::unlisted(&self.path(""), self.allowed);
            assert_eq!(unlisted, Vec::<String>::new(), "the log warns of what is not listed");
            assert!(output.status.success() && left.is_empty(), "left behind: {left:?}");
        }
    }
}

/// Mounts, processes and cgroups of a data directory that is down.
fn left_behind(data_dir: &Path) -> Vec<String> {
    let name = data_dir.to_str().unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut left: Vec<String> =
        mounts.lines().filter(|line| line.contains(name)).map(str::to_owned).collect();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains(name) {
            left.push(words);
        }
    }
    left
}
