//! The repairs a first cluster has: workflows for the rungs, and policies that say which rungs a class has.
//!
//! Which rungs, and why in this order: `docs/repair.md`.

use std::time::Duration;

use muster_api::order::{Service, Verb};
use muster_api::problem::canary::CANARY;
use muster_api::repair::{Mode, RepairPolicySpec, Rung, RungAction};
use muster_api::workflow::{Action, Parameter, Step, WorkflowPurpose, WorkflowSpec};
use muster_api::{GoDuration, RepairPolicy, Workflow};

use super::{order, probation, required, step};

/// Name of the workflow that restarts a container runtime that hangs or is gone.
pub const RESTART_RUNTIME: &str = "restart-runtime";
/// Name of the workflow that restarts what keeps a machine's clock.
pub const RESTART_TIME_SYNC: &str = "restart-time-sync";
/// Name of the workflow that makes room on a file system.
pub const CLEAN_UP: &str = "clean-up";
/// Name of the workflow that resets a device.
pub const RESET_DEVICE: &str = "reset-device";
/// Name of the workflow that has a machine boot anew.
pub const REBOOT: &str = "reboot";
/// Name of the workflow that installs a machine anew from the image of its role.
pub const REIMAGE: &str = "reimage";
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

/// Restarts what keeps the clock.
pub fn restart_time_sync() -> Workflow {
    repair(RESTART_TIME_SYNC, vec![order("restart", Verb::RestartService, Some(Service::TimeSync), 180, 2)])
}

/// Something that is done to the part that a problem names.
fn to_component(name: &str, verb: Verb, minutes: u64) -> Workflow {
    let mut act = order(name, verb, None, minutes * MINUTE, 1);
    if let Some(order) = &mut act.order {
        order.arguments.device = "${parameters.component}".to_owned();
    }
    let mut workflow = repair(name, vec![act]);
    workflow.spec.parameters = vec![required("component", "the part, as a Problem names it")];
    workflow
}

/// Makes room on a file system.
pub fn clean_up() -> Workflow {
    to_component(CLEAN_UP, Verb::CleanUp, 15)
}

/// Resets a network interface or an NVMe controller.
pub fn reset_device() -> Workflow {
    to_component(RESET_DEVICE, Verb::ResetDevice, 5)
}

/// Has the operating system boot anew.
pub fn reboot() -> Workflow {
    repair(REBOOT, vec![order("reboot", Verb::Reboot, None, 15 * MINUTE, 1)])
}

/// Writes the image of its role over what is on the machine, and installs the role.
pub fn reimage() -> Workflow {
    let mut reimage = order("reimage", Verb::Reimage, None, 5 * MINUTE, 1);
    // The leave to destroy may take long: so many a day, and no more.
    reimage.pending = Some(GoDuration(Duration::from_secs(2 * HOUR)));
    if let Some(order) = &mut reimage.order {
        order.arguments.media = "${parameters.media}".to_owned();
    }
    let mut steps = vec![reimage];
    steps.extend(super::role_steps());
    // The image is written and booted before the agent takes an order.
    steps[1].pending = Some(GoDuration(Duration::from_secs(HOUR)));
    let mut workflow = repair(REIMAGE, steps);
    // The grant is not given before there is that leave too.
    workflow.spec.steps[0].deadline = GoDuration(Duration::from_secs(4 * HOUR));
    workflow.spec.parameters = vec![Parameter {
        name: "media".to_owned(),
        description: "image for the virtual drive, instead of that of the role".to_owned(),
        ..Parameter::default()
    }];
    workflow
}

/// Nothing but the proof that the machine is well.
pub fn return_to_service() -> Workflow {
    repair(RETURN, Vec::new())
}

/// Answers a fault that was made up, by a question to the agent that changes nothing.
pub fn canary() -> Workflow {
    let steps = vec![order("ask", Verb::CheckKernel, None, MINUTE, 1)];
    let spec = WorkflowSpec { purpose: WorkflowPurpose::Repair, steps, ..WorkflowSpec::default() };
    Workflow::new(CANARY, spec)
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
    vec![
        restart_runtime(),
        restart_time_sync(),
        clean_up(),
        reset_device(),
        reboot(),
        reimage(),
        return_to_service(),
        quarantine(),
    ]
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
    use RungAction::{
        CleanUp, Observe, PowerCycle, Quarantine, Reboot, Reimage, ResetDevice, RestartService,
    };
    let last = || rung(Quarantine, 25 * 60);
    vec![
        policy(
            "runtime",
            &["runtime.hung", "runtime.dead"],
            vec![
                Rung { limit: 2, ..rung(RestartService, 15) },
                rung(Reboot, 30),
                rung(PowerCycle, 30),
                last(),
            ],
        ),
        // Whom nobody hears takes no order; its management controller does.
        policy("agent", &["agent.dead"], vec![rung(Observe, 2), rung(PowerCycle, 30), last()]),
        policy("silent", &["machine.silent"], vec![rung(Observe, 15), rung(PowerCycle, 30), last()]),
        // A task that waits for a device does not end, and the operating system waits for the task.
        policy("stalled-io", &["io.stall"], vec![rung(Observe, 5), rung(PowerCycle, 30), last()]),
        policy(
            "nic",
            &["nic.down", "nic.flap", "nic.hang", "nic.slow"],
            vec![rung(Observe, 10), rung(ResetDevice, 15), rung(PowerCycle, 30), last()],
        ),
        policy("readonly", &["fs.readonly"], vec![rung(Reboot, 30), rung(Reimage, 4 * 60), last()]),
        policy("full", &["fs.full", "fs.inodes"], vec![rung(CleanUp, 30), rung(Reimage, 4 * 60), last()]),
        // It goes on with what it has, and nobody knows what that is.
        policy(
            "kernel",
            &["kernel.oops", "cpu.lockup"],
            vec![rung(Observe, 10), rung(Reboot, 30), rung(PowerCycle, 30), last()],
        ),
        policy("oom", &["mem.oom_storm"], vec![rung(Observe, 10), rung(Reboot, 30), last()]),
        policy(
            "clock",
            &["clock.skew"],
            vec![
                rung(Observe, 2),
                Rung { workflow: RESTART_TIME_SYNC.to_owned(), ..rung(RestartService, 15) },
                last(),
            ],
        ),
        policy("software", &["reboot.loop", "drift"], vec![rung(Observe, 60), rung(Reimage, 4 * 60), last()]),
        policy(
            "hands",
            &[
                "disk.media_error",
                "disk.failing",
                "mem.ecc",
                "hardware.missing",
                "temp.high",
                "fan.failed",
                "power.failed",
                "nic.loss",
                "slow",
            ],
            vec![rung(Observe, 60), last()],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template;

    #[test]
    fn a_canary_disturbs_nothing() {
        let spec = canary().spec;
        template::check(&spec).unwrap();
        assert!(!spec.steps.iter().any(template::disturbs), "{:?}", spec.steps);
    }

    #[test]
    fn every_repair_can_be_run_and_asks_before_it_interrupts() {
        for workflow in workflows() {
            let name = workflow.metadata.name.clone().unwrap();
            template::check(&workflow.spec).unwrap();
            let first = workflow.spec.steps.iter().position(|step| step.action == Action::Disrupt).unwrap();
            let acts = workflow.spec.steps.iter().position(template::disturbs).unwrap_or(usize::MAX);
            assert!(first < acts, "{name}");
        }
    }

    #[test]
    fn a4_room_is_made_on_a_full_disk_and_nothing_reboots_it() {
        let policies = policies();
        for class in ["fs.full", "fs.inodes"] {
            let policy = policies.iter().find(|policy| policy.spec.classes.iter().any(|one| one == class));
            let actions: Vec<RungAction> =
                policy.unwrap().spec.rungs.iter().map(|rung| rung.action).collect();
            assert_eq!(actions[0], RungAction::CleanUp);
            assert!(!actions.contains(&RungAction::Reboot) && !actions.contains(&RungAction::PowerCycle));
        }
    }

    #[test]
    fn a_machine_is_only_installed_anew_when_it_is_out_of_service() {
        let mut spec = reimage().spec;
        spec.steps.remove(0);
        let refused = template::check(&spec).unwrap_err().to_string();
        assert!(refused.starts_with("spec.steps[1]: this destroys for good"), "{refused}");
    }
}
