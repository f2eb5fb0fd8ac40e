//! The real kube-apiserver and etcd on loopback, without its own controllers and scheduler.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use tokio::process::{Child, Command};

const READY_MAX: Duration = Duration::from_secs(120);

pub(crate) struct Upstream {
    _etcd: Child,
    _apiserver: Child,
    _dir: tempfile::TempDir,
    port: u16,
}

/// The folder of the binaries, named by `MUSTER_UPSTREAM_BIN`.
pub(crate) fn binaries() -> Result<PathBuf, String> {
    let dir = std::env::var_os("MUSTER_UPSTREAM_BIN")
        .ok_or("MUSTER_UPSTREAM_BIN does not name a folder with etcd and kube-apiserver")?;
    let dir = PathBuf::from(dir);
    for name in ["etcd", "kube-apiserver"] {
        if !dir.join(name).is_file() {
            return Err(format!("{} is missing", dir.join(name).display()));
        }
    }
    Ok(dir)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(program: &Path, args: &[String], log: &Path) -> Child {
    let log = std::fs::File::create(log).unwrap();
    Command::new(program)
        .args(args)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

impl Upstream {
    /// Starts both; `users` get a token each (their name), `admin` may do everything.
    pub(crate) async fn start(bin: &Path, users: &[&str]) -> Upstream {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (client, peer, port) = (free_port(), free_port(), free_port());
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let etcd: Vec<String> = vec![
            format!("--data-dir={}", at("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync".into(),
        ];
        let etcd = spawn(&bin.join("etcd"), &etcd, &dir.path().join("etcd.log"));
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(at("sa.key"), key.serialize_pem()).unwrap();
        std::fs::write(at("sa.pub"), key.public_key_pem()).unwrap();
        let mut tokens = String::from("admin,admin,1,\"system:masters\"\n");
        for user in users {
            tokens += &format!("{user},{user},{user}\n");
        }
        std::fs::write(at("tokens.csv"), tokens).unwrap();
        let args: Vec<String> = vec![
            format!("--etcd-servers={client}"),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".into(),
            format!("--cert-dir={}", at("certs")),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-signing-key-file={}", at("sa.key")),
            format!("--service-account-key-file={}", at("sa.pub")),
            format!("--token-auth-file={}", at("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--endpoint-reconciler-type=none".into(),
        ];
        let mut apiserver = spawn(&bin.join("kube-apiserver"), &args, &dir.path().join("apiserver.log"));
        let admin = client_of(port, "admin");
        let ended = async { format!("{:?}", apiserver.wait().await) };
        let why = tokio::select! {
            () = wait_ready(&admin) => None,
            status = ended => Some(status),
            () = tokio::time::sleep(READY_MAX) => Some(format!("not ready within {READY_MAX:?}")),
        };
        if let Some(why) = why {
            let log = std::fs::read_to_string(dir.path().join("apiserver.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            panic!("kube-apiserver: {why}\n{}", tail.join("\n"));
        }
        Upstream { _etcd: etcd, _apiserver: apiserver, _dir: dir, port }
    }

    pub(crate) fn client(&self, user: &str) -> Client {
        client_of(self.port, user)
    }
}

async fn wait_ready(client: &Client) {
    loop {
        let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
        if client.request_text(request).await.is_ok_and(|text| text == "ok") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn client_of(port: u16, user: &str) -> Client {
    let url = format!("https://127.0.0.1:{port}").parse().unwrap();
    let mut config = kube::Config::new(url);
    config.accept_invalid_certs = true;
    config.auth_info.token = Some(user.to_owned().into());
    Client::try_from(config).unwrap()
}
