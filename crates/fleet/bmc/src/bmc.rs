//! What a controller can do, whichever protocol it speaks.

use std::time::Duration;

use futures::future::BoxFuture;
use muster_api::inventory::bmc::{Identity, LogRecord, Sensor};
use muster_api::order::{Answer, BootDevice, BootUntil, Led};

use crate::access::Access;
use crate::address::{Address, Protocol};
use crate::ipmi::Ipmi;
use crate::redfish::Redfish;

/// Power state of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// On.
    On,
    /// Off.
    Off,
    /// On its way from one to the other.
    Changing,
}

impl Power {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "On",
            Self::Off => "Off",
            Self::Changing => "Changing",
        }
    }
}

/// What can be asked to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Power on.
    On,
    /// Power off at once.
    Off,
    /// Ask the operating system to end.
    Soft,
    /// The reset button.
    Reset,
    /// What to boot from.
    Boot(BootDevice, BootUntil),
    /// Image into the virtual drive.
    Insert(String),
    /// Virtual drive empty.
    Eject,
    /// The lamp.
    Light(Led),
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The controller's answer.
    pub answer: Answer,
    /// For people.
    pub message: String,
}

impl Sent {
    pub(crate) fn new(answer: Answer, message: impl Into<String>) -> Self {
        Self { answer, message: message.into() }
    }
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No answer, or no connection.
    #[error("the controller does not answer: {0}")]
    Silent(String),
    /// It wants other credentials.
    #[error("the controller refuses the credentials: {0}")]
    Denied(String),
    /// It answered something else.
    #[error("the controller's answer cannot be used: {0}")]
    Strange(String),
    /// It has no such thing.
    #[error("the controller does not offer it: {0}")]
    Absent(String),
    /// This machine lacks something.
    #[error("{0}")]
    Here(String),
}

/// Answer of a controller to a question.
pub type Read<T> = Result<T, ReadError>;

/// One controller. Reading changes nothing and may be repeated; a command is sent at most once per call.
pub trait Bmc: Send + Sync {
    /// Whether the machine is on.
    fn power(&self) -> BoxFuture<'_, Read<Power>>;
    /// Sends a command, once.
    fn send<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Sent>;
    /// What it says the machine is.
    fn identity(&self) -> BoxFuture<'_, Read<Identity>>;
    /// Temperatures, fans, power.
    fn sensors(&self) -> BoxFuture<'_, Read<Vec<Sensor>>>;
    /// The last records of its event log, oldest first.
    fn events(&self) -> BoxFuture<'_, Read<Vec<LogRecord>>>;
}

/// Gets ready to speak with a controller; nothing is sent yet.
///
/// # Errors
/// The credentials cannot be used.
pub fn connect(address: &Address, access: Access, timeout: Duration) -> Read<Box<dyn Bmc>> {
    match address.protocol {
        Protocol::Redfish => Ok(Box::new(Redfish::new(address.clone(), access, timeout)?)),
        Protocol::Ipmi => Ok(Box::new(Ipmi::new(address.clone(), access, timeout))),
    }
}
