//! One question to one container: a command, an HTTP GET, a TCP connection. Also what lifecycle hooks are made of.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::runtime::Runtime;

/// What to do, with names of ports resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pod) enum Handler {
    Exec(Vec<String>),
    Http(Http),
    Tcp {
        host: Option<String>,
        port: Option<u16>,
    },
    Sleep(Duration),
    /// A kind we do not have.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pod) struct Http {
    host: Option<String>,
    port: Option<u16>,
    path: String,
    headers: Vec<(String, String)>,
    encrypted: bool,
}

/// Where a handler is aimed.
#[derive(Debug, Clone, Copy)]
pub(in crate::pod) struct Target<'a> {
    pub(in crate::pod) container_id: &'a str,
    pub(in crate::pod) pod_ip: &'a str,
}

fn port(port: &IntOrString, container: &Container) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name));
            named.map_or_else(|| name.parse().ok(), |port| u16::try_from(port.container_port).ok())
        }
    }
}

fn handler(
    exec: Option<&ExecAction>,
    http: Option<&HTTPGetAction>,
    tcp: Option<&TCPSocketAction>,
    container: &Container,
) -> Option<Handler> {
    if let Some(exec) = exec {
        return Some(Handler::Exec(exec.command.clone().unwrap_or_default()));
    }
    if let Some(http) = http {
        let headers =
            http.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
        return Some(Handler::Http(Http {
            host: http.host.clone().filter(|host| !host.is_empty()),
            port: port(&http.port, container),
            path: http.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned()),
            headers: headers.collect(),
            encrypted: http.scheme.as_deref() == Some("HTTPS"),
        }));
    }
    tcp.map(|tcp| Handler::Tcp {
        host: tcp.host.clone().filter(|host| !host.is_empty()),
        port: port(&tcp.port, container),
    })
}

impl Handler {
    pub(in crate::pod) fn of_probe(probe: &Probe, container: &Container) -> Self {
        handler(probe.exec.as_ref(), probe.http_get.as_ref(), probe.tcp_socket.as_ref(), container)
            .unwrap_or(Self::Unknown)
    }

    pub(in crate::pod) fn of_hook(hook: &LifecycleHandler, container: &Container) -> Self {
        if let Some(sleep) = &hook.sleep {
            return Self::Sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0)));
        }
        handler(hook.exec.as_ref(), hook.http_get.as_ref(), hook.tcp_socket.as_ref(), container)
            .unwrap_or(Self::Unknown)
    }
}

/// Asks within `limit`. The error is a sentence for people.
pub(in crate::pod) async fn ask(
    runtime: &dyn Runtime,
    handler: &Handler,
    target: Target<'_>,
    limit: Duration,
) -> Result<(), String> {
    let asked = async {
        match handler {
            Handler::Exec(command) => exec(runtime, target.container_id, command, limit).await,
            Handler::Http(http) => get(http, target.pod_ip).await,
            Handler::Tcp { host, port } => connect(host.as_deref(), *port, target.pod_ip).await.map(|_| ()),
            Handler::Sleep(time) => {
                tokio::time::sleep(*time).await;
                Ok(())
            }
            Handler::Unknown => {
                Err("probes of this kind are not supported here: use exec, httpGet or tcpSocket".to_owned())
            }
        }
    };
    // An exec has its own limit in the runtime; a little more lets its answer be the one that is told.
    let patience = limit + Duration::from_millis(500);
    tokio::time::timeout(patience, asked)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}

async fn exec(runtime: &dyn Runtime, id: &str, command: &[String], limit: Duration) -> Result<(), String> {
    let output = runtime.exec(id, command, limit).await.map_err(|error| error.to_string())?;
    if output.exit_code == 0 {
        return Ok(());
    }
    let said: String =
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().chars().take(200).collect();
    Err(format!("exit code {}: {said}", output.exit_code))
}

async fn connect(host: Option<&str>, port: Option<u16>, pod_ip: &str) -> Result<TcpStream, String> {
    let host = host.unwrap_or(pod_ip);
    let port = port.ok_or("the port is not one of the container's")?;
    let connected = match host.parse::<IpAddr>() {
        Ok(ip) => TcpStream::connect(SocketAddr::new(ip, port)).await,
        Err(_) => TcpStream::connect((host, port)).await,
    };
    connected.map_err(|error| format!("cannot connect to {host}:{port}: {error}"))
}

/// A GET of which only the status line matters, so no HTTP client is needed.
async fn get(http: &Http, pod_ip: &str) -> Result<(), String> {
    if http.encrypted {
        return Err("probes over HTTPS are not supported here: use scheme HTTP, exec or tcpSocket".to_owned());
    }
    let mut stream = connect(http.host.as_deref(), http.port, pod_ip).await?;
    let own_host = http.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let mut request = format!(
        "GET {} HTTP/1.1\r\nUser-Agent: kube-probe/1.37\r\nAccept: */*\r\nConnection: close\r\n",
        http.path
    );
    if !own_host {
        request += &format!("Host: {pod_ip}:{}\r\n", http.port.unwrap_or(80));
    }
    for (name, value) in &http.headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    let failed = |error: std::io::Error| format!("GET {}: {error}", http.path);
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = [0_u8; 32];
    let mut length = 0;
    while length < head.len() && !head[..length].contains(&b'\n') {
        match stream.read(&mut head[length..]).await.map_err(failed)? {
            0 => break,
            more => length += more,
        }
    }
    let line = String::from_utf8_lossy(&head[..length]).into_owned();
    let status = line.split(' ').nth(1).and_then(|code| code.get(..3)?.parse::<u16>().ok());
    match status {
        Some(200..400) => Ok(()),
        Some(code) => Err(format!("GET {}: HTTP probe failed with statuscode: {code}", http.path)),
        None => Err(format!("GET {}: the answer is not HTTP", http.path)),
    }
}
