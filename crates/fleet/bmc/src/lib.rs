//! The actor that speaks with the management controllers (BMC) of machines, over Redfish and IPMI.
//!
//! It obeys Orders whose verb is for the controller, as the agent obeys the others, and it alone may read the
//! controllers' credentials. Each act is written into its order's journal before it is sent; what a crash leaves without
//! an answer is observed, not repeated. It also reads the controllers and writes what they tell as `BmcReading`s. It
//! decides nothing: which machine is to be powered on or off stands in an Order, and whether a silent controller is a
//! Problem is for a doctor to say.

mod access;
pub mod address;
mod bmc;
mod config;
mod desk;
pub mod discover;
mod ipmi;
mod line;
mod pacing;
mod readings;
mod redfish;

use std::sync::Arc;

use kube::Client;
use muster_base::clock::SharedClock;
use muster_base::task::Tasks;
use muster_brake::Brake;
use muster_control::{Informers, Metrics};

pub use access::{Access, AccessError, NAMESPACE, Transport, read as read_access};
pub use bmc::{Bmc, Command, Power, Read, ReadError, Sent, connect};
pub use config::Config;

use pacing::Gates;

#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) informers: Informers,
    pub(crate) clock: SharedClock,
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Metrics,
    pub(crate) config: Config,
    pub(crate) gates: Arc<Gates>,
    pub(crate) brake: Brake,
}

/// Starts the actor; it ends with `tasks`. Only the leader may do so.
pub fn start(informers: &Informers, clock: &SharedClock, tasks: &Tasks, metrics: &Metrics, config: Config) {
    let context = Context {
        client: informers.client(),
        informers: informers.clone(),
        clock: SharedClock::clone(clock),
        tasks: tasks.clone(),
        metrics: metrics.clone(),
        config,
        gates: Arc::new(Gates::new(config)),
        brake: Brake::new(informers.client(), SharedClock::clone(clock)),
    };
    desk::start(&context);
    readings::start(&context);
}
