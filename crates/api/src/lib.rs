//! Every kind Muster adds to the Kubernetes API: `muster.dev/v1alpha1`, cluster-scoped.
//!
//! Types and their CustomResourceDefinitions, nothing else: no I/O, no decisions. What one object alone shows to be
//! wrong is refused by its schema; what takes another object to see is answered by the owner of the kind with the
//! condition [`condition::ACCEPTED`].

#![allow(unreachable_pub, reason = "the KubeSchema derive expands to pub items inside functions")]
#![allow(clippy::duplicated_attributes, reason = "printer columns share a type")]

pub mod condition;
pub mod crds;
pub mod disruption;
pub mod duration;
pub mod inventory;
pub mod machine;
pub mod order;
pub mod probe;
pub mod problem;
pub mod role;
pub mod site;
pub mod workflow;

pub use condition::Condition;
pub use disruption::Disruption;
pub use disruption::budget;
pub use disruption::budget::DisruptionBudget;
pub use disruption::ledger::Ledger;
pub use disruption::pause;
pub use disruption::pause::Pause;
pub use duration::GoDuration;
pub use inventory::Inventory;
pub use inventory::bmc::BmcReading;
pub use machine::Machine;
pub use machine::claim;
pub use machine::claim::MachineClaim;
pub use machine::join;
pub use machine::profile;
pub use order::Order;
pub use problem::{Problem, repair};
pub use profile::HardwareProfile;
pub use rack::Rack;
pub use repair::RepairPolicy;
pub use role::MachineRole;
pub use site::Site;
pub use site::rack;
pub use workflow::{Run, RunChunk, Workflow};

/// API group of every kind.
pub const GROUP: &str = "muster.dev";
/// Version of every kind.
pub const VERSION: &str = "v1alpha1";
/// Namespace of the Secrets with which Muster makes itself known to others: to management controllers, to mail servers.
pub const SECRETS_NAMESPACE: &str = "muster-system";
/// Annotation on a Node: the Run that cordoned it, so that only its owner uncordons it.
pub const CORDONED_BY: &str = "muster.dev/cordoned-by";
/// Annotation in which the author of a change says why; the history keeps it with that change.
pub const REASON: &str = "muster.dev/reason";
/// Label on objects that concern one machine.
pub const MACHINE_LABEL: &str = "muster.dev/machine";
/// Label on a Node: the role its machine carries.
pub const ROLE_LABEL: &str = "muster.dev/role";
