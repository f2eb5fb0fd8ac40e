//! The CRI v1 client over a unix socket.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::proto::image_service_client::ImageServiceClient;
use super::proto::runtime_service_client::RuntimeServiceClient;
use super::{
    Call, Container, ContainerState, ContainerStatus, ExecOutput, Image, ImageUser, Observed, Readiness,
    Result, Runtime, RuntimeError, RuntimeErrorKind, RuntimeStatus, Sandbox, SandboxState, Scope, Version,
    label, proto,
};

/// How long the calls may take. Answers about state come in milliseconds; work on containers may wait for disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub query: Duration,
    pub work: Duration,
    pub pull: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { query: Duration::from_secs(5), work: Duration::from_secs(120), pull: Duration::from_secs(900) }
    }
}

/// 16 MiB is what the runtime may answer to an exec (CVE-2022-1708), and a list of 1,000 containers needs 2 MiB.
const ANSWER_BYTES_MAX: usize = 20 << 20;

#[derive(Debug, Clone)]
pub struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    limits: Limits,
}

impl Cri {
    /// Connects when first used, and again after the runtime was restarted.
    pub fn new(socket: &Path, limits: Limits) -> Self {
        let socket: PathBuf = socket.to_owned();
        let connect = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // The address is never dialled: the connector above knows the socket.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect);
        Self {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            images: ImageServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
            limits,
        }
    }
}

async fn within<T>(
    call: &'static str,
    limit: Duration,
    answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failed(call, &status)),
        Err(_) => Err(RuntimeError {
            call,
            kind: RuntimeErrorKind::TimedOut,
            message: format!("no answer within {} s", limit.as_secs_f32()),
        }),
    }
}

fn failed(call: &'static str, status: &tonic::Status) -> RuntimeError {
    let code = status.code();
    let kind = if code == tonic::Code::NotFound {
        RuntimeErrorKind::NotFound
    } else if code == tonic::Code::Unavailable {
        RuntimeErrorKind::Unreachable
    } else if code == tonic::Code::DeadlineExceeded {
        RuntimeErrorKind::TimedOut
    } else {
        RuntimeErrorKind::Failed
    };
    RuntimeError { call, kind, message: status.message().to_owned() }
}

fn time(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds))
        .expect("64 bits of nanoseconds are within the range of a timestamp")
}

fn time_if_set(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds > 0).then(|| time(nanoseconds))
}

fn take(labels: &mut HashMap<String, String>, key: &str) -> String {
    labels.remove(key).unwrap_or_default()
}

fn sandbox(mut row: proto::PodSandbox) -> Sandbox {
    let state = if row.state() == proto::PodSandboxState::SandboxReady {
        SandboxState::Ready
    } else {
        SandboxState::NotReady
    };
    let metadata = row.metadata.unwrap_or_default();
    Sandbox {
        id: row.id,
        pod_uid: take(&mut row.labels, label::POD_UID),
        pod_namespace: metadata.namespace,
        pod_name: metadata.name,
        attempt: metadata.attempt,
        state,
        created: time(row.created_at),
    }
}

fn container_state(state: proto::ContainerState) -> ContainerState {
    match state {
        proto::ContainerState::ContainerCreated => ContainerState::Created,
        proto::ContainerState::ContainerRunning => ContainerState::Running,
        proto::ContainerState::ContainerExited => ContainerState::Exited,
        proto::ContainerState::ContainerUnknown => ContainerState::Unknown,
    }
}

fn container(mut row: proto::Container) -> Container {
    let state = container_state(row.state());
    let metadata = row.metadata.unwrap_or_default();
    Container {
        id: row.id,
        sandbox: row.pod_sandbox_id,
        pod_uid: take(&mut row.labels, label::POD_UID),
        name: metadata.name,
        attempt: metadata.attempt,
        state,
        image: row.image_ref,
    }
}

fn container_status(status: proto::ContainerStatus) -> ContainerStatus {
    let state = container_state(status.state());
    let metadata = status.metadata.unwrap_or_default();
    ContainerStatus {
        id: status.id,
        name: metadata.name,
        attempt: metadata.attempt,
        state,
        created: time(status.created_at),
        started: time_if_set(status.started_at),
        finished: time_if_set(status.finished_at),
        exit_code: status.exit_code,
        image: status.image.map(|image| image.image).unwrap_or_default(),
        image_ref: status.image_ref,
        reason: status.reason,
        message: status.message,
        log_path: status.log_path,
        annotations: status.annotations.into_iter().collect::<BTreeMap<_, _>>(),
    }
}

fn image(image: proto::Image) -> Image {
    let user = match (image.uid, image.username) {
        (Some(uid), _) => ImageUser::Id(uid.value),
        (None, name) if !name.is_empty() => ImageUser::Name(name),
        (None, _) => ImageUser::Unset,
    };
    Image {
        id: image.id,
        tags: image.repo_tags,
        digests: image.repo_digests,
        bytes: image.size,
        pinned: image.pinned,
        user,
    }
}

fn readiness(conditions: &[proto::RuntimeCondition], wanted: &str) -> Readiness {
    conditions.iter().find(|condition| condition.r#type == wanted).map_or_else(
        || Readiness {
            ready: false,
            reason: "Unknown".to_owned(),
            message: format!("the runtime does not report {wanted}"),
        },
        |condition| Readiness {
            ready: condition.status,
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        },
    )
}

fn spec(name: &str) -> proto::ImageSpec {
    proto::ImageSpec { image: name.to_owned(), ..proto::ImageSpec::default() }
}

impl Runtime for Cri {
    fn version(&self) -> Call<'_, Version> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let request = proto::VersionRequest { version: "v1".to_owned() };
            let answer = within("Version", self.limits.query, client.version(request)).await?;
            Ok(Version { name: answer.runtime_name, version: answer.runtime_version })
        })
    }

    fn status(&self) -> Call<'_, RuntimeStatus> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let answer =
                within("Status", self.limits.query, client.status(proto::StatusRequest::default())).await?;
            let conditions = answer.status.unwrap_or_default().conditions;
            Ok(RuntimeStatus {
                runtime: readiness(&conditions, "RuntimeReady"),
                network: readiness(&conditions, "NetworkReady"),
            })
        })
    }

    fn list(&self, scope: Scope) -> Call<'_, Observed> {
        let (mut first, mut second) = (self.runtime.clone(), self.runtime.clone());
        let label_selector = match scope {
            Scope::Node => HashMap::new(),
            Scope::Pod(uid) => HashMap::from([(label::POD_UID.to_owned(), uid)]),
        };
        Box::pin(async move {
            let sandboxes = proto::ListPodSandboxRequest {
                filter: Some(proto::PodSandboxFilter {
                    label_selector: label_selector.clone(),
                    ..Default::default()
                }),
            };
            let containers = proto::ListContainersRequest {
                filter: Some(proto::ContainerFilter { label_selector, ..Default::default() }),
            };
            let (sandboxes, containers) = futures::try_join!(
                within("ListPodSandbox", self.limits.query, first.list_pod_sandbox(sandboxes)),
                within("ListContainers", self.limits.query, second.list_containers(containers)),
            )?;
            Ok(Observed {
                sandboxes: sandboxes.items.into_iter().map(sandbox).collect(),
                containers: containers.containers.into_iter().map(container).collect(),
            })
        })
    }

    fn sandbox_ips<'a>(&'a self, id: &'a str) -> Call<'a, Vec<String>> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let request = proto::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
            let answer =
                within("PodSandboxStatus", self.limits.query, client.pod_sandbox_status(request)).await?;
            let network = answer.status.unwrap_or_default().network.unwrap_or_default();
            let more = network.additional_ips.into_iter().map(|ip| ip.ip);
            Ok([network.ip].into_iter().chain(more).filter(|ip| !ip.is_empty()).collect())
        })
    }

    fn container<'a>(&'a self, id: &'a str) -> Call<'a, ContainerStatus> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let request = proto::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
            let answer =
                within("ContainerStatus", self.limits.query, client.container_status(request)).await?;
            Ok(container_status(answer.status.unwrap_or_default()))
        })
    }

    fn run_sandbox(&self, config: proto::PodSandboxConfig) -> Call<'_, String> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let request =
                proto::RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
            Ok(within("RunPodSandbox", self.limits.work, client.run_pod_sandbox(request))
                .await?
                .pod_sandbox_id)
        })
    }

    fn stop_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let request = proto::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
            within("StopPodSandbox", self.limits.work, client.stop_pod_sandbox(request)).await?;
            Ok(())
        })
    }

    fn remove_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let request = proto::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
            within("RemovePodSandbox", self.limits.work, client.remove_pod_sandbox(request)).await?;
            Ok(())
        })
    }

    fn create_container<'a>(
        &'a self,
        sandbox: &'a str,
        config: proto::ContainerConfig,
        sandbox_config: proto::PodSandboxConfig,
    ) -> Call<'a, String> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let request = proto::CreateContainerRequest {
                pod_sandbox_id: sandbox.to_owned(),
                config: Some(config),
                sandbox_config: Some(sandbox_config),
            };
            Ok(within("CreateContainer", self.limits.work, Box::pin(client.create_container(request)))
                .await?
                .container_id)
        })
    }

    fn start_container<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let request = proto::StartContainerRequest { container_id: id.to_owned() };
            within("StartContainer", self.limits.work, client.start_container(request)).await?;
            Ok(())
        })
    }

    fn stop_container<'a>(&'a self, id: &'a str, grace: Duration) -> Call<'a, ()> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
            let request = proto::StopContainerRequest { container_id: id.to_owned(), timeout };
            within("StopContainer", grace.saturating_add(self.limits.work), client.stop_container(request))
                .await?;
            Ok(())
        })
    }

    fn remove_container<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let request = proto::RemoveContainerRequest { container_id: id.to_owned() };
            within("RemoveContainer", self.limits.work, client.remove_container(request)).await?;
            Ok(())
        })
    }

    fn exec<'a>(&'a self, id: &'a str, command: &'a [String], limit: Duration) -> Call<'a, ExecOutput> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            // CRI counts whole seconds and reads 0 as "no limit".
            let timeout = i64::try_from(limit.as_secs().max(1)).unwrap_or(i64::MAX);
            let request =
                proto::ExecSyncRequest { container_id: id.to_owned(), cmd: command.to_vec(), timeout };
            let patience = limit.saturating_add(self.limits.query);
            let answer = within("ExecSync", patience, client.exec_sync(request)).await?;
            Ok(ExecOutput { stdout: answer.stdout, stderr: answer.stderr, exit_code: answer.exit_code })
        })
    }

    fn reopen_log<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let mut client = self.runtime.clone();
        Box::pin(async move {
            let request = proto::ReopenContainerLogRequest { container_id: id.to_owned() };
            within("ReopenContainerLog", self.limits.query, client.reopen_container_log(request)).await?;
            Ok(())
        })
    }

    fn image<'a>(&'a self, name: &'a str) -> Call<'a, Option<Image>> {
        let mut client = self.images.clone();
        Box::pin(async move {
            let request = proto::ImageStatusRequest { image: Some(spec(name)), verbose: false };
            Ok(within("ImageStatus", self.limits.query, client.image_status(request)).await?.image.map(image))
        })
    }

    fn images(&self) -> Call<'_, Vec<Image>> {
        let mut client = self.images.clone();
        Box::pin(async move {
            let request = proto::ListImagesRequest::default();
            let listed = within("ListImages", self.limits.query, client.list_images(request)).await?;
            Ok(listed.images.into_iter().map(image).collect())
        })
    }

    fn remove_image<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let mut client = self.images.clone();
        Box::pin(async move {
            let request = proto::RemoveImageRequest { image: Some(spec(id)) };
            within("RemoveImage", self.limits.pull, client.remove_image(request)).await?;
            Ok(())
        })
    }

    fn pull_image<'a>(&'a self, name: &'a str, login: Option<proto::AuthConfig>) -> Call<'a, String> {
        let mut client = self.images.clone();
        Box::pin(async move {
            let request =
                proto::PullImageRequest { image: Some(spec(name)), auth: login, sandbox_config: None };
            Ok(within("PullImage", self.limits.pull, Box::pin(client.pull_image(request))).await?.image_ref)
        })
    }
}
