//! A node, its pods and the world outside, each a network namespace; all gone when the lab is dropped.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster_network::config::{Config, DnsConfig};
use muster_network::directory::Directory;
use muster_network::owned::Record;
use muster_network::proxy::plan::Here;
use muster_network::proxy::ruleset::Frame;
use muster_network::proxy::{Outcome, Proxy, ProxyError};
use muster_network::{cni, host};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket;
use serde_json::{Value, json};
use std::os::fd::AsRawFd as _;
use tempfile::TempDir;

/// A connection takes well below; a lost packet is sent again after a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

static LABS: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Lab {
    prefix: String,
    namespaces: Vec<String>,
    /// What the bridge plugin answered.
    pods: Vec<Value>,
    servers: Vec<Server>,
    _folder: TempDir,
    pub(crate) config: Config,
}

/// Answers every connection with its name and the address it sees the client under.
pub(crate) struct Server {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Lab {
    /// A node with loopback only.
    pub(crate) fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests make network namespaces: run them as root");
        let prefix = format!("mnet-{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::SeqCst));
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder);
        let mut lab = Self {
            prefix,
            namespaces: Vec::new(),
            pods: Vec::new(),
            servers: Vec::new(),
            _folder: folder,
            config,
        };
        lab.namespace("node");
        lab
    }

    /// A node that was made ready for pods.
    pub(crate) fn with_node() -> Self {
        let lab = Self::new();
        lab.ensure().unwrap();
        lab
    }

    pub(crate) fn ensure(&self) -> Result<(), host::HostError> {
        let config = self.config.clone();
        self.run("node", async move {
            let mut record = Record::open(&config.data_dir).unwrap();
            host::ensure(&config, &mut record).await
        })
    }

    fn namespace(&mut self, name: &str) {
        let full = format!("{}-{name}", self.prefix);
        command("ip", &["netns", "add", &full]);
        command("ip", &["-n", &full, "link", "set", "lo", "up"]);
        self.namespaces.push(full);
    }

    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// A new pod `podN`, attached by the real plugins with our own configuration.
    pub(crate) fn pod(&mut self) -> Ipv4Addr {
        let name = format!("pod{}", self.pods.len());
        self.namespace(&name);
        let result = self.cni("ADD", &name, 0, json!({}));
        let address = result["ips"][0]["address"].as_str().unwrap();
        let address = address.split('/').next().unwrap().parse().unwrap();
        self.pods.push(result);
        address
    }

    /// Maps a port of the node to port 8080 of the pod, as the runtime would while attaching it.
    pub(crate) fn host_port(&self, pod: usize, port: u16) {
        let mappings = json!([{ "hostPort": port, "containerPort": 8080, "protocol": "tcp" }]);
        let more = json!({ "prevResult": self.pods[pod], "runtimeConfig": { "portMappings": mappings } });
        self.cni("ADD", &format!("pod{pod}"), 1, more);
    }

    fn cni(&self, verb: &str, name: &str, number: usize, more: Value) -> Value {
        let conflist: Value =
            serde_json::from_slice(&std::fs::read(self.config.cni_conf_dir.join(cni::FILE)).unwrap())
                .unwrap();
        let mut plugin = conflist["plugins"][number].clone();
        let program = format!("/usr/lib/cni/{}", plugin["type"].as_str().unwrap());
        plugin.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        plugin["cniVersion"] = conflist["cniVersion"].clone();
        plugin["name"] = conflist["name"].clone();
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.full("node"), &program])
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", self.full(name))
            .env("CNI_NETNS", format!("/run/netns/{}", self.full(name)))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/usr/lib/cni")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(plugin.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "CNI {verb}: {}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A host outside, 192.0.2.2, connected to the node, 192.0.2.1, which is not its way to the pods.
    pub(crate) fn outside(&mut self) {
        self.namespace("outside");
        let (node, outside) = (self.full("node"), self.full("outside"));
        command(
            "ip",
            &["-n", &node, "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", &outside],
        );
        for (namespace, address) in [(&node, "192.0.2.1/24"), (&outside, "192.0.2.2/24")] {
            command("ip", &["-n", namespace, "address", "add", address, "dev", "up0"]);
            command("ip", &["-n", namespace, "link", "set", "up0", "up"]);
        }
    }

    /// A server on `port` of every address of a namespace.
    pub(crate) fn serve(&mut self, name: &str, port: u16) {
        let listener = self.inside(name, move || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
        self.servers.push(Server::start(listener, name.to_owned()));
    }

    /// Moves the thread that calls the result into the namespace.
    pub(crate) fn enter(&self, name: &str) -> impl FnOnce() + Send + 'static {
        let path = format!("/run/netns/{}", self.full(name));
        move || setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap()
    }

    /// Runs `work` on a thread that is in the namespace.
    pub(crate) fn inside<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let enter = self.enter(name);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `future` in the namespace; programs it starts are there too.
    pub(crate) fn run<T: Send>(&self, name: &str, future: impl Future<Output = T> + Send) -> T {
        self.inside(name, || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
        })
    }

    /// What a server answers to a client in a namespace, or the error.
    pub(crate) fn dial(&self, name: &str, to: &str) -> std::io::Result<String> {
        let to: SocketAddr = to.parse().unwrap();
        self.inside(name, || {
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
    }

    /// The names of the servers that answered `times` dials, with how often each did.
    pub(crate) fn tally(&self, name: &str, to: &str, times: usize) -> Vec<(String, usize)> {
        let mut tally = std::collections::BTreeMap::new();
        for _ in 0..times {
            let answer = self.dial(name, to).unwrap_or_else(|error| panic!("{name} to {to}: {error}"));
            *tally.entry(answer.split_whitespace().next().unwrap().to_owned()).or_insert(0) += 1;
        }
        tally.into_iter().collect()
    }

    /// How long a refusal takes.
    pub(crate) fn refused(&self, name: &str, to: &str) -> Duration {
        let start = Instant::now();
        let error = self.dial(name, to).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{name} to {to}");
        start.elapsed()
    }

    pub(crate) fn open_proxy(&self) -> Proxy {
        let (here, frame) = (Here::of(&self.config), Frame::of(&self.config));
        self.run("node", Proxy::open(here, frame))
    }

    pub(crate) fn pass(&self, proxy: &mut Proxy, directory: &Directory) -> Result<Outcome, ProxyError> {
        self.run("node", proxy.pass(directory))
    }

    /// Runs a program in the node's namespace and returns what it prints.
    pub(crate) fn node(&self, program: &str, arguments: &[&str]) -> String {
        let node = self.full("node");
        command("ip", &[&["netns", "exec", &node, program], arguments].concat())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.servers.clear();
        for namespace in self.namespaces.drain(..) {
            Command::new("ip").args(["netns", "del", &namespace]).status().unwrap();
        }
    }
}

impl Server {
    fn start(listener: TcpListener, name: String) -> Self {
        let accepting = listener.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            while let Ok((mut stream, client)) = accepting.accept() {
                // A client that went away is the test's business.
                drop(write!(stream, "{name} {}", client.ip()));
                drop(stream.shutdown(Shutdown::Write));
            }
        });
        Self { listener, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

pub(crate) fn config(folder: &TempDir) -> Config {
    let data: PathBuf = folder.path().join("network");
    Config {
        node: "n1".into(),
        cni_conf_dir: folder.path().join("cni"),
        cni_bin_dir: "/usr/lib/cni".into(),
        data_dir: data,
        bridge: "muster0".into(),
        pod_cidr: "10.244.1.0/24".parse().unwrap(),
        cluster_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        dns: DnsConfig {
            address: "10.96.0.10".parse().unwrap(),
            port: 53,
            domain: "cluster.local".into(),
            resolv_conf: folder.path().join("resolv.conf"),
        },
        sweep: Duration::from_secs(300),
    }
}

pub(crate) fn at(address: Ipv4Addr, port: u16) -> String {
    SocketAddrV4::new(address, port).to_string()
}

pub(crate) fn command(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {stderr}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
