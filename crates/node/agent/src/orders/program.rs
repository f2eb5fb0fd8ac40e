//! A program of the system, run for an order: without a shell, without a terminal, bounded in time and in what is kept.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures::future::{self, Either};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes that are kept of what a program writes; more is read and dropped.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// A daemon that a script started may hold the pipes after the program has ended.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes of its last words in a message.
const WORDS_BYTES_MAX: usize = 1000;

/// A program and what it is told by its environment, which holds nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    /// Standard output; the begin of it, where it is too long to keep.
    pub(crate) output: String,
    /// Standard error, or standard output where that says nothing: the end of it.
    pub(crate) words: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("this machine has no {}", .path.display())]
    Missing { path: PathBuf },
    #[error("{} cannot be started", .path.display())]
    Start {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} did not end within {} s and was killed", .path.display(), .limit.as_secs())]
    TimedOut { path: PathBuf, limit: Duration },
}

impl Program {
    pub(crate) fn new(path: &str) -> Self {
        Self { path: PathBuf::from(path), environment: Vec::new() }
    }

    /// Runs it to its end, at most for `limit`; then it is killed with all it started.
    pub(crate) async fn run(&self, arguments: &[String], limit: Duration) -> Result<Said, ProgramError> {
        let path = || self.path.clone();
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", "/root")
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                return ProgramError::Missing { path: path() };
            }
            ProgramError::Start { path: path(), source }
        })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        match tokio::time::timeout(limit, listen(&mut child)).await {
            Ok(said) => said.map_err(|source| ProgramError::Start { path: path(), source }),
            Err(_) => {
                if let Some(Err(errno)) = group.map(|group| killpg(group, Signal::SIGKILL)) {
                    tracing::debug!(%errno, "a program that took too long was gone when it was to be killed");
                }
                Err(ProgramError::TimedOut { path: path(), limit })
            }
        }
    }
}

async fn listen(child: &mut Child) -> io::Result<Said> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut output, mut words) = (Vec::new(), Vec::new());
    let status = {
        let reading = pin!(future::join(
            keep(stdout, |bytes| output.extend(&bytes[..bytes.len().min(KEPT_BYTES_MAX - output.len())])),
            keep(stderr, |bytes| {
                words.extend(bytes);
                words.drain(..words.len().saturating_sub(WORDS_BYTES_MAX));
            }),
        ));
        match future::select(reading, pin!(child.wait())).await {
            Either::Left((_, ended)) => ended.await,
            Either::Right((ended, reading)) => {
                if tokio::time::timeout(GRACE, reading).await.is_err() {
                    tracing::debug!("something a program started still holds its output");
                }
                ended
            }
        }
    }?;
    if words.trim_ascii().is_empty() {
        words = output[output.len().saturating_sub(WORDS_BYTES_MAX)..].to_vec();
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(Said { status, words: text(&words), output: text(&output) })
}

async fn keep(source: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut source) = source else { return };
    let mut buffer = vec![0; 8 << 10];
    loop {
        match source.read(&mut buffer).await {
            Ok(0) => return,
            Ok(count) => take(&buffer[..count]),
            Err(error) => {
                tracing::debug!(%error, "the output of a program cannot be read to its end");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, limit: Duration) -> Result<Said, ProgramError> {
        Program::new("/bin/sh").run(&["-c".to_owned(), script.to_owned()], limit).await
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_a_program_says_is_kept_within_bounds_and_nothing_of_ours_is_told_to_it() {
        let said =
            shell("env; head -c 3000000 /dev/zero | tr '\\0' x; echo oops >&2; exit 3", LONG).await.unwrap();
        assert_eq!((said.status.code(), said.words.as_str()), (Some(3), "oops"));
        assert_eq!(said.output.len(), KEPT_BYTES_MAX);
        let told: Vec<&str> = said.output.split("xxx").next().unwrap().lines().collect();
        assert!(told.contains(&"LC_ALL=C.UTF-8") && !said.output.contains("CARGO"), "{told:?}");
    }

    #[tokio::test]
    async fn the_last_words_are_standard_output_where_there_are_no_others() {
        let said = shell("head -c 3000 /dev/zero | tr '\\0' x; echo end", LONG).await.unwrap();
        assert!(said.words.len() < 1000 && said.words.ends_with("xend"), "{}", said.words);
    }

    #[tokio::test]
    async fn a_daemon_that_keeps_the_pipes_open_is_not_waited_for() {
        let began = std::time::Instant::now();
        let said = shell("sleep 50 & echo $!", LONG).await.unwrap();
        assert!(said.status.success() && began.elapsed() < Duration::from_secs(20));
        let daemon = Pid::from_raw(said.output.parse().unwrap());
        nix::sys::signal::kill(daemon, Signal::SIGKILL).unwrap();
    }

    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_all_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pid");
        let script = format!("sleep 50 & echo $! > {}; wait", pids.display());
        // It may not have come to the first word yet: then there is nothing to look for.
        let error = shell(&script, Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh did not end within 0 s and was killed");
        let Ok(pid) = std::fs::read_to_string(&pids) else { return };
        let stat = |pid: &str| std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        let began = std::time::Instant::now();
        while stat(&pid).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(began.elapsed() < Duration::from_secs(10), "process {pid} lives on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = Program::new("/none/apt-get").run(&[], LONG).await.unwrap_err();
        assert_eq!(error.to_string(), "this machine has no /none/apt-get");
    }
}
