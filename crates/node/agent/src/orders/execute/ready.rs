//! When a start is worth trying: right after a node is registered its network is still being made, and right after a boot its
//! runtime; without either no sandbox starts, nor ends.

use std::time::Duration;

use crate::runtime::{Runtime, RuntimeErrorKind};

/// How long both may take on a slow machine. The step that asks for the start has 120 s.
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits until the runtime answers and says that its network is there. When that does not come in time, or the runtime
/// hangs, the start itself tells what is wrong.
pub(super) async fn await_runtime(runtime: &dyn Runtime) {
    let waiting = async {
        while is_coming(runtime).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(READY_WITHIN, waiting).await.is_err() {
        tracing::debug!("runtime and network of this node are not there yet");
    }
}

async fn is_coming(runtime: &dyn Runtime) -> bool {
    match runtime.status().await {
        Ok(status) => !status.network.ready,
        Err(error) => error.kind == RuntimeErrorKind::Unreachable,
    }
}
