//! One act on one machine, told to its agent or to the actor that speaks with its management controller.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::disruption::Destruction;
use crate::role::{File, SystemService, Taint};

mod journal;

pub use journal::{ACTS_MAX, Act, Answer};

/// Bytes of output an order keeps.
pub const OUTPUT_BYTES_MAX: usize = 4096;

/// What is to be done. The key of the effect is (run, step, attempt): it is done once, by the one whom
/// [`Verb::executor`] names.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Order",
    status = "OrderStatus",
    derive = "PartialEq",
    doc = "One act on one machine, told to its agent or to the actor that speaks with its management controller.",
    category = "muster",
    selectable = ".spec.machine",
    printcolumn(name = "Machine", type_ = "string", json_path = ".spec.machine"),
    printcolumn(name = "Verb", type_ = "string", json_path = ".spec.verb"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Run", type_ = "string", json_path = ".spec.run", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    validation = Rule::new("self.spec == oldSelf.spec").message("an Order never changes; issue another"),
)]
#[x_kube(validation = Rule::new("!(self.verb in ['StartService', 'RestartService']) || (has(self.arguments) && has(self.arguments.service))").message("this verb needs arguments.service"))]
#[x_kube(validation = Rule::new("!(self.verb in ['CleanUp', 'ResetDevice']) || (has(self.arguments) && has(self.arguments.device) && self.arguments.device != '')").message("this verb needs arguments.device"))]
#[x_kube(validation = Rule::new("self.verb != 'SetBootDevice' || (has(self.arguments) && has(self.arguments.bootDevice))").message("this verb needs arguments.bootDevice"))]
#[x_kube(validation = Rule::new("self.verb != 'InsertMedia' || (has(self.arguments) && has(self.arguments.media) && (self.arguments.media.startsWith('http://') || self.arguments.media.startsWith('https://')))").message("this verb needs arguments.media, an http or https URL"))]
#[x_kube(validation = Rule::new("self.verb != 'EraseDisks' || (has(self.arguments) && has(self.arguments.disks) && size(self.arguments.disks) > 0)").message("this verb needs arguments.disks: an empty list does not mean all"))]
#[x_kube(validation = Rule::new("self.verb != 'EnsurePackages' || (has(self.arguments) && has(self.arguments.packages) && size(self.arguments.packages) > 0)").message("this verb needs arguments.packages"))]
#[x_kube(validation = Rule::new("self.verb != 'EnsureFiles' || (has(self.arguments) && has(self.arguments.files) && size(self.arguments.files) > 0)").message("this verb needs arguments.files"))]
#[x_kube(validation = Rule::new("self.verb != 'EnsureServices' || (has(self.arguments) && has(self.arguments.services) && size(self.arguments.services) > 0)").message("this verb needs arguments.services"))]
pub struct OrderSpec {
    /// Machine that is addressed: one, by name, never a pattern.
    #[x_kube(validation = Rule::new("self != '' && !self.contains('*')").message("must name exactly one Machine"))]
    pub machine: String,
    /// What to do.
    pub verb: Verb,
    /// With what.
    #[serde(default)]
    pub arguments: Arguments,
    /// Fence of the machine at the time; an order below the highest that was seen is refused.
    pub generation: i64,
    /// Run it belongs to.
    pub run: String,
    /// Step of the run.
    pub step: String,
    /// Attempt at the step, from 1.
    pub attempt: u32,
    /// It is not begun after this time: an order that waited too long is not what was meant any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// The closed list of what is done on order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verb {
    /// Sees that the kernel has `arguments.features`; changes nothing.
    CheckKernel,
    /// Brings `arguments.sysctls` about and notes their former values.
    EnsureSysctls,
    /// Installs those of `arguments.packages` that are missing. What is installed is left alone; nothing is removed.
    EnsurePackages,
    /// Brings `arguments.files` about and notes what stood in their place.
    EnsureFiles,
    /// Has `arguments.services` run, and notes those that did not before.
    EnsureServices,
    /// Starts `arguments.service` unless it runs, and waits until it answers.
    StartService,
    /// Ends `arguments.service`, hung or not, starts it again and waits until it answers. Containers live on.
    RestartService,
    /// Registers the machine as a Node with `arguments.labels` and `arguments.taints`.
    RegisterNode,
    /// Starts a container for real, sees it running, removes it.
    CheckContainerStart,
    /// Makes room on the file system of `arguments.device`: what can be had again, or what the machine's own settings call
    /// old, and nothing else.
    CleanUp,
    /// Resets `arguments.device`: a network interface goes down and up again, an NVMe controller is reset.
    ResetDevice,
    /// Has the operating system end in order and boot anew.
    Reboot,
    /// Turns the power on and sees it on; one that is on is left alone.
    PowerOn,
    /// Cuts the power and sees it off; one that is off is left alone.
    PowerOff,
    /// Asks the operating system to end, and sees the power off.
    Shutdown,
    /// Power off and on again, each seen.
    PowerCycle,
    /// The reset button: sent once, never twice.
    Reset,
    /// Boots from `arguments.bootDevice`, once or from now on.
    SetBootDevice,
    /// Puts the image at `arguments.media` into the virtual drive.
    InsertMedia,
    /// Empties the virtual drive.
    EjectMedia,
    /// Lights or darkens the lamp that shows which machine it is.
    IdentifyLed,
    /// Boots once from the image at `arguments.media` in the virtual drive, or from the network where none is told, by a
    /// power cycle: the image is written over what is there.
    Reimage,
    /// Overwrites `arguments.disks` whole and reads back that nothing is left. None of them may be in use.
    EraseDisks,
}

/// Who carries a verb out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// The agent, on the machine.
    Agent,
    /// The actor that speaks with the machine's management controller; the machine itself may be off.
    Bmc,
}

impl Verb {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CheckKernel => "CheckKernel",
            Self::EnsureSysctls => "EnsureSysctls",
            Self::EnsurePackages => "EnsurePackages",
            Self::EnsureFiles => "EnsureFiles",
            Self::EnsureServices => "EnsureServices",
            Self::StartService => "StartService",
            Self::RestartService => "RestartService",
            Self::RegisterNode => "RegisterNode",
            Self::CheckContainerStart => "CheckContainerStart",
            Self::CleanUp => "CleanUp",
            Self::ResetDevice => "ResetDevice",
            Self::Reboot => "Reboot",
            Self::PowerOn => "PowerOn",
            Self::PowerOff => "PowerOff",
            Self::Shutdown => "Shutdown",
            Self::PowerCycle => "PowerCycle",
            Self::Reset => "Reset",
            Self::SetBootDevice => "SetBootDevice",
            Self::InsertMedia => "InsertMedia",
            Self::EjectMedia => "EjectMedia",
            Self::IdentifyLed => "IdentifyLed",
            Self::Reimage => "Reimage",
            Self::EraseDisks => "EraseDisks",
        }
    }

    /// Who carries it out. Everybody else ignores the order.
    pub const fn executor(self) -> Executor {
        match self {
            Self::CheckKernel
            | Self::EnsureSysctls
            | Self::EnsurePackages
            | Self::EnsureFiles
            | Self::EnsureServices
            | Self::StartService
            | Self::RestartService
            | Self::RegisterNode
            | Self::CheckContainerStart
            | Self::CleanUp
            | Self::ResetDevice
            | Self::Reboot
            | Self::EraseDisks => Executor::Agent,
            Self::PowerOn
            | Self::PowerOff
            | Self::Shutdown
            | Self::PowerCycle
            | Self::Reset
            | Self::SetBootDevice
            | Self::InsertMedia
            | Self::EjectMedia
            | Self::IdentifyLed
            | Self::Reimage => Executor::Bmc,
        }
    }

    /// Whether it may take something from service, at once or at the next start: a pause holds it.
    pub const fn is_disruptive(self) -> bool {
        match self {
            Self::EnsureSysctls
            | Self::EnsurePackages
            | Self::EnsureFiles
            | Self::EnsureServices
            | Self::RestartService
            | Self::PowerOn
            | Self::PowerOff
            | Self::Shutdown
            | Self::PowerCycle
            | Self::Reset
            | Self::SetBootDevice
            | Self::InsertMedia
            | Self::EjectMedia
            | Self::CleanUp
            | Self::ResetDevice
            | Self::Reboot
            | Self::Reimage
            | Self::EraseDisks => true,
            Self::CheckKernel
            | Self::StartService
            | Self::RegisterNode
            | Self::CheckContainerStart
            | Self::IdentifyLed => false,
        }
    }

    /// Whether it interrupts what the machine does, so that one that serves needs leave for it. Less than
    /// [`Self::is_disruptive`], which is what a pause stops.
    pub const fn interrupts(self) -> bool {
        match self {
            // The scripts of a package, and of what it brings up to date, may restart what runs.
            Self::EnsurePackages
            | Self::RestartService
            | Self::PowerOff
            | Self::Shutdown
            | Self::PowerCycle
            | Self::Reset
            | Self::ResetDevice
            | Self::Reboot
            | Self::Reimage
            | Self::EraseDisks => true,
            Self::EnsureSysctls
            | Self::EnsureFiles
            | Self::EnsureServices
            | Self::PowerOn
            | Self::SetBootDevice
            | Self::InsertMedia
            | Self::EjectMedia
            | Self::CheckKernel
            | Self::StartService
            | Self::RegisterNode
            | Self::CheckContainerStart
            | Self::CleanUp
            | Self::IdentifyLed => false,
        }
    }

    /// What it destroys for good; it needs the ledger's leave for that, beside the one to disturb the machine.
    pub const fn destroys(self) -> Option<Destruction> {
        match self {
            Self::EraseDisks => Some(Destruction::Erase),
            Self::Reimage => Some(Destruction::Reimage),
            Self::EnsureSysctls
            | Self::EnsurePackages
            | Self::EnsureFiles
            | Self::EnsureServices
            | Self::RestartService
            | Self::PowerOn
            | Self::PowerOff
            | Self::Shutdown
            | Self::PowerCycle
            | Self::Reset
            | Self::SetBootDevice
            | Self::InsertMedia
            | Self::EjectMedia
            | Self::CheckKernel
            | Self::StartService
            | Self::RegisterNode
            | Self::CheckContainerStart
            | Self::CleanUp
            | Self::ResetDevice
            | Self::Reboot
            | Self::IdentifyLed => None,
        }
    }
}

/// A service an agent looks after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// The container runtime.
    Containerd,
    /// What keeps the clock: chrony, systemd-timesyncd or an NTP daemon, whichever the machine has.
    TimeSync,
}

/// What a verb needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Arguments {
    /// Service of the agent's own to start or restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Kernel features to look for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Kernel settings by dotted name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Packages of the distribution, `NAME` or `NAME=VERSION`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 256)))]
    pub packages: Vec<String>,
    /// Files with settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub files: Vec<File>,
    /// Services of the system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub services: Vec<SystemService>,
    /// Labels of the Node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taints of the Node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// What to boot from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_device: Option<BootDevice>,
    /// How long the boot device counts; the next boot alone unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_until: Option<BootUntil>,
    /// URL of an image for the virtual drive, reachable for the management controller.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media: String,
    /// Disks, each by its serial number; by its kernel name where it tells none. Several may stand in one text with commas
    /// between them, as a parameter of a workflow brings them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(regex(pattern = r"^[^*?]+$"), length(max = 1024)))]
    pub disks: Vec<String>,
    /// Device as a Problem names it: a block device or partition (`sda1`), a network interface (`eno1`), an NVMe
    /// controller (`nvme0`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(
        regex(pattern = r"^([A-Za-z0-9][A-Za-z0-9_.:!-]*|\$\{parameters\.[a-zA-Z]+\})?$"),
        length(max = 64)
    )]
    pub device: String,
    /// The lamp; lit unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub led: Option<Led>,
}

/// What a machine boots from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BootDevice {
    /// The network.
    Pxe,
    /// Its first disk.
    Disk,
    /// The optical drive, virtual media included.
    Cdrom,
    /// The firmware's own screens.
    Bios,
}

/// How long a boot device counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BootUntil {
    /// For the next boot.
    #[default]
    NextBoot,
    /// Until it is set anew.
    Changed,
}

/// The lamp that shows which machine it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Led {
    /// Lit.
    #[default]
    On,
    /// Dark.
    Off,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OrderPhase {
    /// Not yet seen by the one who is to carry it out.
    #[default]
    Pending,
    /// Seen and begun.
    Accepted,
    /// Not begun and never will be.
    Refused,
    /// Done.
    Done,
    /// Begun and not brought to its end; see [`OrderStatus::uncertain`].
    Failed,
}

impl OrderPhase {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Accepted => "Accepted",
            Self::Refused => "Refused",
            Self::Done => "Done",
            Self::Failed => "Failed",
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Accepted => false,
            Self::Refused | Self::Done | Self::Failed => true,
        }
    }
}

/// Why an order was refused, where that matters to whoever gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Refusal {
    /// A pause or `handsOff` held when it came: it is to be given anew, after a fresh look at its cause.
    Held,
}

/// What became of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatus {
    /// How far it is.
    #[serde(default)]
    pub phase: OrderPhase,
    /// What happened, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why it was refused, where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// What it printed, at most [`OUTPUT_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Failed, and nobody can tell whether it took effect: it is not repeated blindly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncertain: bool,
    /// What was sent to the management controller, oldest first, each written down before it was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub acts: Vec<Act>,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}
