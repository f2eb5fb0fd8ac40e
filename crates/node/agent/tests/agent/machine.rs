//! A machine for one test: a network namespace, a containerd of its own, and the proof that nothing of it is left.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use muster_agent::cgroup::Cgroups;
use muster_agent::containerd::{Event, Layout, Limits, Settings, Supervisor, probe};
use muster_agent::image::{self, Archive, File, Importer, Platform};
use muster_agent::pod::Qos;
use muster_agent::runtime::cri::{self, Cri};
use muster_agent::runtime::{Runtime, Scope, proto};
use muster_base::clock::SystemClock;
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;

pub(crate) const BUSYBOX: &str = "muster.local/busybox:test";

pub(crate) struct Machine {
    pub(crate) runtime: Cri,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) cgroups: Cgroups,
    settings: Settings,
    layout: Layout,
    dir: PathBuf,
    events: Arc<Mutex<Vec<Event>>>,
}

/// Waits until `what` is so.
pub(crate) async fn wait_for(what: &str, limit: Duration, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(limit, waiting).await.is_ok(), "no {what} within {limit:?}");
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// The process of a container, by containerd's own list of tasks.
pub(crate) async fn pid_of(machine: &Machine, id: &str) -> i32 {
    let output = Command::new("ctr")
        .arg("-a")
        .arg(machine.layout.socket())
        .args(["-n", "k8s.io", "tasks", "ls"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let row =
        text.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("no task {id} in\n{text}"));
    row.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn conflist(dir: &Path) -> String {
    serde_json::json!({"cniVersion": "0.4.0", "name": "test", "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": true,
        "ipam": {"type": "host-local", "dataDir": dir.join("cnidata"), "ranges": [[{"subnet": "10.244.77.0/24"}]]}}]})
    .to_string()
}

impl Machine {
    /// Runs a test on a machine, and afterwards sees that nothing of the machine is left, whether the test passed or not.
    pub(crate) fn with(name: &str, test: impl AsyncFnOnce(&Machine)) {
        let found = probe::judge(&probe::read());
        if found.missing().next().is_some() {
            eprintln!("not run: {}", found.missing().map(ToString::to_string).collect::<Vec<_>>().join("; "));
            return;
        }
        // The namespace is this thread's, and that of every thread and process it starts.
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        let temporary = tempfile::Builder::new().prefix(&format!("muster-{name}-")).tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let machine = {
            let _entered = runtime.enter();
            Self::new(name, temporary.path(), &found)
        };
        let outcome = runtime.block_on(async {
            let stop = CancellationToken::new();
            let watch = machine.supervisor.watch(stop.clone());
            let test = AssertUnwindSafe(async {
                machine.supervisor.ensure_started().await.unwrap();
                machine.import(image::pause()).await;
                machine.import(image::hello()).await;
                test(&machine).await;
            })
            .catch_unwind();
            let (_, outcome) = futures::join!(watch, async {
                let outcome = test.await;
                stop.cancel();
                outcome
            });
            machine.end().await;
            outcome
        });
        let left = machine.leftovers();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        assert_eq!(left, Vec::<String>::new());
    }

    fn new(name: &str, dir: &Path, found: &probe::Capabilities) -> Self {
        let layout = Layout::new(dir).unwrap();
        let settings = Settings {
            pause_image: image::PAUSE.to_owned(),
            cni_bin_dir: found.cni_bin_dir.clone().unwrap(),
            cni_conf_dir: dir.join("cni"),
            restrict_oom_score: found.restrict_oom_score,
            runtimes: found.runtimes.clone(),
        };
        fs::create_dir_all(dir.join("cni")).unwrap();
        fs::write(dir.join("cni/10-test.conflist"), conflist(dir)).unwrap();
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let limits = cri::Limits { query: Duration::from_secs(10), ..cri::Limits::default() };
        Self {
            runtime: Cri::new(&layout.socket(), limits),
            supervisor: supervisor(&layout, &settings, events.clone()),
            cgroups: Cgroups::new(format!("/muster-test-{name}-{}", std::process::id())),
            settings,
            layout,
            dir: dir.to_owned(),
            events,
        }
    }

    /// What a restarted agent would make of this machine.
    pub(crate) fn another_supervisor(&self) -> Arc<Supervisor> {
        supervisor(&self.layout, &self.settings, Arc::default())
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    pub(crate) async fn import(&self, archive: Archive) {
        let importer = Importer {
            ctr: "/usr/bin/ctr".into(),
            socket: self.layout.socket(),
            limit: Duration::from_secs(60),
        };
        importer.ensure(&self.runtime, archive, &self.dir.join("images")).await.unwrap();
    }

    /// An image with a shell's worth of tools, from the static busybox of the distribution.
    pub(crate) async fn import_busybox(&self) {
        let content =
            ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs::read(path).ok()).unwrap();
        self.import(Archive {
            name: BUSYBOX.to_owned(),
            platform: Platform::current(),
            files: vec![File { path: "bin/busybox".to_owned(), mode: 0o755, content }],
            entrypoint: vec!["/bin/busybox".to_owned()],
            environment: Vec::new(),
            user: String::new(),
            exposed_ports: Vec::new(),
        })
        .await;
    }

    fn sandbox_config(&self, uid: &str) -> proto::PodSandboxConfig {
        proto::PodSandboxConfig {
            metadata: Some(proto::PodSandboxMetadata {
                name: uid.to_owned(),
                uid: uid.to_owned(),
                namespace: "test".to_owned(),
                attempt: 0,
            }),
            labels: [("io.kubernetes.pod.uid".to_owned(), uid.to_owned())].into(),
            log_directory: self.dir.join("logs").display().to_string(),
            linux: Some(proto::LinuxPodSandboxConfig {
                cgroup_parent: self.cgroups.of_pod(Qos::BestEffort, uid),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    pub(crate) async fn sandbox(&self, uid: &str) -> String {
        self.runtime.run_sandbox(self.sandbox_config(uid)).await.unwrap()
    }

    /// A created container of the image, with a limit of memory unless that is 0.
    pub(crate) async fn container(
        &self,
        sandbox: &str,
        uid: &str,
        image: &str,
        arguments: &[&str],
        memory_bytes: i64,
    ) -> String {
        let resources =
            proto::LinuxContainerResources { memory_limit_in_bytes: memory_bytes, ..Default::default() };
        let config = proto::ContainerConfig {
            metadata: Some(proto::ContainerMetadata { name: "c".to_owned(), attempt: 0 }),
            image: Some(proto::ImageSpec { image: image.to_owned(), ..Default::default() }),
            args: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            labels: [("io.kubernetes.pod.uid".to_owned(), uid.to_owned())].into(),
            log_path: "c.log".to_owned(),
            linux: Some(proto::LinuxContainerConfig { resources: Some(resources), ..Default::default() }),
            ..Default::default()
        };
        self.runtime.create_container(sandbox, config, self.sandbox_config(uid)).await.unwrap()
    }

    /// A running pod of one container.
    pub(crate) async fn running(&self, uid: &str, image: &str) -> (String, String) {
        let sandbox = self.sandbox(uid).await;
        let id = self.container(&sandbox, uid, image, &[], 0).await;
        self.runtime.start_container(&id).await.unwrap();
        (sandbox, id)
    }

    async fn end(&self) {
        if let Ok(observed) = self.runtime.list(Scope::Node).await {
            for sandbox in observed.sandboxes {
                let stopped = self.runtime.stop_sandbox(&sandbox.id).await;
                eprintln!(
                    "ending {}: {stopped:?} {:?}",
                    sandbox.id,
                    self.runtime.remove_sandbox(&sandbox.id).await
                );
            }
        }
        self.supervisor.stop().await.unwrap();
        for pid in self.processes() {
            signal(pid, Signal::SIGKILL);
        }
        for path in self.mounts() {
            umount2(&path, MntFlags::MNT_DETACH).unwrap();
        }
        let empty = async || self.cgroups.remove_all().is_ok() && self.processes().is_empty();
        wait_for("end of its processes and cgroups", Duration::from_secs(10), empty).await;
    }

    /// Processes that name our directory, the dead and unreaped apart.
    fn processes(&self) -> Vec<i32> {
        let dir = self.dir.display().to_string();
        let pids = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&dir))
        })
        .collect()
    }

    fn mounts(&self) -> Vec<PathBuf> {
        let text = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut paths: Vec<PathBuf> =
            text.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from).collect();
        paths.retain(|path| path.starts_with(&self.dir));
        paths.sort_by(|a, b| b.cmp(a));
        paths
    }

    fn leftovers(&self) -> Vec<String> {
        let processes = self.processes().into_iter().map(|pid| format!("process {pid}"));
        let mounts = self.mounts().into_iter().map(|path| format!("mount {}", path.display()));
        let parent = self.cgroups.parent.trim_start_matches('/');
        let hierarchies =
            fs::read_dir(&self.cgroups.mount).unwrap().flatten().map(|entry| entry.path().join(parent));
        let cgroups =
            hierarchies.filter(|path| path.exists()).map(|path| format!("cgroup {}", path.display()));
        processes.chain(mounts).chain(cgroups).collect()
    }
}

fn supervisor(layout: &Layout, settings: &Settings, events: Arc<Mutex<Vec<Event>>>) -> Arc<Supervisor> {
    let report = move |event| events.lock().unwrap().push(event);
    let limits = Limits { look_every: Duration::from_millis(50), ..Limits::default() };
    let program = PathBuf::from("/usr/bin/containerd");
    Supervisor::new(layout.clone(), settings.clone(), program, limits, Arc::new(SystemClock), report)
}
