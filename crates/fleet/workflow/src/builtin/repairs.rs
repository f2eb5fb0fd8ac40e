//! The repairs a first cluster has: workflows for the rungs, and policies that say which rungs a class has.
//!
//! Which rungs, and why in this order: `docs/repair.md`.

use std::time::Duration;

use muster_api::order::{Service, Verb};
use muster_api::repair::{Mode, RepairPolicySpec, Rung, RungAction};
use muster_api::workflow::{Action, Step, WorkflowPurpose, WorkflowSpec};
use muster_api::{RepairPolicy, Workflow};

use super::{order, probation, step};

/// Name of the workflow that restarts a container runtime that hangs or is gone.
pub const RESTART_RUNTIME: &str = "restart-runtime";
/// Name of the workflow that brings a machine back whose problem went away although its repair failed.
pub const RETURN: &str = "return-to-service";
/// Name of the workflow that keeps a machine away from service and tells a person.
pub const QUARANTINE: &str = "quarantine";

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Grant, cordon, what is done, probation, back to service.
fn repair(name: &str, acts: Vec<Step>) -> Workflow {
    let mut steps = vec![step("grant", Action::Disrupt, HOUR), step("cordon", Action::Cordon, MINUTE)];
    steps.extend(acts);
    steps.extend([
        probation(),
        step("uncordon", Action::Uncordon, MINUTE),
        step("healthy", Action::Healthy, MINUTE),
    ]);
    let spec = WorkflowSpec {
        purpose: WorkflowPurpose::Repair,
        steps,
        finally: vec![step("release", Action::Release, MINUTE)],
        ..WorkflowSpec::default()
    };
    Workflow::new(name, spec)
}

/// Restarts the container runtime; containers live on.
pub fn restart_runtime() -> Workflow {
    let restart = order("restart-runtime", Verb::RestartService, Some(Service::Containerd), 120, 3);
    repair(RESTART_RUNTIME, vec![restart])
}

/// Nothing but the proof that the machine is well.
pub fn return_to_service() -> Workflow {
    repair(RETURN, Vec::new())
}

/// A person is told first: the leave to take the machine away may take long. Pods go as far as their budgets allow.
pub fn quarantine() -> Workflow {
    let spec = WorkflowSpec {
        purpose: WorkflowPurpose::Repair,
        steps: vec![
            Step { attempts: 5, ..step("ticket", Action::Ticket, 5 * MINUTE) },
            step("grant", Action::Disrupt, 24 * HOUR),
            step("cordon", Action::Cordon, MINUTE),
            step("quarantine", Action::Quarantine, MINUTE),
            step("drain", Action::Drain, HOUR),
        ],
        finally: vec![step("release", Action::Release, MINUTE)],
        ..WorkflowSpec::default()
    };
    Workflow::new(QUARANTINE, spec)
}

/// The workflows of the rungs.
pub(super) fn workflows() -> Vec<Workflow> {
    vec![restart_runtime(), return_to_service(), quarantine()]
}

const fn rung(action: RungAction, minutes: u64) -> Rung {
    Rung::new(action, Duration::from_secs(minutes * MINUTE))
}

fn policy(name: &str, classes: &[&str], rungs: Vec<Rung>) -> RepairPolicy {
    let spec = RepairPolicySpec {
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        mode: Mode::Act,
        rungs,
        ..RepairPolicySpec::default()
    };
    RepairPolicy::new(name, spec)
}

/// The policies.
pub fn policies() -> Vec<RepairPolicy> {
    use RungAction::{Observe, PowerCycle, Quarantine, RestartService};
    let last = || rung(Quarantine, 25 * 60);
    vec![
        policy(
            "runtime",
            &["runtime.hung", "runtime.dead"],
            vec![Rung { limit: 2, ..rung(RestartService, 15) }, rung(PowerCycle, 30), last()],
        ),
        policy("agent", &["agent.dead"], vec![rung(Observe, 2), rung(PowerCycle, 30), last()]),
        policy("silent", &["machine.silent"], vec![rung(Observe, 15), rung(PowerCycle, 30), last()]),
        policy("stalled-io", &["io.stall"], vec![rung(Observe, 5), rung(PowerCycle, 30), last()]),
        policy("nic", &["nic.down", "nic.flap"], vec![rung(Observe, 10), rung(PowerCycle, 30), last()]),
        policy("readonly", &["fs.readonly"], vec![rung(PowerCycle, 30), last()]),
        policy("oom", &["mem.oom_storm"], vec![rung(Observe, 10), rung(PowerCycle, 30), last()]),
        // No rung of today cures these by itself.
        policy(
            "people",
            &["fs.full", "fs.inodes", "clock.skew", "reboot.loop", "drift"],
            vec![rung(Observe, 60), last()],
        ),
        policy(
            "hands",
            &["disk.media_error", "mem.ecc", "hardware.missing", "nic.loss", "slow"],
            vec![rung(Observe, 60), last()],
        ),
    ]
}
