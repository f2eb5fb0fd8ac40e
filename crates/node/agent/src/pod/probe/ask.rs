//! One question to one container: a command, an HTTP GET, a TCP connection. Also what lifecycle hooks are made of.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tls;
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
    let stream = connect(http.host.as_deref(), http.port, pod_ip).await?;
    if http.encrypted {
        let host = http.host.as_deref().unwrap_or(pod_ip);
        return get_over(tls::over(stream, host).await?, http, pod_ip).await;
    }
    get_over(stream, http, pod_ip).await
}

async fn get_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    http: &Http,
    pod_ip: &str,
) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// Answers one request over TLS, with a certificate that nobody has signed, and returns its port.
    async fn server(answer: &'static str) -> u16 {
        let own = rcgen::generate_simple_self_signed(["elsewhere".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        muster_base::task::Tasks::new().spawn(muster_base::task::Kind::Service, "server", async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /healthz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        port
    }

    #[tokio::test]
    async fn a_probe_over_https_takes_any_certificate_and_reads_the_status() {
        for (answer, expect) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Ok(())),
            (
                "HTTP/1.1 500 No\r\n\r\n",
                Err("GET /healthz: HTTP probe failed with statuscode: 500".to_owned()),
            ),
        ] {
            let port = Some(server(answer).await);
            let http =
                Http { host: None, port, path: "/healthz".to_owned(), headers: Vec::new(), encrypted: true };
            assert_eq!(get(&http, "127.0.0.1").await, expect);
        }
    }
}
