//! When a start is worth trying: right after a node is registered its network is still being made, and no sandbox starts, nor
//! ends, without it.

use std::time::Duration;

use crate::runtime::Runtime;

/// How long a network may take to be made on a slow machine. The step that asks for the start has 120 s.
const NETWORK_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits until the runtime says that its network is there. When it does not in time, or does not answer, the start itself
/// tells what is wrong.
pub(super) async fn await_network(runtime: &dyn Runtime) {
    let waiting = async {
        while runtime.status().await.is_ok_and(|status| !status.network.ready) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(NETWORK_WITHIN, waiting).await.is_err() {
        tracing::debug!("the network of this node is not there yet");
    }
}
