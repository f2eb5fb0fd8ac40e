//! What an order for a controller needs next. No choice is left to the executor.
//!
//! An act is planned only from a journal that stands in the store; what the journal does not tell is observed. Power acts
//! aim at a state, so one that is seen not to have been reached may be sent again; a reset may not.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::Order;
use muster_api::order::{ACTS_MAX, Act, Answer, BootDevice, BootUntil, OrderPhase, OrderStatus, Verb};
use muster_base::clock::elapsed;

use crate::bmc::{Command, Power};

/// How long an order without an end may take.
const WITHOUT_END: Duration = Duration::from_secs(300);
/// An order ends so long before it expires, that its end is told in time.
const MARGIN_MAX: Duration = Duration::from_secs(2);
/// Wait before an act that was not taken is sent again.
const SEND_AGAIN: Duration = Duration::from_secs(2);
/// How often one act is sent at most.
const SENDS_MAX: usize = 4;

/// What is seen of the machine's power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    NotLooked,
    Power(Power),
    /// It could not be seen, and why.
    Nothing(String),
}

/// What is known beyond the order.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) seen: Seen,
    /// The highest fence of the machine; lower orders are stale.
    pub(super) fence: i64,
    /// Why nobody may touch the machine now.
    pub(super) held: Option<String>,
    /// Whether it serves: then nobody may take its power away.
    pub(super) serves: bool,
    /// An act that was sent is certain to have taken effect, or not, after this.
    pub(super) settle: Duration,
}

/// One round.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    Nothing,
    /// See the power state first.
    Look,
    Wait(Duration),
    /// Only the status changes.
    Write(Box<OrderStatus>),
    /// The status is written, then the command is sent.
    Send(Box<OrderStatus>, Command),
}

/// When the order must have ended.
pub(super) fn end(order: &Order, now: Timestamp) -> Timestamp {
    let created = order.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    match order.spec.expires_at {
        Some(expires) => {
            let margin = (elapsed(created, expires) / 10).min(MARGIN_MAX);
            expires.checked_sub(margin).unwrap_or(expires)
        }
        None => created.checked_add(WITHOUT_END).unwrap_or(now),
    }
}

/// The states a verb aims at, one after the other, each with the act that brings it about.
fn goals(verb: Verb) -> &'static [(Verb, Power)] {
    match verb {
        Verb::PowerOn => &[(Verb::PowerOn, Power::On)],
        Verb::PowerOff => &[(Verb::PowerOff, Power::Off)],
        Verb::Shutdown => &[(Verb::Shutdown, Power::Off)],
        Verb::PowerCycle | Verb::Reimage => &[(Verb::PowerOff, Power::Off), (Verb::PowerOn, Power::On)],
        Verb::Reset
        | Verb::SetBootDevice
        | Verb::InsertMedia
        | Verb::EjectMedia
        | Verb::IdentifyLed
        | Verb::EraseDisks
        | Verb::CheckKernel
        | Verb::EnsureSysctls
        | Verb::EnsurePackages
        | Verb::EnsureFiles
        | Verb::EnsureServices
        | Verb::StartService
        | Verb::RestartService
        | Verb::RegisterNode
        | Verb::CheckContainerStart
        | Verb::CleanUp
        | Verb::ResetDevice
        | Verb::Reboot => &[],
    }
}

fn takes_power_away(verb: Verb) -> bool {
    matches!(verb, Verb::PowerOff | Verb::Shutdown | Verb::PowerCycle | Verb::Reset | Verb::Reimage)
}

/// What has to be set before the power is switched.
fn settings(order: &Order) -> &'static [Verb] {
    if order.spec.verb != Verb::Reimage {
        &[]
    } else if order.spec.arguments.media.is_empty() {
        &[Verb::SetBootDevice]
    } else {
        &[Verb::InsertMedia, Verb::SetBootDevice]
    }
}

/// What to boot from: a machine that is installed anew does so once, from where its image is.
fn boot(order: &Order) -> Option<(BootDevice, BootUntil)> {
    let arguments = &order.spec.arguments;
    if order.spec.verb == Verb::Reimage {
        let device = if arguments.media.is_empty() { BootDevice::Pxe } else { BootDevice::Cdrom };
        return Some((device, BootUntil::NextBoot));
    }
    Some((arguments.boot_device?, arguments.boot_until.unwrap_or(BootUntil::NextBoot)))
}

fn command(order: &Order, act: Verb) -> Option<Command> {
    let arguments = &order.spec.arguments;
    Some(match act {
        Verb::PowerOn => Command::On,
        Verb::PowerOff => Command::Off,
        Verb::Shutdown => Command::Soft,
        Verb::Reset => Command::Reset,
        Verb::SetBootDevice => {
            let (device, until) = boot(order)?;
            Command::Boot(device, until)
        }
        Verb::InsertMedia => Command::Insert(arguments.media.clone()).filter_empty()?,
        Verb::EjectMedia => Command::Eject,
        Verb::IdentifyLed => Command::Light(arguments.led.unwrap_or_default()),
        Verb::PowerCycle
        | Verb::Reimage
        | Verb::EraseDisks
        | Verb::CleanUp
        | Verb::ResetDevice
        | Verb::Reboot
        | Verb::CheckKernel
        | Verb::EnsureSysctls
        | Verb::EnsurePackages
        | Verb::EnsureFiles
        | Verb::EnsureServices
        | Verb::StartService
        | Verb::RestartService
        | Verb::RegisterNode
        | Verb::CheckContainerStart => return None,
    })
}

impl Command {
    fn filter_empty(self) -> Option<Self> {
        (self != Self::Insert(String::new())).then_some(self)
    }
}

/// Decides the next round of `order`.
pub(super) fn plan(order: &Order, world: &World) -> Decision {
    let status = order.status.clone().unwrap_or_default();
    if status.phase.is_final() {
        return Decision::Nothing;
    }
    if status.acts.is_empty()
        && let Some(why) = refusal(order, &status, world)
    {
        return ended(status, OrderPhase::Refused, why, world.now);
    }
    if order.spec.generation < world.fence {
        let why = format!("run {} lost the machine to a newer one meanwhile", order.spec.run);
        return give_up(status, why, world);
    }
    let goals = goals(order.spec.verb);
    let is_set = |verb: &Verb| {
        let mut acts = status.acts.iter();
        acts.any(|act| act.act == *verb && act.answer == Some(Answer::Acknowledged))
    };
    if let Some(verb) = settings(order).iter().find(|verb| !is_set(verb)) {
        setting(order, status, *verb, world)
    } else if order.spec.verb == Verb::Reset {
        reset(order, status, world)
    } else if goals.is_empty() {
        setting(order, status, order.spec.verb, world)
    } else {
        towards(order, goals, status, world)
    }
}

/// Why the order is not begun at all.
fn refusal(order: &Order, status: &OrderStatus, world: &World) -> Option<String> {
    if order.spec.generation < world.fence {
        return Some(format!(
            "generation {} is older than {}, the machine's",
            order.spec.generation, world.fence
        ));
    }
    let expired = order.spec.expires_at.is_some_and(|end| end <= world.now);
    if status.phase == OrderPhase::Pending && expired {
        return Some("it expired before it could begin".to_owned());
    }
    if order.spec.verb != Verb::IdentifyLed
        && let Some(why) = &world.held
    {
        return Some(why.clone());
    }
    if world.serves && takes_power_away(order.spec.verb) {
        return Some("the machine serves: it is to be taken out of service under a grant first".to_owned());
    }
    let first = goals(order.spec.verb).first().map_or(order.spec.verb, |(act, _)| *act);
    command(order, first).is_none().then(|| "arguments: what the verb needs is missing".to_owned())
}

fn ended(mut status: OrderStatus, phase: OrderPhase, message: impl Into<String>, now: Timestamp) -> Decision {
    status.phase = phase;
    status.message = message.into();
    status.started_at.get_or_insert(now);
    status.ended_at = Some(now);
    Decision::Write(Box::new(status))
}

fn uncertain(mut status: OrderStatus, message: impl Into<String>, now: Timestamp) -> Decision {
    status.uncertain = true;
    ended(status, OrderPhase::Failed, message, now)
}

fn send(order: &Order, mut status: OrderStatus, act: Verb, now: Timestamp) -> Decision {
    let Some(command) = command(order, act) else { return Decision::Nothing };
    status.phase = OrderPhase::Accepted;
    status.started_at.get_or_insert(now);
    status.message = format!("{} is being sent", act.as_str());
    status.acts.push(Act { act, sent_at: now, answer: None, observed: String::new(), observed_at: None });
    Decision::Send(Box::new(status), command)
}

/// The order is heeded, and says what it waits for.
fn waits(mut status: OrderStatus, message: String, wait: Duration, now: Timestamp) -> Decision {
    if status.phase == OrderPhase::Accepted && status.message == message {
        return Decision::Wait(wait);
    }
    status.phase = OrderPhase::Accepted;
    status.started_at.get_or_insert(now);
    status.message = message;
    Decision::Write(Box::new(status))
}

/// The order is heeded before the first look, which a silent controller may hold until the deadline.
fn look(status: OrderStatus, now: Timestamp) -> Decision {
    if status.phase == OrderPhase::Pending {
        return waits(status, "the power state is looked at first".to_owned(), SEND_AGAIN, now);
    }
    Decision::Look
}

fn is_over(order: &Order, now: Timestamp) -> bool {
    end(order, now) <= now
}

/// Brings about one state after the other.
fn towards(order: &Order, goals: &[(Verb, Power)], mut status: OrderStatus, world: &World) -> Decision {
    let stage_of = |act: &Act| goals.iter().position(|(one, _)| *one == act.act);
    let last = status.acts.iter().rposition(|act| stage_of(act).is_some());
    let stage = last.and_then(|index| stage_of(&status.acts[index])).unwrap_or(0);
    let (act, goal) = goals[stage];
    let power = match &world.seen {
        Seen::NotLooked => return look(status, world.now),
        Seen::Power(power) => *power,
        Seen::Nothing(why) if is_over(order, world.now) => return give_up(status, why.clone(), world),
        Seen::Nothing(why) => return waits(status, why.clone(), SEND_AGAIN, world.now),
    };
    if power == goal {
        let acted = last.is_some();
        if let Some(act) = last.map(|index| &mut status.acts[index]) {
            act.observed = power.as_str().to_owned();
            act.observed_at = Some(world.now);
        }
        return match goals.get(stage + 1) {
            // A machine between off and on is brought to its end; one that was found off is left so.
            Some(_) if !acted && is_over(order, world.now) => {
                give_up(status, "no time was left".to_owned(), world)
            }
            Some((next, _)) => send(order, status, *next, world.now),
            None if acted => {
                ended(status, OrderPhase::Done, format!("power is {}", power.as_str()), world.now)
            }
            None => {
                ended(status, OrderPhase::Done, format!("power was {} already", power.as_str()), world.now)
            }
        };
    }
    if is_over(order, world.now) {
        return give_up(status, format!("power is still {}", power.as_str()), world);
    }
    match last.map(|index| &status.acts[index]) {
        None if power == Power::Changing => Decision::Wait(SEND_AGAIN),
        None => send(order, status, act, world.now),
        Some(sent) if sends_again(&status, sent, world) => send(order, status, act, world.now),
        Some(sent) => {
            let wait = poll(elapsed(sent.sent_at, world.now), world.settle);
            let (act, at) = (sent.act.as_str(), sent.sent_at);
            match sent.answer {
                Some(_) => Decision::Wait(wait),
                // The actor died between the record of the act and its answer.
                None => {
                    let power = power.as_str();
                    let message =
                        format!("whether {act} of {at} was sent is not known, and power is still {power}");
                    waits(status, message, wait, world.now)
                }
            }
        }
    }
}

/// Whether an act that did not bring its state about is to be sent once more.
fn sends_again(status: &OrderStatus, sent: &Act, world: &World) -> bool {
    let since = elapsed(sent.sent_at, world.now);
    let sends = status.acts.iter().filter(|act| act.act == sent.act).count();
    let may = match sent.answer {
        Some(Answer::Acknowledged | Answer::Refused) => false,
        Some(Answer::NotSent) => since >= SEND_AGAIN,
        // An operating system that is asked to end takes its time.
        None | Some(Answer::Silence) => sent.act != Verb::Shutdown && since >= world.settle,
    };
    may && sends < SENDS_MAX && status.acts.len() < ACTS_MAX
}

fn poll(since: Duration, settle: Duration) -> Duration {
    let first = settle / 8;
    if since < settle {
        first
    } else if since < Duration::from_secs(60) {
        Duration::from_secs(2)
    } else {
        Duration::from_secs(5)
    }
}

/// The order ends without its state: certain only where the controller took the act, or never got it, and can be seen.
fn give_up(status: OrderStatus, why: String, world: &World) -> Decision {
    let seen = matches!(world.seen, Seen::Power(_));
    let certain = match status.acts.last() {
        None => seen || world.seen == Seen::NotLooked,
        Some(act) => match act.answer {
            Some(Answer::Acknowledged | Answer::NotSent | Answer::Refused) => {
                seen || act.observed_at.is_some()
            }
            None | Some(Answer::Silence) => false,
        },
    };
    let sent = match status.acts.last() {
        None => "nothing was sent".to_owned(),
        Some(act) => match act.answer {
            Some(Answer::NotSent) => format!("{} could not be sent", act.act.as_str()),
            Some(Answer::Refused) => format!("{} was refused", act.act.as_str()),
            Some(Answer::Acknowledged) => format!("{} was taken at {}", act.act.as_str(), act.sent_at),
            None | Some(Answer::Silence) => {
                format!("{} may have been sent at {}", act.act.as_str(), act.sent_at)
            }
        },
    };
    let message = format!("{why}; {sent}");
    if certain {
        ended(status, OrderPhase::Failed, message, world.now)
    } else {
        uncertain(status, message, world.now)
    }
}

/// The reset button: once.
fn reset(order: &Order, status: OrderStatus, world: &World) -> Decision {
    if let Some(act) = status.acts.last() {
        let why =
            format!("whether the reset of {} took effect is not known; it is not repeated", act.sent_at);
        return uncertain(status, why, world.now);
    }
    match &world.seen {
        Seen::NotLooked => look(status, world.now),
        Seen::Nothing(why) if is_over(order, world.now) => give_up(status, why.clone(), world),
        Seen::Nothing(why) => waits(status, why.clone(), SEND_AGAIN, world.now),
        Seen::Power(_) if is_over(order, world.now) => give_up(status, "no time was left".to_owned(), world),
        Seen::Power(Power::Off) => {
            ended(status, OrderPhase::Failed, "power is Off: there is nothing to reset", world.now)
        }
        Seen::Power(Power::Changing) => Decision::Wait(SEND_AGAIN),
        Seen::Power(Power::On) => send(order, status, Verb::Reset, world.now),
    }
}

/// What may be said twice: boot device, media, lamp.
fn setting(order: &Order, status: OrderStatus, verb: Verb, world: &World) -> Decision {
    let Some(act) = status.acts.iter().rfind(|act| act.act == verb) else {
        return send(order, status, verb, world.now);
    };
    let since = elapsed(act.sent_at, world.now);
    if is_over(order, world.now) || status.acts.len() >= ACTS_MAX {
        let why = if status.message.is_empty() { "no answer".to_owned() } else { status.message.clone() };
        return uncertain(status, why, world.now);
    }
    if since < SEND_AGAIN { Decision::Wait(SEND_AGAIN - since) } else { send(order, status, verb, world.now) }
}

/// What the answer to the last act makes of the order.
pub(super) fn answered(
    whole: Verb,
    mut status: OrderStatus,
    answer: Answer,
    message: &str,
    now: Timestamp,
) -> OrderStatus {
    let Some(act) = status.acts.last_mut() else { return status };
    act.answer = Some(answer);
    let verb = act.act;
    // What aims at a state of the power ends when that is seen.
    let aims = !goals(whole).is_empty();
    let decision = match answer {
        Answer::Acknowledged if !aims => ended(status, OrderPhase::Done, message, now),
        Answer::Refused => ended(status, OrderPhase::Failed, message, now),
        Answer::NotSent | Answer::Silence if verb == Verb::Reset => {
            uncertain(status, format!("{message}; the reset is not repeated"), now)
        }
        Answer::Acknowledged | Answer::NotSent | Answer::Silence => {
            status.message = message.to_owned();
            return status;
        }
    };
    match decision {
        Decision::Write(status) => *status,
        Decision::Nothing | Decision::Look | Decision::Wait(_) | Decision::Send(..) => OrderStatus::default(),
    }
}

#[cfg(test)]
mod tests;
