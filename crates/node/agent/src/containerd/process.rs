//! One detached process: started in its own session, found again after our own restart, ended for sure.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};
use serde::{Deserialize, Serialize};

/// A process named so that a reused number is not mistaken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks from boot to its start.
    start_ticks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    /// Stopped by a signal: it will not answer, nor heed TERM.
    Stopped,
    /// Gone, or dead and not yet reaped.
    Gone,
}

const POLL: Duration = Duration::from_millis(20);
const LOG_BYTES_MAX: u64 = 16 << 20;

/// State letter and start ticks. The command name in field 2 may hold spaces and parentheses.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

impl Identity {
    fn of(pid: i32) -> Option<Self> {
        stat(pid).map(|(_, start_ticks)| Self { pid, start_ticks })
    }

    pub(super) fn life(self) -> Life {
        match stat(self.pid) {
            Some((_, ticks)) if ticks != self.start_ticks => Life::Gone,
            Some(('Z' | 'X', _)) | None => Life::Gone,
            Some(('T' | 't', _)) => Life::Stopped,
            Some(_) => Life::Running,
        }
    }

    fn signal(self, signal: Signal) -> io::Result<()> {
        if self.life() == Life::Gone {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// TERM, then KILL after `grace`. A stopped process cannot heed TERM and is killed at once.
    ///
    /// # Errors
    /// The signal was not permitted, or the process is still there `grace` after KILL (a task in uninterruptible sleep).
    pub(super) async fn end(self, grace: Duration) -> io::Result<()> {
        if self.life() == Life::Running {
            self.signal(Signal::SIGTERM)?;
            if self.gone_within(grace).await {
                return Ok(());
            }
        }
        self.signal(Signal::SIGKILL)?;
        if self.gone_within(grace.max(Duration::from_secs(5))).await {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("process {} did not end after SIGKILL", self.pid),
        ))
    }

    async fn gone_within(self, limit: Duration) -> bool {
        let gone = async {
            while self.life() != Life::Gone {
                reap(self.pid);
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(limit, gone).await.is_ok()
    }

    /// Waits for its end by itself, and kills it after `grace`.
    ///
    /// # Errors
    /// As [`Identity::end`].
    pub(super) async fn gone_or_killed(self, grace: Duration) -> io::Result<()> {
        if self.gone_within(grace).await { Ok(()) } else { self.end(grace).await }
    }

    pub(super) fn save(self, path: &Path) -> io::Result<()> {
        let next = path.with_extension("next");
        fs::write(&next, serde_json::to_vec(&self)?)?;
        fs::rename(next, path)
    }

    /// The process a former life of ours has started, if it still is that process.
    pub(super) fn load(path: &Path) -> Option<Self> {
        let identity: Self = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (identity.life() != Life::Gone).then_some(identity)
    }
}

/// The processes of a program whose file is called so or begins so, with these two arguments side by side. Arguments alone
/// would do for an editor or a search too.
pub(super) fn of_program(name: &str, arguments: [&OsStr; 2]) -> Vec<Identity> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let bears = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let file = words.first().and_then(|program| program.rsplit(|byte| *byte == b'/').next());
        file.is_some_and(|file| file.starts_with(name.as_bytes()))
            && words.windows(2).any(|pair| pair == arguments.map(OsStrExt::as_bytes))
    };
    pids.filter(bears).filter_map(Identity::of).filter(|process| process.life() != Life::Gone).collect()
}

/// Takes the exit status of a child of ours; of an adopted process there is none to take.
pub(super) fn reap(pid: i32) {
    use nix::sys::wait::{WaitPidFlag, waitpid};
    match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
        Ok(_) | Err(Errno::ECHILD | Errno::EINTR) => {}
        Err(errno) => tracing::warn!(pid, %errno, "could not reap a process"),
    }
}

/// Starts `program` in its own session, so that our death is not its own.
pub(super) fn start(program: &Path, arguments: &[&OsStr], log: &Path) -> io::Result<Identity> {
    let mut command = Command::new(program);
    let output = open_log(log)?;
    command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    // The signals our own process blocks or ignores must not be inherited as ignored; std resets the mask.
    let detach = || setsid().map(|_| ()).map_err(io::Error::from);
    #[expect(
        unsafe_code,
        reason = "setsid is async-signal-safe, and std has no other way to leave the session"
    )]
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(detach);
    }
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Identity::of(pid).ok_or_else(|| io::Error::other(format!("process {pid} ended at once")))
}

fn open_log(path: &Path) -> io::Result<File> {
    let full = fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX);
    if full {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// The last lines of a log, for the message that says why a service did not start.
pub(super) fn tail(path: &Path, lines: usize) -> String {
    let Ok(bytes) = fs::read(path) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn processes_are_found_by_their_arguments_and_waited_for_or_killed() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("c.sock");
        let arguments = ["-address".as_ref(), socket.as_os_str()];
        let run = |script: &str| {
            let mut words: Vec<&OsStr> = vec!["-c".as_ref(), script.as_ref(), "shim".as_ref()];
            words.extend(arguments);
            start(Path::new("/bin/sh"), &words, &dir.path().join("log")).unwrap()
        };
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let ends = run(&format!("read word < {}; exit 0", pipe.display()));
        assert_eq!(of_program("sh", arguments), [ends]);
        assert_eq!(of_program("containerd-shim", arguments), []);
        let patience = Duration::from_secs(60);
        let end = async {
            tokio::task::yield_now().await;
            fs::write(&pipe, "end\n").unwrap();
        };
        let (gone, ()) = tokio::join!(ends.gone_or_killed(patience), end);
        gone.unwrap();
        let stays = run(&format!("trap '' TERM; read word < {}", pipe.display()));
        assert_eq!(of_program("sh", arguments), [stays]);
        stays.gone_or_killed(Duration::from_millis(50)).await.unwrap();
        assert_eq!((stays.life(), of_program("sh", arguments)), (Life::Gone, Vec::new()));
    }
}
