//! The workflows a first cluster needs. They are objects like any other and may be changed.

pub mod power;
pub mod repairs;

use std::time::Duration;

use kube::Client;
use muster_api::order::{Arguments, Service, Verb};
use muster_api::workflow::{Action, OrderTemplate, Parameter, Step, WorkflowPurpose, WorkflowSpec};
use muster_api::{GoDuration, Workflow};
use muster_control::install;

/// Name of the workflow that makes a machine carry its role.
pub const INSTALL_ROLE: &str = "install-role";
/// Name of the workflow that ends a machine's life.
pub const RETIRE: &str = "retire";
/// Name of the workflow that erases a machine's disks before it ends its life.
pub const RETIRE_ERASED: &str = "retire-erased";

fn step(name: &str, action: Action, deadline: u64) -> Step {
    Step::new(name, action, GoDuration(Duration::from_secs(deadline)))
}

fn order(name: &str, verb: Verb, service: Option<Service>, deadline: u64, attempts: u32) -> Step {
    let arguments = Arguments { service, ..Arguments::default() };
    Step { order: Some(OrderTemplate { verb, arguments }), attempts, ..step(name, Action::Order, deadline) }
}

/// An order that may take long once it is begun; a silent agent shows as soon as with any other.
fn slow(name: &str, verb: Verb, deadline: u64) -> Step {
    Step { pending: Some(GoDuration(Duration::from_secs(60))), ..order(name, verb, None, deadline, 2) }
}

/// A check that fails once may have been interrupted; one that fails three times tells of the machine.
fn probation() -> Step {
    Step { attempts: 3, ..step("probation", Action::Probation, 120) }
}

/// Kernel features, packages, files, kernel settings, services, runtime, node.
fn role_steps() -> Vec<Step> {
    vec![
        order("check-kernel", Verb::CheckKernel, None, 60, 1),
        slow("packages", Verb::EnsurePackages, 60 * 60),
        order("files", Verb::EnsureFiles, None, 60, 2),
        order("kernel-settings", Verb::EnsureSysctls, None, 60, 2),
        slow("services", Verb::EnsureServices, 15 * 60),
        order("start-runtime", Verb::StartService, Some(Service::Containerd), 120, 3),
        order("register-node", Verb::RegisterNode, None, 60, 3),
    ]
}

/// What the role asks for, then probation.
pub fn install_role() -> Workflow {
    let mut steps = role_steps();
    steps.extend([probation(), step("healthy", Action::Healthy, 60)]);
    let spec = WorkflowSpec { purpose: WorkflowPurpose::Provision, steps, ..WorkflowSpec::default() };
    Workflow::new(INSTALL_ROLE, spec)
}

/// Approval, grant, cordon, drain, the end of the machine's life. Its record is kept.
pub fn retire() -> Workflow {
    retirement(RETIRE, Vec::new(), Vec::new())
}

/// The same with its disks erased before the end.
pub fn retire_erased() -> Workflow {
    let disks = required("disks", "serial numbers of the disks that are erased, with commas between them");
    // A disk of 20 TB at 250 MB/s takes 22 hours.
    let mut erase = order("erase", Verb::EraseDisks, None, 72 * 3600, 1);
    if let Some(order) = &mut erase.order {
        order.arguments.disks = vec!["${parameters.disks}".to_owned()];
    }
    retirement(RETIRE_ERASED, vec![disks], vec![erase])
}

fn required(name: &str, description: &str) -> Parameter {
    Parameter {
        name: name.to_owned(),
        description: description.to_owned(),
        required: true,
        ..Parameter::default()
    }
}

fn retirement(name: &str, more: Vec<Parameter>, last: Vec<Step>) -> Workflow {
    let mut parameters = vec![required("reason", "why the machine goes")];
    parameters.extend(more);
    let mut steps = vec![
        step("allowed", Action::Approve, 24 * 3600),
        step("grant", Action::Disrupt, 3600),
        step("cordon", Action::Cordon, 60),
        step("drain", Action::Drain, 1800),
    ];
    if !last.is_empty() {
        // So many a day and no more: the machine serves until there is leave to destroy.
        steps[1].deadline = GoDuration(Duration::from_secs(72 * 3600));
    }
    steps.extend(last);
    steps.push(step("retired", Action::Retire, 60));
    let spec = WorkflowSpec {
        purpose: WorkflowPurpose::Person,
        parameters,
        steps,
        finally: vec![step("release", Action::Release, 60)],
        ..WorkflowSpec::default()
    };
    Workflow::new(name, spec)
}

/// All of them.
pub fn all() -> Vec<Workflow> {
    let mut all = power::all();
    all.extend(repairs::workflows());
    all.extend([install_role(), retire(), retire_erased(), repairs::canary()]);
    all
}

/// Brings the workflows and the repair policies; what a person has changed stays as it is.
///
/// # Errors
/// Those of the requests.
pub async fn ensure(client: &Client) -> Result<(), kube::Error> {
    for workflow in all() {
        install::builtin(client, workflow).await?;
    }
    for policy in repairs::policies() {
        install::builtin(client, policy).await?;
    }
    Ok(())
}
