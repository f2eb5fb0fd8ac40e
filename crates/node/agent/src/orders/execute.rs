//! The verbs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use muster_api::order::{Arguments, OrderPhase, OrderSpec, Service, Verb};
use muster_api::role::{Taint, TaintEffect};
use muster_base::clock::{SharedClock, elapsed};
use muster_base::error::chain;

use super::erase::{self, Disks};
use super::mend::MendHands;
use super::role::RoleHands;
use super::{kernel, sysctl};
use crate::cgroup::Cgroups;
use crate::containerd::Bringup;
use crate::image;
use crate::node::{Keeper, Registration};
use crate::pod::Qos;
use crate::runtime::{ContainerState, Runtime, RuntimeError, Sandbox, Scope, proto};

mod ready;

/// What carrying out an order takes.
pub struct Executor {
    /// None: the runtime is not ours to start or restart.
    pub service: Option<Arc<Bringup>>,
    pub runtime: Arc<dyn Runtime>,
    pub keeper: Arc<Keeper>,
    pub clock: SharedClock,
    pub cgroups: Cgroups,
    /// `/proc`, and the file that notes former kernel settings.
    pub proc: PathBuf,
    pub sysctl_note: PathBuf,
    pub logs_dir: PathBuf,
    /// What may be erased.
    pub disks: Disks,
    /// Where packages, files and services of a role go.
    pub role: RoleHands,
    /// What repairs are done with.
    pub mend: MendHands,
    /// Where the runtime keeps images.
    pub images_dir: PathBuf,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done {
        message: String,
        output: String,
    },
    Failed {
        message: String,
        output: String,
    },
    /// Under way, and its end shows only in the next boot.
    Begun {
        message: String,
    },
    /// Not begun: the order makes no sense here.
    Refused {
        message: String,
    },
}

impl Outcome {
    pub(super) fn phase(&self) -> OrderPhase {
        match self {
            Self::Done { .. } => OrderPhase::Done,
            Self::Failed { .. } => OrderPhase::Failed,
            Self::Begun { .. } => OrderPhase::Accepted,
            Self::Refused { .. } => OrderPhase::Refused,
        }
    }

    pub(super) fn message(&self) -> &str {
        match self {
            Self::Done { message, .. }
            | Self::Failed { message, .. }
            | Self::Begun { message }
            | Self::Refused { message } => message,
        }
    }

    pub(super) fn output(&self) -> &str {
        match self {
            Self::Done { output, .. } | Self::Failed { output, .. } => output,
            Self::Begun { .. } | Self::Refused { .. } => "",
        }
    }

    fn done(message: impl Into<String>) -> Self {
        Self::Done { message: message.into(), output: String::new() }
    }

    pub(super) fn failed(error: &dyn std::error::Error) -> Self {
        Self::Failed { message: chain(error), output: String::new() }
    }
}

/// The check container's sandbox bears this name in the runtime's lists.
const CHECK: &str = "muster-check";

impl super::Execute for Executor {
    fn execute<'a>(&'a self, order: &'a OrderSpec) -> BoxFuture<'a, Outcome> {
        Box::pin(self.carry_out(order))
    }
}

impl Executor {
    async fn carry_out(&self, order: &OrderSpec) -> Outcome {
        match order.verb {
            Verb::CheckKernel => self.check_kernel(&order.arguments),
            Verb::EnsureSysctls => self.sysctls(&order.arguments),
            Verb::EnsurePackages => self.role.packages(&order.arguments).await,
            Verb::EnsureFiles => self.role.files(&order.arguments).await,
            Verb::EnsureServices => self.role.services(&order.arguments).await,
            Verb::StartService => self.start_service(&order.arguments).await,
            Verb::RestartService => self.restart_service(&order.arguments).await,
            Verb::RegisterNode => self.register(&order.arguments).await,
            Verb::CheckContainerStart => self.check_start(order).await,
            Verb::CleanUp => {
                let device = &order.arguments.device;
                let now = self.clock.now().into();
                self.mend.make_room(device, self.runtime.as_ref(), &self.images_dir, now).await
            }
            Verb::ResetDevice => self.mend.reset_device(&order.arguments.device).await,
            Verb::Reboot => self.mend.reboot().await,
            Verb::EraseDisks => self.erase(&order.arguments).await,
            Verb::PowerOn
            | Verb::PowerOff
            | Verb::Shutdown
            | Verb::PowerCycle
            | Verb::Reset
            | Verb::SetBootDevice
            | Verb::InsertMedia
            | Verb::EjectMedia
            | Verb::IdentifyLed
            | Verb::Reimage => Outcome::Refused {
                message: "this is for the machine's management controller, not for its agent".to_owned(),
            },
        }
    }

    fn service(&self, arguments: &Arguments) -> Result<&Arc<Bringup>, Outcome> {
        match (arguments.service, &self.service) {
            (Some(Service::Containerd), Some(bringup)) => Ok(bringup),
            (Some(Service::Containerd), None) => Err(Outcome::Refused {
                message: "this machine uses a container runtime that Muster did not start: restart it by its own service manager"
                    .to_owned(),
            }),
            (Some(Service::TimeSync), _) => Err(Outcome::Refused {
                message: "arguments.service: what keeps the clock is restarted, not started".to_owned(),
            }),
            (None, _) => Err(Outcome::Refused { message: "arguments.service: this verb needs a service".to_owned() }),
        }
    }

    async fn start_service(&self, arguments: &Arguments) -> Outcome {
        let bringup = match self.service(arguments) {
            Ok(bringup) => bringup,
            Err(refusal) => return refusal,
        };
        match bringup.up().await {
            Ok(started) => Outcome::done(format!("containerd answers ({started:?})")),
            Err(error) => Outcome::failed(&error),
        }
    }

    async fn restart_service(&self, arguments: &Arguments) -> Outcome {
        if arguments.service == Some(Service::TimeSync) {
            return self.mend.restart_time_sync().await;
        }
        let bringup = match self.service(arguments) {
            Ok(bringup) => bringup,
            Err(refusal) => return refusal,
        };
        match bringup.supervisor.restart().await {
            Ok(took) => Outcome::done(format!("containerd answers again after {} ms", took.as_millis())),
            Err(error) => Outcome::failed(&error),
        }
    }

    fn check_kernel(&self, arguments: &Arguments) -> Outcome {
        let evidence = kernel::Evidence::read(&self.proc);
        match kernel::check(&evidence, &arguments.features) {
            Err(unknown) => Outcome::Refused { message: unknown.to_string() },
            Ok(rows) => {
                let output: Vec<String> = rows.iter().map(ToString::to_string).collect();
                let lacking: Vec<&str> =
                    rows.iter().filter(|row| row.found.is_none()).map(|row| row.feature).collect();
                let output = output.join("\n");
                if lacking.is_empty() {
                    return Outcome::Done { message: format!("{} features are there", rows.len()), output };
                }
                Outcome::Failed { message: format!("missing: {}", lacking.join(", ")), output }
            }
        }
    }

    fn sysctls(&self, arguments: &Arguments) -> Outcome {
        match sysctl::ensure(&self.proc, &self.sysctl_note, &arguments.sysctls) {
            Ok(changes) => {
                Outcome::Done { message: format!("{} changed", changes.len()), output: changes.join("\n") }
            }
            Err(error) => Outcome::failed(&error),
        }
    }

    async fn erase(&self, arguments: &Arguments) -> Outcome {
        let (disks, names) = (self.disks.clone(), arguments.disks.clone());
        let erased = tokio::task::spawn_blocking(move || erase::erase(&disks, &names)).await;
        match erased {
            Ok(Ok(told)) => {
                Outcome::Done { message: format!("{} disks are erased", told.len()), output: told.join("\n") }
            }
            Ok(Err(error)) if error.is_refusal() => Outcome::Refused { message: chain(&error) },
            Ok(Err(error)) => Outcome::failed(&error),
            Err(error) => Outcome::failed(&error),
        }
    }

    async fn register(&self, arguments: &Arguments) -> Outcome {
        let registration = Registration {
            labels: arguments.labels.clone(),
            taints: arguments.taints.iter().map(taint).collect(),
        };
        match self.keeper.register(&registration).await {
            Ok(()) => Outcome::done(format!("node {} is registered", self.keeper.facts.name)),
            Err(error) => Outcome::failed(&error),
        }
    }

    /// A real sandbox and container, seen running, then removed.
    async fn check_start(&self, order: &OrderSpec) -> Outcome {
        ready::await_runtime(self.runtime.as_ref()).await;
        if let Err(error) = self.clear_checks().await {
            return Outcome::failed(&error);
        }
        let uid = format!("{CHECK}-{}-{}-{}", order.run, order.step, order.attempt);
        let began = self.clock.now();
        let config = self.check_sandbox(&uid);
        let sandbox = match self.runtime.run_sandbox(config.clone()).await {
            Ok(sandbox) => sandbox,
            Err(error) => return Outcome::failed(&error),
        };
        let started = self.check_container(&sandbox, config).await;
        let took = elapsed(began, self.clock.now());
        let removed = self.remove_check(&sandbox, &uid).await;
        match started.and(removed) {
            Ok(()) => Outcome::Done {
                message: format!("a container ran after {} ms", took.as_millis()),
                output: format!("{{\"milliseconds\":{}}}", took.as_millis()),
            },
            Err(error) => Outcome::failed(&error),
        }
    }

    /// What a check left behind whose agent died.
    async fn clear_checks(&self) -> Result<(), RuntimeError> {
        let observed = self.runtime.list(Scope::Node).await?;
        let ours = |sandbox: &&Sandbox| sandbox.pod_name == CHECK && sandbox.pod_namespace == CHECK;
        for sandbox in observed.sandboxes.iter().filter(ours) {
            self.runtime.stop_sandbox(&sandbox.id).await?;
            self.runtime.remove_sandbox(&sandbox.id).await?;
        }
        Ok(())
    }

    fn check_sandbox(&self, uid: &str) -> proto::PodSandboxConfig {
        proto::PodSandboxConfig {
            metadata: Some(proto::PodSandboxMetadata {
                name: CHECK.to_owned(),
                uid: uid.to_owned(),
                namespace: CHECK.to_owned(),
                attempt: 0,
            }),
            hostname: CHECK.to_owned(),
            log_directory: self.logs_dir.join(CHECK).display().to_string(),
            linux: Some(proto::LinuxPodSandboxConfig {
                cgroup_parent: self.cgroups.of_pod(Qos::BestEffort, uid),
                ..proto::LinuxPodSandboxConfig::default()
            }),
            ..proto::PodSandboxConfig::default()
        }
    }

    async fn check_container(
        &self,
        sandbox: &str,
        sandbox_config: proto::PodSandboxConfig,
    ) -> Result<(), RuntimeError> {
        let config = proto::ContainerConfig {
            metadata: Some(proto::ContainerMetadata { name: CHECK.to_owned(), attempt: 0 }),
            image: Some(proto::ImageSpec { image: image::PAUSE.to_owned(), ..proto::ImageSpec::default() }),
            linux: Some(proto::LinuxContainerConfig::default()),
            log_path: "check.log".to_owned(),
            ..proto::ContainerConfig::default()
        };
        let id = self.runtime.create_container(sandbox, config, sandbox_config).await?;
        self.runtime.start_container(&id).await?;
        let status = self.runtime.container(&id).await?;
        if status.state == ContainerState::Running {
            return Ok(());
        }
        let message = format!(
            "the check container is {} (exit code {}) instead of running",
            status.state, status.exit_code
        );
        Err(RuntimeError {
            call: "CheckContainerStart",
            kind: crate::runtime::RuntimeErrorKind::Failed,
            message,
        })
    }

    async fn remove_check(&self, sandbox: &str, uid: &str) -> Result<(), RuntimeError> {
        self.runtime.stop_sandbox(sandbox).await?;
        self.runtime.remove_sandbox(sandbox).await?;
        for _ in 0..20 {
            match self.cgroups.remove_pod(uid) {
                Ok(()) => break,
                Err(error) => tracing::debug!(error = chain(&error), "the check's cgroup is not empty yet"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if let Err(error) = std::fs::remove_dir_all(self.logs_dir.join(CHECK)) {
            tracing::debug!(%error, "the check left no logs");
        }
        Ok(())
    }
}

fn taint(taint: &Taint) -> k8s_openapi::api::core::v1::Taint {
    let effect = match taint.effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    };
    k8s_openapi::api::core::v1::Taint {
        key: taint.key.clone(),
        value: (!taint.value.is_empty()).then(|| taint.value.clone()),
        effect: effect.to_owned(),
        time_added: None,
    }
}
