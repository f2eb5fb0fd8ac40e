//! Who obeys orders: the agents, the management controllers, and a person who comes when called.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::machine::{Phase, Transition};
use muster_api::order::{Executor, OrderPhase, OrderStatus, Verb};
use muster_api::repair::RungAction;
use muster_api::{Machine, Order};

use crate::dice::Dice;

/// An agent that cannot take an order is asked again after so long.
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(5);
/// A person comes within a shift or a day.
pub(crate) const PERSON: (Duration, Duration) =
    (Duration::from_secs(4 * 3600), Duration::from_secs(24 * 3600));

/// What an order does to the machine.
pub(crate) const fn act(verb: Verb) -> Option<RungAction> {
    match verb {
        Verb::RestartService => Some(RungAction::RestartService),
        Verb::PowerCycle | Verb::Reset => Some(RungAction::PowerCycle),
        Verb::CleanUp => Some(RungAction::CleanUp),
        Verb::ResetDevice => Some(RungAction::ResetDevice),
        Verb::Reboot => Some(RungAction::Reboot),
        Verb::Reimage => Some(RungAction::Reimage),
        Verb::CheckKernel
        | Verb::EnsureSysctls
        | Verb::EnsurePackages
        | Verb::EnsureFiles
        | Verb::EnsureServices
        | Verb::StartService
        | Verb::RegisterNode
        | Verb::CheckContainerStart
        | Verb::PowerOn
        | Verb::PowerOff
        | Verb::Shutdown
        | Verb::SetBootDevice
        | Verb::InsertMedia
        | Verb::EjectMedia
        | Verb::IdentifyLed
        | Verb::EraseDisks => None,
    }
}

/// How long it takes.
pub(crate) fn takes(verb: Verb, dice: &mut Dice) -> Duration {
    let (least, most) = match verb.executor() {
        Executor::Bmc => (10, 20),
        Executor::Agent if act(verb).is_some() => (2, 10),
        Executor::Agent => (1, 2),
    };
    dice.between(Duration::from_secs(least), Duration::from_secs(most))
}

pub(crate) fn answered(order: &Order, phase: OrderPhase, message: &str, now: Timestamp) -> Order {
    let mut order = order.clone();
    let status = order.status.get_or_insert_default();
    status.phase = phase;
    message.clone_into(&mut status.message);
    match phase {
        OrderPhase::Accepted => status.started_at = Some(now),
        OrderPhase::Done | OrderPhase::Failed | OrderPhase::Refused => status.ended_at = Some(now),
        OrderPhase::Pending => {}
    }
    order
}

/// The phase an order is in.
pub(crate) fn phase(order: &Order) -> OrderPhase {
    order.status.as_ref().map(|status: &OrderStatus| status.phase).unwrap_or_default()
}

/// A person has mended a machine and has it installed anew.
pub(crate) fn mended(machine: &Machine, now: Timestamp) -> Machine {
    let mut machine = machine.clone();
    let status = machine.status.get_or_insert_default();
    for to in [Phase::Provisioning, Phase::Probation, Phase::Healthy] {
        let step = Transition {
            at: now,
            from: None,
            to,
            reason: "mended by a person".to_owned(),
            run: String::new(),
        };
        status.enter(step, None).expect("a quarantined machine is installed anew");
    }
    machine
}
