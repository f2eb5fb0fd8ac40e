//! The doctor as a process of its own: started, watched, started again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use muster_base::backoff::Backoff;
use muster_base::task::{Kind, Tasks};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// A doctor that lived so long had started well.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// How to start it.
pub(crate) struct DoctorProcess {
    pub(crate) program: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) machine: String,
    pub(crate) probe_socket: PathBuf,
    pub(crate) state_dir: PathBuf,
    pub(crate) time_servers: Vec<String>,
}

impl DoctorProcess {
    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg("doctor").arg("--kubeconfig").arg(&self.kubeconfig).arg("--machine").arg(&self.machine);
        command.arg("--probe-socket").arg(&self.probe_socket).arg("--end-with-parent");
        command.arg("--state-dir").arg(&self.state_dir);
        command.args(self.time_servers.iter().flat_map(|server| ["--time-server", server]));
        command.stdin(Stdio::null()).kill_on_drop(true).spawn()
    }

    /// Keeps a doctor running until shutdown, and ends it then. It begins once its credentials are there, and anew when
    /// they change.
    pub(crate) fn keep(self, tasks: &Tasks, mut credentials: watch::Receiver<u64>) {
        let token = tasks.shutdown_token();
        tasks.spawn(Kind::Service, "doctor process", async move {
            let there = credentials.wait_for(|count| 0 < *count);
            if !matches!(token.run_until_cancelled(there).await, Some(Ok(_))) {
                return;
            }
            let mut failures = 0;
            while !token.is_cancelled() {
                let began = Instant::now();
                credentials.mark_unchanged();
                let is_renewed = tokio::select! {
                    () = token.cancelled() => return,
                    () = self.once() => false,
                    Ok(()) = credentials.changed() => true,
                };
                if is_renewed {
                    tracing::info!("the doctor begins anew, with its new certificate");
                    continue;
                }
                failures = if began.elapsed() < WELL_AFTER { failures + 1 } else { 1 };
                token.run_until_cancelled(tokio::time::sleep(BACKOFF.wait(failures))).await;
            }
        });
    }

    /// One life of the doctor. Dropping the future ends the process.
    async fn once(&self) {
        let mut child = match self.spawn() {
            Ok(child) => child,
            Err(error) => return tracing::warn!(%error, "the doctor cannot be started"),
        };
        match child.wait().await {
            Ok(status) => tracing::warn!(%status, "the doctor ended and is started again"),
            Err(error) => tracing::warn!(%error, "the doctor cannot be waited for"),
        }
    }
}

/// The program that runs now.
pub(crate) fn own_program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    // A program replaced by an upgrade shows as deleted; its place holds the new one.
    let text = path.to_string_lossy();
    Ok(Path::new(text.strip_suffix(" (deleted)").unwrap_or(&text)).to_owned())
}
