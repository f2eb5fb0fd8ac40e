//! A network of its own, of which a doctor sees the files and may stand in the middle.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bench::run;

/// A network namespace, with a process in it through which its `/sys` is seen.
pub(crate) struct Namespace {
    name: String,
    holder: Child,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("muster-doctor-{}-{number}", std::process::id());
        run("ip", &["netns", "add", &name]);
        let holder = Command::new("ip").args(["netns", "exec", &name, "sleep", "600"]).spawn().unwrap();
        Self { name, holder }
    }

    pub(crate) fn link(&self, words: &str) {
        let arguments: Vec<&str> = ["-n", &self.name, "link"].into_iter().chain(words.split(' ')).collect();
        run("ip", &arguments);
    }

    /// Runs a program inside.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let words = [&["netns", "exec", &self.name, program], arguments].concat();
        run("ip", &words)
    }

    /// A cable to another one, with an address at each end.
    pub(crate) fn connect(&self, own: [&str; 2], other: &Self, far: [&str; 2]) {
        self.link(&format!("add {} type veth peer name {} netns {}", own[0], far[0], other.name));
        for (namespace, [name, address]) in [(self, own), (other, far)] {
            run("ip", &["-n", &namespace.name, "addr", "add", address, "dev", name]);
            namespace.link(&format!("set {name} up"));
        }
    }

    /// Does something in a thread that stands in this network, and whose children do.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).unwrap();
        let enter = || {
            nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        std::thread::scope(|scope| match scope.spawn(enter).join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// The `/proc` of a process in it.
    pub(crate) fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.holder.id()))
    }

    pub(crate) fn sys(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/sys", self.holder.id()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let ended = self.holder.kill().and_then(|()| self.holder.wait());
        assert!(ended.is_ok(), "{ended:?}");
        run("ip", &["netns", "del", &self.name]);
    }
}
