//! `muster down`: ends the process that holds the data directory, and takes back what it made on this machine.

use std::path::Path;
use std::time::Duration;

use muster_network::Network;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::up::{NODE_OFF, PID};
use super::{clock, machine_name};
use crate::cli::DownArgs;
use crate::failure::Failure;
use crate::node::{self, NodeConfig, PodRange};
use crate::output;

/// How long the process may take to drain.
const DRAIN_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) async fn run(args: DownArgs) -> Result<(), Failure> {
    let data_dir = args.data.data_dir;
    let Ok(data_dir) = data_dir.canonicalize() else {
        return output::text(&format!("{} is not there: nothing to end\n", data_dir.display()));
    };
    end_process(&data_dir).await?;
    if nix::unistd::Uid::effective().is_root() {
        take_back(&data_dir).await?;
    }
    for name in [PID, NODE_OFF] {
        match std::fs::remove_file(data_dir.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::failed(format!("cannot remove {name}"), &error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    if args.purge {
        purge(&data_dir)?;
    }
    output::text("Muster is down\n")
}

/// The process that holds the data directory, if it is one of Muster's and alive. The program may bear any name.
fn holder(data_dir: &Path) -> Option<Pid> {
    use std::os::unix::fs::MetadataExt as _;
    let pid: i32 = std::fs::read_to_string(data_dir.join(PID)).ok()?.trim().parse().ok()?;
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = words.split(|byte| *byte == 0);
    let named = words.next()?.ends_with(b"muster");
    let file = |path: String| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let same_file =
        file(format!("/proc/{pid}/exe")).is_some_and(|exe| file("/proc/self/exe".to_owned()) == Some(exe));
    ((named || same_file) && words.next() == Some(b"up")).then(|| Pid::from_raw(pid))
}

async fn end_process(data_dir: &Path) -> Result<(), Failure> {
    let Some(pid) = holder(data_dir) else { return Ok(()) };
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        match kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(Failure::failed(format!("cannot end process {pid}"), &errno)),
        }
        let gone = async {
            while holder(data_dir) == Some(pid) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if tokio::time::timeout(DRAIN_WITHIN, gone).await.is_ok() {
            return Ok(());
        }
    }
    Err(Failure::Failed(format!("process {pid} does not end; look at its log")))
}

async fn take_back(data_dir: &Path) -> Result<(), Failure> {
    let config = NodeConfig {
        machine: machine_name(None).unwrap_or_else(|_| "unnamed".to_owned()),
        data_dir: data_dir.to_owned(),
        runtime: node::runtime(None),
        address: node::GATEWAY,
        logs: None,
        pods: PodRange::First,
        time_servers: Vec::new(),
        reboot: node::NO_REBOOT,
    };
    muster_agent::remove(&node::agent_config(&config), &clock())
        .await
        .map_err(|error| Failure::failed("the containers of this node cannot all be removed", &error))?;
    Network::remove(&node::network_dir(data_dir))
        .await
        .map_err(|error| Failure::failed("the network of this node cannot be removed", &error))
}

/// Deletes only what is known to be Muster's.
fn purge(data_dir: &Path) -> Result<(), Failure> {
    if !data_dir.join("store").is_dir() && !data_dir.join(super::agent::CREDENTIALS).is_file() {
        return Err(Failure::Refused(format!(
            "{} holds no store and no agent of Muster's: it is not deleted; remove it yourself if you are sure",
            data_dir.display()
        )));
    }
    std::fs::remove_dir_all(data_dir)
        .map_err(|error| Failure::failed(format!("cannot delete {}", data_dir.display()), &error))
}
