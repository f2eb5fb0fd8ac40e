//! What an imagined machine does on order. What needs a kernel or a process is imagined; the rest is the agent's own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use muster_agent::orders::{Execute, Executor, Outcome};
use muster_agent::runtime::fake::Health;
use muster_api::order::{OrderSpec, Verb};
use muster_base::task::Kind;

use super::{Effect, Machine};

pub(super) struct Hands {
    pub(super) machine: Arc<Machine>,
    pub(super) executor: Executor,
}

impl Execute for Hands {
    fn execute<'a>(&'a self, order: &'a OrderSpec) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            self.note(order);
            match order.verb {
                Verb::CheckKernel => done(format!("{} features are there", order.arguments.features.len())),
                Verb::EnsureSysctls => done(format!("{} changed", order.arguments.sysctls.len())),
                Verb::EnsurePackages => done(format!("{} installed", order.arguments.packages.join(", "))),
                Verb::EnsureServices => done(format!("{} run", order.arguments.services.len())),
                Verb::EraseDisks => done(format!("{} disks are erased", order.arguments.disks.len())),
                Verb::StartService | Verb::RestartService => self.start_runtime().await,
                Verb::Reboot => self.reboot(),
                Verb::CleanUp | Verb::ResetDevice => done(format!("{} is well", order.arguments.device)),
                Verb::EnsureFiles
                | Verb::RegisterNode
                | Verb::CheckContainerStart
                | Verb::PowerOn
                | Verb::PowerOff
                | Verb::Shutdown
                | Verb::PowerCycle
                | Verb::Reset
                | Verb::SetBootDevice
                | Verb::InsertMedia
                | Verb::EjectMedia
                | Verb::Reimage
                | Verb::IdentifyLed => self.executor.execute(order).await,
            }
        })
    }
}

fn done(message: String) -> Outcome {
    Outcome::Done { message, output: String::new() }
}

impl Hands {
    fn note(&self, order: &OrderSpec) {
        self.machine.effects.lock().push(Effect {
            at: self.machine.parts.clock.now(),
            machine: self.machine.parts.name.clone(),
            run: order.run.clone(),
            step: order.step.clone(),
            attempt: order.attempt,
            generation: order.generation,
            verb: order.verb,
        });
    }

    /// The agent ends with the machine, a moment after it has answered.
    fn reboot(&self) -> Outcome {
        let machine = Arc::clone(&self.machine);
        self.machine.parts.world.spawn(Kind::Job, format!("{} boots", self.machine.name()), async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            machine.reboot();
        });
        Outcome::Begun { message: "the machine was told to boot anew".to_owned() }
    }

    async fn start_runtime(&self) -> Outcome {
        let took = self.machine.dice.between(Duration::from_millis(300), Duration::from_secs(4));
        tokio::time::sleep(took).await;
        let helps = {
            let mut stubborn = self.machine.stubborn.lock();
            let helps = *stubborn == 0;
            *stubborn = stubborn.saturating_sub(1);
            helps
        };
        if !helps {
            let message = "containerd does not answer after the restart".to_owned();
            return Outcome::Failed { message, output: String::new() };
        }
        self.machine.started.store(true, Ordering::Relaxed);
        self.machine.runtime.set_health(Health::Well);
        done(format!("containerd answers after {} ms", took.as_millis()))
    }
}
