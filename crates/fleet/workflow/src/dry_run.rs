//! What a run would do: the very planner, in a world that obeys.
//!
//! Every wait holds at once, everybody who is asked agrees, every order succeeds at the first attempt. The lines are
//! those that a run records, made by the same function.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _};
use muster_api::disruption::{DisruptionPhase, DisruptionStatus};
use muster_api::order::{OrderPhase, OrderStatus, Verb};
use muster_api::workflow::{Action, Approval, PlanId, Run, RunPhase, RunSpec, RunStatus, StepStatus};
use muster_api::{Machine, MachineRole, Order, Workflow};

use crate::run::plan::{self, ContainerSeen, Effect, PodKey, PodSeen, World};
use crate::run::{NodeView, effect, evict};

/// Rounds after which a plan that does not end is given up.
const ROUNDS_MAX: u32 = 20_000_000;
/// Orders that are remembered; of those done again nobody is told.
const ORDERS_KEPT: usize = 2000;
/// Rounds without any change after which it is given up.
const IDLE_MAX: u32 = 100;

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Name of the workflow.
    pub workflow: String,
    /// Name of the machine.
    pub machine: String,
    /// Values for its parameters.
    pub parameters: BTreeMap<String, String>,
}

/// What would be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// Which plan.
    pub plan: Option<PlanId>,
    /// `STEP: ACTION`, in the order of the plan.
    pub lines: Vec<String>,
}

/// Why it cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The API.
    #[error("cannot read what a plan depends on")]
    Read(#[from] kube::Error),
    /// The run would be refused: the text begins with the field.
    #[error("{0}")]
    Refused(String),
    /// It would not end well even where everybody obeys.
    #[error("the run would end {phase}: {message}", phase = .phase.as_str())]
    Ends {
        /// How.
        phase: RunPhase,
        /// Why.
        message: String,
    },
    /// It would not end.
    #[error("the plan does not end; it stands at: {0}")]
    Endless(String),
}

/// What the steps have done, as `STEP: ACTION`.
pub fn recorded<'a>(steps: impl IntoIterator<Item = &'a StepStatus>) -> Vec<String> {
    let lines = steps
        .into_iter()
        .flat_map(|step| step.actions.iter().map(move |action| format!("{}: {action}", step.step.name)));
    lines.collect()
}

/// Reads what a plan depends on, and plans; nothing is written.
///
/// # Errors
/// [`DryRunError`].
pub async fn dry_run(client: &Client, ask: &Ask, now: Timestamp) -> Result<Actions, DryRunError> {
    let machine = Api::<Machine>::all(client.clone()).get_opt(&ask.machine).await?;
    let role = match &machine {
        Some(machine) if !machine.spec.role.is_empty() => {
            Api::<MachineRole>::all(client.clone()).get_opt(&machine.spec.role).await?
        }
        Some(_) | None => None,
    };
    let pods = evict::pods(client, &ask.machine).await?;
    let world = World {
        workflow: Api::<Workflow>::all(client.clone()).get_opt(&ask.workflow).await?.map(Arc::new),
        machine: machine.map(free).map(Arc::new),
        role: role.map(Arc::new),
        node: Api::<NodeView>::all(client.clone()).get_opt(&ask.machine).await?.map(Arc::new),
        pods,
        fresh: true,
        now,
        ..World::default()
    };
    let spec = RunSpec {
        workflow: ask.workflow.clone(),
        machine: ask.machine.clone(),
        parameters: ask.parameters.clone(),
        ..RunSpec::default()
    };
    imagined(Run::new("dry-run", spec), world)
}

/// As it is once the run that has it in hand is over.
fn free(mut machine: Machine) -> Machine {
    if let Some(status) = &mut machine.status {
        status.run = String::new();
    }
    machine
}

/// Runs `run` in a world that obeys.
pub(crate) fn imagined(mut run: Run, mut world: World) -> Result<Actions, DryRunError> {
    let mut actions = Actions::default();
    let mut idle = 0;
    for _ in 0..ROUNDS_MAX {
        agree(&mut run, &mut world);
        let plan = plan::plan(&run, &world);
        let status = run.status.clone().unwrap_or_default();
        if let Some(chunk) = plan.chunk {
            if chunk.done {
                actions.lines.extend(recorded(&chunk.steps));
            }
            let mut written = world.chunk.as_deref().cloned().unwrap_or_else(unnamed);
            written.status = Some(chunk);
            world.chunk = Some(Arc::new(written));
            idle = 0;
        } else if let Some(next) = plan.status {
            if next.chunk != status.chunk {
                world.chunk = None;
            }
            let over = next.phase.is_final();
            run.status = Some(next);
            if over {
                return ended(&run, actions);
            }
            idle = 0;
        } else if !plan.effects.is_empty() {
            for effect in plan.effects {
                obey(&run, &mut world, effect);
            }
            idle = 0;
        } else {
            idle += 1;
            if idle > IDLE_MAX {
                return Err(DryRunError::Endless(status.message));
            }
            let wait = plan.look_again.unwrap_or(Duration::from_secs(1)).max(Duration::from_millis(1));
            world.now = world.now.checked_add(wait).unwrap_or(world.now);
        }
    }
    Err(DryRunError::Endless(run.status.unwrap_or_default().message))
}

fn unnamed() -> muster_api::RunChunk {
    muster_api::RunChunk::new("dry-run", muster_api::workflow::RunChunkSpec::default())
}

fn ended(run: &Run, mut actions: Actions) -> Result<Actions, DryRunError> {
    let status: RunStatus = run.status.clone().unwrap_or_default();
    let refused = status.steps.is_empty() && status.template.is_none();
    if status.phase == RunPhase::Succeeded {
        actions.lines.extend(recorded(&status.steps));
        actions.plan = status.plan;
        return Ok(actions);
    }
    if refused {
        return Err(DryRunError::Refused(status.message));
    }
    Err(DryRunError::Ends { phase: status.phase, message: status.message })
}

/// Every expression holds and everybody who is asked agrees.
fn agree(run: &mut Run, world: &mut World) {
    let chunk = world.chunk.as_ref().and_then(|chunk| chunk.status.clone()).unwrap_or_default();
    let steps = run.status.clone().unwrap_or_default().steps;
    world.verdicts.clear();
    for step in steps.iter().chain(&chunk.steps).filter(|step| step.phase == RunPhase::Running) {
        let name = step.step.name.clone();
        match step.step.action {
            Action::Wait | Action::Verify => {
                world.verdicts.insert(name, Ok(true));
            }
            Action::Approve if !run.spec.approvals.iter().any(|word| word.step == name) => {
                let by = step.step.approvers.first().cloned().unwrap_or_else(|| "a person".to_owned());
                run.spec.approvals.push(Approval { step: name, by });
            }
            Action::Approve
            | Action::Disrupt
            | Action::Release
            | Action::Cordon
            | Action::Drain
            | Action::Uncordon
            | Action::Order
            | Action::Container
            | Action::Webhook
            | Action::Run
            | Action::Probation
            | Action::Healthy
            | Action::Quarantine
            | Action::Ticket
            | Action::Retire => {}
        }
    }
}

fn node(machine: &str, unschedulable: bool, owner: Option<String>) -> NodeView {
    let mut node = NodeView::named(machine);
    node.spec.unschedulable = unschedulable;
    node.metadata.annotations = owner.map(|owner| [(muster_api::CORDONED_BY.to_owned(), owner)].into());
    node
}

fn obey(run: &Run, world: &mut World, effect: Effect) {
    let machine = &run.spec.machine;
    match effect {
        Effect::Machine(change) => {
            let Some(old) = world.machine.clone() else { return };
            if let Ok(changed) = effect::changed(&old, run, world, change) {
                world.machine = Some(Arc::new(changed));
            }
        }
        Effect::Order(order) => done(world, machine, *order),
        Effect::Disruption(mut asked) => {
            let granted = DisruptionStatus { phase: DisruptionPhase::Granted, ..DisruptionStatus::default() };
            asked.status = Some(granted);
            let asked = Some(Arc::new(*asked));
            if asked.as_ref().is_some_and(|asked| asked.spec.act.is_some()) {
                world.destruction = asked;
            } else {
                world.disruption = asked;
            }
        }
        Effect::Release(name) => {
            for asked in [&mut world.disruption, &mut world.destruction].into_iter().flatten() {
                if asked.name_any() == name {
                    Arc::make_mut(asked).spec.released = true;
                }
            }
        }
        Effect::Cordon => world.node = Some(Arc::new(node(machine, true, Some(run.name_any())))),
        Effect::Uncordon => world.node = Some(Arc::new(node(machine, false, None))),
        Effect::Evict(pods) => leave(&mut world.pods, &pods),
        Effect::Container(pod) => {
            let ended = ContainerSeen::Ended { code: Some(0), tail: String::new() };
            world.containers.insert(pod.name, ended);
        }
        Effect::RemovePod(name) => {
            world.containers.remove(&name);
        }
        Effect::Call(call) => {
            let code = call.webhook.expect.first().copied().unwrap_or(200);
            let answer = crate::run::call::Answer::Status { code, text: String::new() };
            world.answers.insert(call.key, answer);
        }
        Effect::Mail(letter) => {
            let answer = crate::run::call::Answer::Status { code: 250, text: String::new() };
            world.answers.insert(letter.key, answer);
        }
        Effect::Child(mut child) => {
            child.status = Some(RunStatus { phase: RunPhase::Succeeded, ..RunStatus::default() });
            world.children.insert(child.name_any(), Arc::new(*child));
        }
        Effect::CancelChild(_) | Effect::Remove => {}
        Effect::Chunk(chunk) => world.chunk = Some(Arc::new(*chunk)),
    }
}

fn done(world: &mut World, machine: &str, mut order: Order) {
    order.status = Some(OrderStatus { phase: OrderPhase::Done, ..OrderStatus::default() });
    if order.spec.verb == Verb::RegisterNode && world.node.is_none() {
        world.node = Some(Arc::new(node(machine, false, None)));
    }
    // Those of other steps are looked at no more than a few rounds, and there may be many.
    if world.orders.len() > ORDERS_KEPT {
        world.orders.clear();
    }
    world.orders.insert(order.name_any(), Arc::new(order));
}

fn leave(pods: &mut Vec<PodSeen>, gone: &[PodKey]) {
    pods.retain(|pod| !gone.contains(&pod.key));
}
