//! The workflows a first cluster needs. They are objects like any other and may be changed.

pub mod power;

use std::time::Duration;

use kube::api::PostParams;
use kube::{Api, Client};
use muster_api::order::{Arguments, Service, Verb};
use muster_api::workflow::{Action, OrderTemplate, Parameter, Step, WorkflowPurpose, WorkflowSpec};
use muster_api::{GoDuration, Workflow};
use muster_control::is_conflict;

/// Name of the workflow that makes a machine carry its role.
pub const INSTALL_ROLE: &str = "install-role";
/// Name of the workflow that restarts a container runtime that hangs or is gone.
pub const RESTART_RUNTIME: &str = "restart-runtime";
/// Name of the workflow that ends a machine's life.
pub const RETIRE: &str = "retire";

fn step(name: &str, action: Action, deadline: u64) -> Step {
    Step::new(name, action, GoDuration(Duration::from_secs(deadline)))
}

fn order(name: &str, verb: Verb, service: Option<Service>, deadline: u64, attempts: u32) -> Step {
    let arguments = Arguments { service, ..Arguments::default() };
    Step { order: Some(OrderTemplate { verb, arguments }), attempts, ..step(name, Action::Order, deadline) }
}

/// A check that fails once may have been interrupted; one that fails three times tells of the machine.
fn probation() -> Step {
    Step { attempts: 3, ..step("probation", Action::Probation, 120) }
}

/// Kernel features, kernel settings, runtime, node, probation.
pub fn install_role() -> Workflow {
    let spec = WorkflowSpec {
        purpose: WorkflowPurpose::Provision,
        steps: vec![
            order("check-kernel", Verb::CheckKernel, None, 60, 1),
            order("kernel-settings", Verb::EnsureSysctls, None, 60, 2),
            order("start-runtime", Verb::StartService, Some(Service::Containerd), 120, 3),
            order("register-node", Verb::RegisterNode, None, 60, 3),
            probation(),
            step("healthy", Action::Healthy, 60),
        ],
        ..WorkflowSpec::default()
    };
    Workflow::new(INSTALL_ROLE, spec)
}

/// Grant, cordon, restart, probation, back to service.
pub fn restart_runtime() -> Workflow {
    let spec = WorkflowSpec {
        purpose: WorkflowPurpose::Repair,
        heals: vec!["runtime.hung".to_owned(), "runtime.dead".to_owned()],
        steps: vec![
            step("grant", Action::Disrupt, 3600),
            step("cordon", Action::Cordon, 60),
            order("restart-runtime", Verb::RestartService, Some(Service::Containerd), 120, 3),
            probation(),
            step("uncordon", Action::Uncordon, 60),
            step("healthy", Action::Healthy, 60),
        ],
        finally: vec![step("release", Action::Release, 60)],
        ..WorkflowSpec::default()
    };
    Workflow::new(RESTART_RUNTIME, spec)
}

/// Approval, grant, cordon, drain, the end of the machine's life. Its record is kept.
pub fn retire() -> Workflow {
    let reason = Parameter {
        name: "reason".to_owned(),
        description: "why the machine goes".to_owned(),
        required: true,
        ..Parameter::default()
    };
    let spec = WorkflowSpec {
        purpose: WorkflowPurpose::Person,
        parameters: vec![reason],
        steps: vec![
            step("allowed", Action::Approve, 24 * 3600),
            step("grant", Action::Disrupt, 3600),
            step("cordon", Action::Cordon, 60),
            step("drain", Action::Drain, 1800),
            step("retired", Action::Retire, 60),
        ],
        finally: vec![step("release", Action::Release, 60)],
        ..WorkflowSpec::default()
    };
    Workflow::new(RETIRE, spec)
}

/// Creates the workflows that are not there yet; those that are stay as they are.
///
/// # Errors
/// Those of the create requests.
pub async fn ensure(client: &Client) -> Result<(), kube::Error> {
    let api: Api<Workflow> = Api::all(client.clone());
    for workflow in [install_role(), restart_runtime(), retire()].into_iter().chain(power::all()) {
        match api.create(&PostParams::default(), &workflow).await {
            Err(error) if !is_conflict(&error) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}
