//! The kernel log for the machine's doctor, who may not open it: every connection is told the records, and says nothing.
//!
//! Each connection has an open file of its own, so the kernel keeps its place and nothing is buffered here. Who reads too
//! slowly loses records, and sees it in their numbers.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_base::task::{Kind, Tasks};
use nix::fcntl::OFlag;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Semaphore;

use super::readings::{SocketError, listen};

/// Connections served at once; more wait.
const CONNECTIONS_MAX: usize = 2;
/// The kernel gives out one record a read and refuses a buffer that it does not fit into
/// (`PRINTK_MESSAGE_MAX`, 2 KiB, each byte escaped at worst).
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Serves the records of `log` at `path` until `tasks` end.
pub(super) fn serve(path: &Path, log: PathBuf, tasks: &Tasks) -> Result<(), SocketError> {
    let listener = listen(path)?;
    let (shutdown, within) = (tasks.shutdown_token(), tasks.clone());
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tasks.spawn(Kind::Service, "doctor's kernel log", async move {
        while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
            let Some(permit) = shutdown.run_until_cancelled(Arc::clone(&room).acquire_owned()).await else {
                return;
            };
            match accepted {
                Ok((stream, _)) => {
                    let (log, shutdown) = (log.clone(), shutdown.clone());
                    within.spawn(Kind::Request, "kernel log", async move {
                        if let Some(Err(error)) = shutdown.run_until_cancelled(tell(stream, &log)).await {
                            tracing::debug!(%error, "the kernel log is told no further");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the doctor's socket of the kernel log")
                }
            }
        }
    });
    Ok(())
}

/// Tells what the kernel keeps and what comes, until the doctor leaves.
async fn tell(stream: UnixStream, log: &Path) -> io::Result<()> {
    let log = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(log)?;
    let log = Receiver::from_file_unchecked(log)?;
    let (mut from, mut to) = stream.into_split();
    let mut buffer = vec![0; RECORD_BYTES_MAX];
    loop {
        let bytes = tokio::select! {
            () = left(&mut from) => return Ok(()),
            record = record(&log, &mut buffer) => record?,
        };
        if bytes == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..bytes]).await?;
    }
}

/// The next record that the kernel still has.
async fn record(log: &Receiver, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        log.readable().await?;
        match log.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // What was to be read next was overwritten; the next read goes on with what is there.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            read => return read,
        }
    }
}

async fn left(from: &mut OwnedReadHalf) {
    let mut said = [0; 64];
    while from.read(&mut said).await.is_ok_and(|bytes| bytes > 0) {}
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_is_there_and_what_comes_is_told_record_by_record_and_input_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, log) = (dir.path().join("kmsg.sock"), dir.path().join("kmsg"));
        nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut kernel = OpenOptions::new().read(true).write(true).open(&log).unwrap();
        let tasks = Tasks::new();
        serve(&socket, log, &tasks).unwrap();
        kernel.write_all(b"4,1,10,-;old\n").unwrap();
        let mut doctor = UnixStream::connect(&socket).await.unwrap();
        doctor.write_all(b"3,9,9,-;mine\n").await.unwrap();
        let mut said = [0; 13];
        doctor.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"4,1,10,-;old\n");
        kernel.write_all(b"3,2,11,-;new\n").unwrap();
        doctor.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"3,2,11,-;new\n");
        tasks.drain(Duration::from_secs(5)).await.unwrap();
    }
}
