//! The metrics of `muster controllers`, over plain HTTP: its API is another's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use muster_apiserver::EXPOSITION_TYPE;
use muster_base::port;
use muster_base::task::Tasks;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::plane::{bind, exposition};

const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// A connection is cut off after so long, idle or not: who scrapes comes again.
const CONNECTION_MAX: Duration = Duration::from_secs(300);
const CONNECTIONS_MAX: usize = 32;

/// Answers `/metrics`, and `/healthz` for as long as the process lives; ends with `tasks`.
pub(super) async fn serve(
    address: SocketAddr,
    registry: Arc<Mutex<Registry>>,
    tasks: &Tasks,
) -> Result<(), Failure> {
    let listener = bind(address, "--metrics-listen").await?;
    let bound = listener
        .local_addr()
        .map_err(|error| Failure::failed("cannot tell where the metrics are served", &error))?;
    tracing::info!(address = %bound, "metrics are served");
    port::serve(listener, CONNECTIONS_MAX, "metrics", tasks, move |stream, shutdown| {
        let answered = tokio::time::timeout(CONNECTION_MAX, connection(stream, Arc::clone(&registry)));
        // Either it was answered, or it is cut off.
        async move { shutdown.run_until_cancelled(answered).await.map_or((), |ended| ended.unwrap_or_default()) }
    });
    Ok(())
}

async fn connection(stream: TcpStream, registry: Arc<Mutex<Registry>>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let registry = Arc::clone(&registry);
        async move { Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &registry)) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_WITHIN);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%error, "a client of the metrics left");
    }
}

fn answer(method: &Method, path: &str, registry: &Mutex<Registry>) -> Response<String> {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    let (status, content_type, body) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            (StatusCode::OK, HeaderValue::from_static(EXPOSITION_TYPE), exposition(&registry.lock()))
        }
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, text, "ok".to_owned()),
        (_, "/metrics" | "/healthz") => (StatusCode::METHOD_NOT_ALLOWED, text, "only GET\n".to_owned()),
        (_, _) => (StatusCode::NOT_FOUND, text, "here are /metrics and /healthz\n".to_owned()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
