//! Running the system's own tools (`nft`, `ip`) with a time limit.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("{program} cannot be started; install the package that brings it ({package})")]
    Start {
        program: &'static str,
        package: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{program}: its input or output broke")]
    Talk {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{program} did not end within {limit:?} and was killed")]
    Timeout { program: &'static str, limit: Duration },
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed { command: String, status: ExitStatus, stderr: String },
}

/// A tool and the distribution package that brings it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

pub(crate) const NFT: Tool = Tool { program: "nft", package: "nftables" };
pub(crate) const IP: Tool = Tool { program: "ip", package: "iproute2" };

/// Standard error is cut here, in bytes: `nft` repeats the whole offending line.
const STDERR_MAX: usize = 2000;

impl Tool {
    /// Runs the tool with `input` and returns its standard output.
    pub(crate) async fn run(
        self,
        arguments: &[&str],
        input: &str,
        limit: Duration,
    ) -> Result<Vec<u8>, CommandError> {
        let Self { program, package } = self;
        let mut child = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| CommandError::Start { program, package, source })?;
        let stdin = child.stdin.take();
        let talk = async {
            let write = async {
                match stdin {
                    // A tool that ends before it has read everything says why by its exit code.
                    Some(mut stdin) => match stdin.write_all(input.as_bytes()).await {
                        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
                        Ok(()) | Err(_) => Ok(()),
                    },
                    None => Ok(()),
                }
            };
            let (written, output) = tokio::join!(write, child.wait_with_output());
            written.and(output)
        };
        let output = tokio::time::timeout(limit, talk)
            .await
            .map_err(|_| CommandError::Timeout { program, limit })?
            .map_err(|source| CommandError::Talk { program, source })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().chars().take(STDERR_MAX).collect();
        let command = std::iter::once(program).chain(arguments.iter().copied()).collect::<Vec<_>>().join(" ");
        Err(CommandError::Failed { command, status: output.status, stderr })
    }
}
