//! The way from a component to the API server, with the faults that lie on it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use muster_apiserver::{ApiServer, Identity, InProcess};
use serde_json::json;
use tower::{Service, ServiceExt as _};

use crate::faults::{Fate, Faults, Traffic, Watches};

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Clone)]
struct Wire {
    server: InProcess,
    faults: Arc<Faults>,
}

/// A client of `server` under `identity`, on whose way `faults` lie.
pub(crate) fn client(server: &ApiServer, identity: Identity, faults: &Arc<Faults>) -> Client {
    let wire = Wire { server: InProcess::new(server.clone(), identity), faults: Arc::clone(faults) };
    Client::new(wire, "default")
}

fn traffic(request: &Request<Body>) -> Traffic {
    let watches = || {
        let query = request.uri().query().unwrap_or_default();
        query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1")
    };
    match *request.method() {
        Method::GET if watches() => Traffic::Watch,
        Method::GET | Method::HEAD => Traffic::Read,
        Method::PUT => Traffic::Replace,
        _ => Traffic::Write,
    }
}

fn refusal(code: StatusCode, reason: &str, message: &str) -> Reply {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16()});
    let mut reply = Response::new(Full::from(status.to_string()).boxed_unsync());
    *reply.status_mut() = code;
    let json = header::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, json);
    reply
}

fn unavailable() -> Reply {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "the way to the API is broken")
}

impl Wire {
    async fn send(self, request: Request<Body>) -> Reply {
        let traffic = traffic(&request);
        let (watches, cut) = self.faults.watches();
        let denied = match watches {
            Watches::Intact => false,
            Watches::Denied => true,
            Watches::DeniedOf(plural) => request.uri().path().ends_with(&format!("/{plural}")),
        };
        if traffic == Traffic::Watch && denied {
            return unavailable();
        }
        let (fate, delay) = self.faults.throw(traffic);
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
        match fate {
            Fate::LostRequest => return unavailable(),
            Fate::Conflict => return refusal(StatusCode::CONFLICT, "Conflict", "somebody was faster"),
            Fate::Through | Fate::LostReply => {}
        }
        let reply = match self.server.oneshot(request).await {
            Ok(reply) => reply,
            Err(never) => match never {},
        };
        let wrote = matches!(traffic, Traffic::Write | Traffic::Replace) && reply.status().is_success();
        if wrote && self.faults.wrote() {
            return std::future::pending().await;
        }
        if fate == Fate::LostReply {
            return unavailable();
        }
        reply.map(|body| match traffic {
            Traffic::Watch => {
                StreamBody::new(BodyStream::new(body).take_until(cut.cancelled_owned())).boxed_unsync()
            }
            Traffic::Read | Traffic::Replace | Traffic::Write => body.boxed_unsync(),
        })
    }
}

impl Service<Request<Body>> for Wire {
    type Response = Reply;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move { Ok(wire.send(request).await) })
    }
}
