//! A TCP port that serves so many at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::task::{Kind, Tasks};

/// How long nothing is accepted after a failure, such as that the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers each connection in a task of its own, which is told of shutdown, until shutdown begins. At most `most` at once;
/// further ones wait to be accepted.
pub fn serve<F, R>(listener: TcpListener, most: usize, what: &'static str, tasks: &Tasks, answer: F)
where
    F: Fn(TcpStream, CancellationToken) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let (shutdown, all, places) = (tasks.shutdown_token(), tasks.clone(), Arc::new(Semaphore::new(most)));
    tasks.spawn(Kind::Service, format!("{what} port"), async move {
        while let Some(accepted) = shutdown.run_until_cancelled(next(&listener, &places)).await {
            match accepted {
                Ok((stream, peer, place)) => {
                    let answered = answer(stream, shutdown.clone());
                    all.spawn(Kind::Request, format!("{what} client {peer}"), async move {
                        answered.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, what, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_waits_for_one_and_shutdown_ends_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        serve(listener, 1, "echo", &tasks, |mut stream: TcpStream, shutdown| async move {
            let mut byte = [0];
            while let Some(Ok(1)) = shutdown.run_until_cancelled(stream.read(&mut byte)).await {
                stream.write_all(&byte).await.unwrap();
            }
        });
        let mut byte = [0];
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(b"1").await.unwrap();
        first.read_exact(&mut byte).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(b"2").await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(200), second.read_exact(&mut byte)).await;
        assert!(early.is_err(), "it was served beside the first");
        drop(first);
        second.read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, *b"2");
        tasks.drain(Duration::from_secs(10)).await.unwrap();
        assert_eq!(second.read(&mut byte).await.unwrap(), 0);
    }
}
