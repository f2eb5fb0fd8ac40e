//! Binds machines to claims: the claim's role becomes the machine's, by compare-and-swap, so that no two claims and no
//! person are ever overwritten.

mod plan;
mod write;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::claim::{CLAIMED_BY, RELEASES};
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::{Inventory, Machine, MachineClaim, MachineRole};
use muster_control::expression::{self, Expression, ExpressionError};
use muster_control::{Acted, Cause, Driver, Informer, Next, ObjectKey, Outcome, Pass, Queue, Sweep, Watched};
use serde_json::{Value, json};
use std::time::Duration;

use crate::Context;
use plan::{Candidate, Life};

const VARIABLES: &[&str] = &["machine", "inventory"];
/// A machine that changed while it was planned upon is soon seen as it is.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

struct Claims {
    context: Context,
    claims: Informer<MachineClaim>,
    machines: Informer<Machine>,
    inventories: Informer<Inventory>,
    roles: Informer<MachineRole>,
}

/// What a claim cannot be served for: reason and message.
type Refusal = (&'static str, String);

pub(crate) fn start(context: &Context) {
    let claims = Claims {
        context: context.clone(),
        claims: context.informers.of(),
        machines: context.informers.of(),
        inventories: context.informers.of(),
        roles: context.informers.of(),
    };
    let queue = Queue::new();
    claims.wire(&queue);
    Sweep::new("claims", context.config.sweep_every, context.metrics.clone())
        .refreshing(&claims.machines)
        .refreshing(&claims.inventories)
        .refreshing(&claims.roles)
        .over(&claims.claims, &queue)
        .start(&context.tasks);
    // One worker: two claims never reach for one machine at once, and where another writer does, the version tells.
    Driver::new("claims", context.metrics.clone()).start(&context.tasks, &queue, claims);
}

/// Whether a claim may see a machine otherwise than before.
fn differs(old: &Machine, new: &Machine) -> bool {
    let seen = |machine: &Machine| {
        let status = machine.status.clone().unwrap_or_default();
        let accepted = condition::find(&status.conditions, ACCEPTED).map(|verdict| verdict.status);
        let claim = machine.annotations().get(CLAIMED_BY).cloned();
        (machine.spec.clone(), machine.labels().clone(), claim, status.phase, accepted)
    };
    seen(old) != seen(new)
}

impl Claims {
    fn wire(&self, queue: &Queue<ObjectKey>) {
        let to = queue.clone();
        self.claims.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
        self.on(&self.machines, queue, differs);
        self.on(&self.inventories, queue, |old, new| old.status != new.status);
        self.on(&self.roles, queue, |_, _| false);
    }

    /// Has every claim looked at when an object comes, goes, or changes so that it matters.
    fn on<K: Watched>(&self, informer: &Informer<K>, queue: &Queue<ObjectKey>, matters: fn(&K, &K) -> bool) {
        let (to, claims) = (queue.clone(), self.claims.clone());
        informer.on_change(move |change| {
            let both = change.old.as_ref().zip(change.new.as_ref());
            if both.is_none_or(|(old, new)| matters(old, new)) {
                for claim in claims.list() {
                    to.add(ObjectKey::of(&*claim), Cause::Watch);
                }
            }
        });
    }

    fn refusal(
        &self,
        claim: &MachineClaim,
        expression: Option<&Result<Expression, ExpressionError>>,
    ) -> Option<Refusal> {
        let role = &claim.spec.role;
        if self.roles.get(&ObjectKey::cluster(role)).is_none() {
            let message =
                format!("spec.role: there is no MachineRole {role:?}; create it or correct the name");
            return Some(("UnknownRole", message));
        }
        let error = expression.and_then(|compiled| compiled.as_ref().err())?;
        Some(("BadExpression", format!("spec.where: {error}")))
    }

    fn candidate(&self, machine: &Machine, expression: Option<&Expression>, now: Timestamp) -> Candidate {
        let status = machine.status.clone().unwrap_or_default();
        let accepted = condition::find(&status.conditions, ACCEPTED);
        Candidate {
            name: machine.name_any(),
            site: machine.spec.site.clone(),
            rack: machine.spec.rack.clone(),
            role: machine.spec.role.clone(),
            claimed_by: machine.annotations().get(CLAIMED_BY).cloned().unwrap_or_default(),
            phase: status.phase,
            accepted: accepted.is_some_and(|verdict| verdict.status == Status::True),
            left_alone: machine.spec.hands_off.as_ref().is_some_and(|hands_off| now < hands_off.until),
            fits: expression.is_none_or(|expression| self.fits(machine, expression)),
        }
    }

    /// What an expression cannot say of a machine does not hold of it.
    fn fits(&self, machine: &Machine, expression: &Expression) -> bool {
        let inventory = self.inventories.get(&ObjectKey::of(machine));
        let inventory = inventory.as_deref().map_or(Value::Null, |found| json!(found));
        let inventory = expression::view("inventory", &inventory);
        expression.evaluate(&[("machine", &json!(machine)), ("inventory", inventory)]) == Ok(true)
    }

    fn plan(&self, claim: &MachineClaim, expression: Option<&Expression>) -> plan::Plan {
        let life = if claim.metadata.deletion_timestamp.is_some() { Life::Ends } else { Life::Serves };
        let now = self.context.clock.now();
        let machines = self.machines.list();
        let candidates: Vec<Candidate> =
            machines.iter().map(|machine| self.candidate(machine, expression, now)).collect();
        plan::plan(&claim.name_any(), &claim.spec, life, &candidates)
    }

    async fn serve(&self, claim: &MachineClaim) -> Result<Outcome, kube::Error> {
        let ends = claim.metadata.deletion_timestamp.is_some();
        let text = &claim.spec.where_;
        let compiled = (!text.is_empty()).then(|| Expression::compile(text, VARIABLES));
        let role = ObjectKey::cluster(&claim.spec.role);
        if self.roles.get(&role).is_none() && !ends {
            // A watch may be behind.
            self.roles.read(&role).await?;
        }
        let refusal = self.refusal(claim, compiled.as_ref()).filter(|_| !ends);
        let mut plan = self.plan(claim, compiled.as_ref().and_then(|compiled| compiled.as_ref().ok()));
        if refusal.is_some() {
            plan.bind.clear();
            plan.release.clear();
        }
        let acted = if plan.is_idle() { Acted::Nothing } else { Acted::Something };
        if !self.carry_out(claim, &plan).await? {
            return Ok(Outcome { acted, next: Next::After(LOOK_AGAIN) });
        }
        if ends {
            self.hold(claim, false).await?;
            return Ok(Outcome::ACTED);
        }
        let written = self.report(claim, refusal, &plan).await?;
        let acted = if acted == Acted::Nothing { written } else { acted };
        Ok(Outcome { acted, next: Next::Change })
    }
}

impl Pass for Claims {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.machines.ready().await;
        self.inventories.ready().await;
        self.roles.ready().await;
        let Some(claim) = self.claims.get(key) else { return Ok(Outcome::IDLE) };
        let held = claim.finalizers().iter().any(|name| name == RELEASES);
        match (claim.metadata.deletion_timestamp.is_some(), held) {
            (true, false) => Ok(Outcome::IDLE),
            (false, false) => {
                self.hold(&claim, true).await?;
                Ok(Outcome::ACTED)
            }
            (_, true) => self.serve(&claim).await,
        }
    }
}
