//! Ends a process on request: SIGTERM or SIGINT, then drain.

use std::time::Duration;

use muster_base::task::Tasks;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// How long tasks may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// Waits for a signal or for the end of a service, then drains.
pub(crate) async fn run_until_told(tasks: &Tasks) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::failed("cannot listen for signals", &error));
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let early = tokio::select! {
        _ = term.recv() => false,
        _ = int.recv() => false,
        () = tasks.service_ended() => true,
    };
    drain(tasks).await;
    if early {
        return Err(Failure::Failed(
            "a service ended before it was told to; the log says which and why".to_owned(),
        ));
    }
    Ok(())
}

/// Tells every task to end and waits for them.
pub(crate) async fn drain(tasks: &Tasks) {
    tracing::info!("shutting down");
    if let Err(held) = tasks.drain(GRACE).await {
        tracing::warn!(held = held.held.join(", "), "tasks did not end in time and are left");
    }
}
