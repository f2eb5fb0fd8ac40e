//! Carries out the orders for controllers: one at a time per machine, each act written down before it is sent.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use muster_api::machine::Phase;
use muster_api::order::{Answer, Executor, OUTPUT_BYTES_MAX, OrderPhase, OrderStatus, Refusal, Verb};
use muster_api::{Machine, Order};
use muster_base::clock::elapsed;
use muster_brake::{Act, AskError};
use muster_control::events::{Events, Note, Severity};
use muster_control::{
    Acted, Cause, Change, Driver, Informer, Next, ObjectKey, Outcome, Pass, Queue, Sweep, is_not_found,
};
use parking_lot::Mutex;

use self::plan::{Decision, Seen, World};
use crate::Context;
use crate::address::Protocol;
use crate::bmc::{Command, ReadError, Sent};
use crate::line;
use crate::pacing::Purpose;

/// Tasks that carry out orders; each holds one machine for one request.
const WORKERS: usize = 128;
/// Where a crowd stands before one controller.
const CROWDED: Duration = Duration::from_millis(150);

/// Why a round could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    #[error("order {order}: its status could not be written; nothing was sent after that")]
    Journal {
        order: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("order {order} is not begun")]
    Ask {
        order: String,
        #[source]
        source: AskError,
    },
    #[error("machine {machine} cannot be read")]
    Machine {
        machine: String,
        #[source]
        source: Box<kube::Error>,
    },
}

/// Names of the unfinished orders for controllers, by machine.
type Open = Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>;

struct Desk {
    context: Context,
    orders: Informer<Order>,
    machines: Informer<Machine>,
    open: Open,
    events: Events,
}

pub(crate) fn start(context: &Context) {
    let desk = Arc::new(Desk {
        context: context.clone(),
        orders: context.informers.of(),
        machines: context.informers.of(),
        open: Open::default(),
        events: Events::new(context.client.clone(), "muster-bmc", Arc::clone(&context.clock)),
    });
    let queue = Queue::new();
    let (to, open) = (queue.clone(), Arc::clone(&desk.open));
    desk.orders.on_change(move |change| note(change, &open, &to));
    Sweep::new("bmc", context.config.sweep_every, context.metrics.clone())
        .refreshing(&desk.orders)
        .over_unsettled(&desk.machines, &queue, {
            let desk = Arc::clone(&desk);
            move |machine| desk.next_order(&machine.name_any()).is_none()
        })
        .start(&context.tasks);
    Driver::new("bmc", context.metrics.clone()).workers(WORKERS).start(&context.tasks, &queue, desk);
}

fn is_open(order: &Order) -> bool {
    order.spec.verb.executor() == Executor::Bmc
        && !order.status.as_ref().is_some_and(|status| status.phase.is_final())
}

fn note(change: &Change<Order>, open: &Open, queue: &Queue<ObjectKey>) {
    let Some(order) = change.new.as_ref().or(change.old.as_ref()) else { return };
    let (machine, is_open) = (&order.spec.machine, change.new.as_ref().is_some_and(|order| is_open(order)));
    let mut open = open.lock();
    if is_open {
        open.entry(machine.clone()).or_default().insert(change.key.name.clone());
    } else if let Some(names) = open.get_mut(machine) {
        names.remove(&change.key.name);
        if names.is_empty() {
            open.remove(machine);
        }
    }
    drop(open);
    if order.spec.verb.executor() == Executor::Bmc {
        queue.add(ObjectKey::cluster(machine), Cause::Watch);
    }
}

/// What a look or an act came to.
enum Reached<T> {
    Told(T),
    Crowded,
}

impl Desk {
    /// The order to carry out now: one begun first, then in the order of their fences.
    fn next_order(&self, machine: &str) -> Option<Arc<Order>> {
        let names: Vec<String> = self.open.lock().get(machine)?.iter().cloned().collect();
        let open =
            names.iter().filter_map(|name| self.orders.get(&ObjectKey::cluster(name))).filter(|o| is_open(o));
        open.min_by_key(|order| {
            let begun = order.status.as_ref().is_some_and(|status| status.phase == OrderPhase::Accepted);
            let created = order.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (!begun, order.spec.generation, created, order.name_any())
        })
    }

    fn world(&self, machine: &Machine, seen: Seen) -> World {
        let now = self.context.clock.now();
        let redfish = machine.spec.bmc.as_ref().is_some_and(|bmc| bmc.address.starts_with("redfish"));
        World {
            now,
            seen,
            fence: machine.status.as_ref().map_or(0, |status| status.fence),
            held: held(machine, now),
            serves: machine
                .status
                .as_ref()
                .is_some_and(|s| matches!(s.phase, Phase::Healthy | Phase::Probation)),
            settle: Duration::from_secs(if redfish { 10 } else { 4 }),
        }
    }

    /// The machine as it stands in the store: what is decided by it must not be of yesterday.
    async fn machine(&self, name: &str) -> Result<Option<Machine>, DeskError> {
        let api: Api<Machine> = Api::all(self.context.client.clone());
        match api.get(name).await {
            Ok(machine) => Ok(Some(machine)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(source) => Err(DeskError::Machine { machine: name.to_owned(), source: Box::new(source) }),
        }
    }

    /// How long one request for this order may take.
    fn limit(&self, order: &Order) -> Duration {
        let now = self.context.clock.now();
        let left = elapsed(now, plan::end(order, now)).max(Duration::from_secs(1));
        self.context.config.request_timeout.min(left)
    }

    async fn look(&self, order: &Order, machine: &Machine) -> Reached<Seen> {
        let line = match line::open(&self.context, machine, self.limit(order)).await {
            Ok(line) => line,
            Err(error) => return Reached::Told(Seen::Nothing(error.to_string())),
        };
        let Ok(turn) = self.context.gates.enter(&line.address.controller(), Purpose::Order).await else {
            return Reached::Crowded;
        };
        let seen = line.bmc.power().await;
        turn.end(!matches!(seen, Err(ReadError::Silent(_))));
        Reached::Told(match seen {
            Ok(power) => Seen::Power(power),
            Err(error) => Seen::Nothing(error.to_string()),
        })
    }

    /// Writes against the version that was planned upon: of two actors only one gets to send.
    async fn write(&self, order: &Order, status: OrderStatus) -> Result<Order, DeskError> {
        let name = order.name_any();
        let written = Order { status: Some(bounded(status)), ..order.clone() };
        Api::<Order>::all(self.context.client.clone())
            .replace_status(&name, &PostParams::default(), &written)
            .await
            .map_err(|source| DeskError::Journal { order: name, source: Box::new(source) })
    }

    async fn send(
        &self,
        order: &Order,
        machine: &Machine,
        status: OrderStatus,
        command: &Command,
    ) -> Result<Outcome, DeskError> {
        let line = line::open(&self.context, machine, self.limit(order)).await;
        let turn = match &line {
            Ok(line) => match self.context.gates.enter(&line.address.controller(), Purpose::Order).await {
                Ok(turn) => Some(turn),
                Err(_) => return Ok(Outcome::IDLE.again_after(CROWDED)),
            },
            Err(_) => None,
        };
        let journaled = self.write(order, status).await?;
        self.audit(&journaled, machine, "the act is being sent", None);
        let sent = match &line {
            Ok(line) => line.bmc.send(command).await,
            Err(error) => Sent::new(Answer::NotSent, error.to_string()),
        };
        if let Some(turn) = turn {
            turn.end(!matches!(sent.answer, Answer::NotSent | Answer::Silence));
        }
        let status = journaled.status.clone().unwrap_or_default();
        let status =
            plan::answered(order.spec.verb, status, sent.answer, &sent.message, self.context.clock.now());
        let done = status.phase.is_final();
        self.audit(&journaled, machine, "the act was answered", Some(&sent));
        self.write(&journaled, status).await?;
        self.tell(&journaled, machine, &sent).await;
        let wait = match line.map(|line| line.address.protocol) {
            Ok(Protocol::Redfish) => Duration::from_secs(2),
            Ok(Protocol::Ipmi) | Err(_) => Duration::from_millis(300),
        };
        Ok(if done { Outcome::ACTED } else { Outcome::ACTED.again_after(wait) })
    }

    /// The line of the log that every privileged act leaves.
    fn audit(&self, order: &Order, machine: &Machine, what: &str, sent: Option<&Sent>) {
        let act =
            order.status.as_ref().and_then(|status| status.acts.last()).map_or("", |act| act.act.as_str());
        tracing::info!(
            target: "muster_audit",
            machine = machine.name_any(),
            bmc = machine.spec.bmc.as_ref().map_or("", |bmc| bmc.address.as_str()),
            act,
            order = order.name_any(),
            run = order.spec.run,
            step = order.spec.step,
            attempt = order.spec.attempt,
            generation = order.spec.generation,
            answer = sent.map(|sent| format!("{:?}", sent.answer)).unwrap_or_default(),
            message = sent.map_or("", |sent| sent.message.as_str()),
            "{what}"
        );
    }

    async fn tell(&self, order: &Order, machine: &Machine, sent: &Sent) {
        let act =
            order.status.as_ref().and_then(|status| status.acts.last()).map_or("", |act| act.act.as_str());
        let spec = &order.spec;
        let message = format!(
            "{act}: {:?} ({}); run {}, step {}, attempt {}, order {}",
            sent.answer,
            sent.message,
            spec.run,
            spec.step,
            spec.attempt,
            order.name_any()
        );
        let about = ObjectReference {
            api_version: Some(format!("{}/{}", muster_api::GROUP, muster_api::VERSION)),
            kind: Some("Machine".to_owned()),
            name: machine.metadata.name.clone(),
            uid: machine.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        let severity = match sent.answer {
            Answer::Acknowledged => Severity::Normal,
            Answer::Refused | Answer::NotSent | Answer::Silence => Severity::Warning,
        };
        self.events.tell(&about, Note { severity, reason: "BmcAct", message: &message }).await;
    }

    async fn refuse(&self, order: &Order, message: String) -> Result<Outcome, DeskError> {
        let now = Some(self.context.clock.now());
        let status = order.status.clone().unwrap_or_default();
        let uncertain = !status.acts.is_empty();
        let phase = if uncertain { OrderPhase::Failed } else { OrderPhase::Refused };
        self.write(order, OrderStatus { phase, message, ended_at: now, uncertain, ..status }).await?;
        Ok(Outcome::ACTED)
    }

    /// Gives an order back that a pause or `handsOff` holds. What has been sent already is seen to its end: a machine
    /// between off and on would be worse.
    async fn give_back(&self, order: &Order) -> Result<bool, DeskError> {
        let status = order.status.clone().unwrap_or_default();
        if !status.acts.is_empty() || order.spec.verb == Verb::IdentifyLed {
            return Ok(false);
        }
        let asked = self.context.brake.ask(&order.spec.machine, Act::of(order.spec.verb)).await;
        let hold = asked.map_err(|source| DeskError::Ask { order: order.name_any(), source })?;
        let Some(hold) = hold else { return Ok(false) };
        let now = Some(self.context.clock.now());
        let given_back = OrderStatus {
            phase: OrderPhase::Refused,
            refusal: Some(Refusal::Held),
            message: hold.to_string(),
            ended_at: now,
            ..status
        };
        self.write(order, given_back).await?;
        Ok(true)
    }

    async fn round(&self, order: &Order, machine: &Machine) -> Result<Outcome, DeskError> {
        let mut world = self.world(machine, Seen::NotLooked);
        let mut decision = plan::plan(order, &world);
        if decision == Decision::Look {
            match self.look(order, machine).await {
                Reached::Crowded => return Ok(Outcome::IDLE.again_after(CROWDED)),
                Reached::Told(seen) => world = self.world(machine, seen),
            }
            decision = plan::plan(order, &world);
        }
        match decision {
            Decision::Nothing | Decision::Look => Ok(Outcome::IDLE),
            Decision::Wait(wait) => Ok(Outcome { acted: Acted::Nothing, next: Next::After(wait) }),
            Decision::Write(status) => {
                let done = status.phase.is_final();
                self.write(order, *status).await?;
                Ok(if done { Outcome::ACTED } else { Outcome::ACTED.again_after(Duration::from_secs(1)) })
            }
            Decision::Send(status, command) => {
                if self.give_back(order).await? {
                    return Ok(Outcome::ACTED);
                }
                self.send(order, machine, *status, &command).await
            }
        }
    }
}

/// Why nobody may touch the machine now.
fn held(machine: &Machine, now: jiff::Timestamp) -> Option<String> {
    let hands_off = machine.spec.hands_off.as_ref().filter(|hands_off| hands_off.until > now)?;
    Some(format!("hands off until {}, asked by {}: {}", hands_off.until, hands_off.by, hands_off.reason))
}

fn bounded(mut status: OrderStatus) -> OrderStatus {
    let mut end = status.message.len().min(OUTPUT_BYTES_MAX);
    while !status.message.is_char_boundary(end) {
        end -= 1;
    }
    status.message.truncate(end);
    status
}

impl Pass for Desk {
    type Key = ObjectKey;
    type Error = DeskError;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, DeskError> {
        self.orders.ready().await;
        self.machines.ready().await;
        let Some(order) = self.next_order(&key.name) else { return Ok(Outcome::IDLE) };
        let Some(machine) = self.machine(&key.name).await? else {
            return self.refuse(&order, format!("spec.machine: there is no Machine {:?}", key.name)).await;
        };
        if machine.spec.bmc.is_none() {
            return self
                .refuse(&order, "the machine has no spec.bmc: name its controller first".to_owned())
                .await;
        }
        self.round(&order, &machine).await
    }
}
