//! `kill -9` under load loses no acknowledged write.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};

use crate::harness::{MUSTER, Process, pause, wait_for};

const KILLS: u32 = 50;
const WRITERS: u32 = 8;

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `muster up` without a node part, whoever runs the test.
pub(crate) fn control_plane(data_dir: &Path, port: u16, log: &Path) -> Process {
    let mut command = Command::new(MUSTER);
    command
        .args(["up", "--machine", "m1", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(data_dir);
    command.arg("--without-node");
    Process::start(command, log)
}

pub(crate) async fn client(data_dir: &Path) -> Result<Client, String> {
    let kubeconfig = Kubeconfig::read_from(data_dir.join("kubeconfig")).map_err(|error| error.to_string())?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| error.to_string())?;
    config.connect_timeout = Some(Duration::from_secs(2));
    config.read_timeout = Some(Duration::from_secs(5));
    let client = Client::try_from(config).map_err(|error| error.to_string())?;
    client.apiserver_version().await.map_err(|error| error.to_string())?;
    Ok(client)
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Creates objects until the server is gone; notes each that was acknowledged.
async fn write_until_killed(client: Client, round: u32, writer: u32, acknowledged: &Mutex<BTreeSet<String>>) {
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    for number in 0.. {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(format!("w-{round}-{writer}-{number}"));
        object.data = Some([("text".to_owned(), "x".repeat(500))].into());
        match api.create(&PostParams::default(), &object).await {
            Ok(created) => acknowledged.lock().unwrap().insert(created.name_any()),
            Err(_) => return,
        };
    }
}

#[test]
fn no_acknowledged_write_is_lost_by_fifty_kills_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let (data_dir, log, port) = (directory.path().join("d"), directory.path().join("log"), free_port());
    let acknowledged: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    for round in 0..KILLS {
        let mut server = control_plane(&data_dir, port, &log);
        wait_for("ready API", Duration::from_secs(30), || block_on(client(&data_dir)).map(drop));
        let killed_after = Duration::from_millis(u64::from(60 + round * 37 % 300));
        let (noted, dir) = (Arc::clone(&acknowledged), data_dir.clone());
        let writers = std::thread::spawn(move || {
            block_on(async {
                let Ok(client) = client(&dir).await else { return };
                let work =
                    (0..WRITERS).map(|writer| write_until_killed(client.clone(), round, writer, &noted));
                join_all(work).await;
            });
        });
        pause(killed_after);
        server.kill();
        writers.join().unwrap();
    }
    let _server = control_plane(&data_dir, port, &log);
    let read = async {
        let api: Api<ConfigMap> = Api::namespaced(client(&data_dir).await?, "default");
        api.list(&ListParams::default()).await.map_err(|error| error.to_string())
    };
    wait_for("ready API", Duration::from_secs(30), || block_on(client(&data_dir)).map(drop));
    let found = block_on(read).unwrap();
    let found: BTreeSet<String> = found.iter().map(|object| object.name_any()).collect();
    let acknowledged = acknowledged.lock().unwrap();
    let lost: Vec<&String> = acknowledged.difference(&found).collect();
    assert!(u32::try_from(acknowledged.len()).unwrap() > KILLS, "too little load: {}", acknowledged.len());
    assert_eq!(lost, Vec::<&String>::new());
}
