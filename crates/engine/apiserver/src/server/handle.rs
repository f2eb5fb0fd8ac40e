//! One request from credentials to answer: authenticate, impersonate, authorize, do, count.

use std::time::Instant;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WARNING};
use http::{HeaderMap, Method, Request};
use http_body::Body;
use tracing::{debug, info};
use uuid::Uuid;

use super::metrics::Answered;
use super::{ApiServer, Reply, body, plain, reply};
use crate::authn::{Identity, accept_joining, impersonated, wants};
use crate::authz::Attributes;
use crate::extend::aggregation;
use crate::request::{Accept, Query, RequestInfo, Syntax};
use crate::rest::create::bulk;
use crate::rest::{self, Call};
use crate::status::Refusal;

/// Whoever is refused here wanted to change what is done to machines.
const OF_THE_FLEET: &str = "muster.dev";

impl ApiServer {
    /// Who a request is from: its bearer token, else the connection's certificate, else nobody.
    pub(super) fn authenticate(
        &self,
        certified: Option<&Identity>,
        headers: &HeaderMap,
    ) -> Result<Identity, Refusal> {
        if let Some(identity) = certified {
            return Ok(identity.clone());
        }
        let Some(value) = headers.get(AUTHORIZATION) else { return Ok(Identity::anonymous()) };
        let text = value.to_str().map_err(|_| Refusal::unauthorized())?;
        let Some((scheme, token)) = text.split_once(' ') else { return Err(Refusal::unauthorized()) };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::unauthorized());
        }
        let token = token.trim();
        if let Some((id, secret)) = muster_api::join::token_parts(token) {
            return accept_joining(&self.0.store, id, secret, self.0.clock.now()).map_err(|reason| {
                debug!(id, reason, "a joining token was refused");
                Refusal::unauthorized()
            });
        }
        self.0.tokens.accept(token, &[]).map(|claims| claims.identity).map_err(|reason| {
            debug!(%reason, "a bearer token was refused");
            Refusal::unauthorized()
        })
    }

    /// Answers a request of an authenticated user.
    pub async fn handle<B>(&self, identity: Identity, request: Request<B>) -> Reply
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let begun = Instant::now();
        let running = self.0.metrics.begin();
        let query = Query::parse(request.uri().query());
        let info = RequestInfo::parse(request.method(), request.uri().path(), &query);
        let accept = Accept::parse(request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()));
        let audit_id = audit_id(request.headers());
        let syntax = accept.syntax();
        let user = identity.user.clone();
        let answered = self.answer(identity, info.clone(), query, accept, request).await;
        let mut reply = answered.unwrap_or_else(|refusal| reply::refusal(&refusal, syntax));
        reply.headers_mut().insert("audit-id", audit_id);
        reply.headers_mut().entry("cache-control").or_insert(HeaderValue::from_static("no-cache, private"));
        drop(running);
        let path = info.resource.unwrap_or_default();
        let code = reply.status().as_u16();
        self.0.metrics.answered(&Answered {
            verb: &info.verb,
            group: &path.group,
            resource: &path.resource,
            code,
            seconds: begun.elapsed().as_secs_f64(),
        });
        debug!(verb = info.verb, path = info.path, code, user, "answered");
        if path.group == OF_THE_FLEET && is_refused_change(&info.verb, code) {
            let audit_id =
                reply.headers().get("audit-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
            info!(target: "muster_audit", user, verb = info.verb, path = info.path, code, audit_id, "refused");
        }
        reply
    }

    async fn answer<B>(
        &self,
        identity: Identity,
        info: RequestInfo,
        query: Query,
        accept: Accept,
        request: Request<B>,
    ) -> Result<Reply, Refusal>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, incoming) = request.into_parts();
        let who = if wants(&parts.headers) {
            impersonated(&self.0.authorizer, &identity, &parts.headers)?
        } else {
            identity
        };
        let mut what = Attributes::of(&info);
        if what.name.is_empty() && ["list", "watch", "deletecollection"].contains(&what.verb.as_str()) {
            what.name = query.list()?.fields.name().unwrap_or("").to_owned();
        }
        self.0.authorizer.require(&who, &what)?;
        if let Some(remote) = aggregation::behind(self, &info.path) {
            let body = body::read(incoming, self.0.config.body_bytes_max).await?;
            return aggregation::hand_on(self, &remote, &who, parts, body).await;
        }
        if info.resource.is_none() {
            return plain::answer(self, &parts.method, &info.path, &query, &accept, &parts.headers, incoming)
                .await;
        }
        let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let content_type = text(CONTENT_TYPE).map(str::to_owned);
        if bulk::is_bulk(&info, content_type.as_deref()) {
            let request = bulk::Request::new(self, who, info, query)?;
            return Box::pin(bulk::create(self, request, incoming)).await;
        }
        let reads = [Method::GET, Method::HEAD].contains(&parts.method);
        let body =
            if reads { Bytes::new() } else { body::read(incoming, self.0.config.body_bytes_max).await? };
        let mut call = Call {
            who,
            info,
            query,
            accept,
            content_type,
            body,
            warnings: Vec::new(),
            annotations: Vec::new(),
        };
        let answered = rest::answer(self, &mut call).await;
        let mut reply = answered.unwrap_or_else(|refusal| reply::refusal(&refusal, Syntax::Json));
        for (key, value) in &call.annotations {
            debug!(user = call.who.user, path = call.info.path, key, value, "noted by admission");
        }
        for warning in &call.warnings {
            let text = format!("299 - \"{}\"", warning.replace('\\', "\\\\").replace('"', "\\\""));
            if let Ok(value) = HeaderValue::from_str(&text) {
                reply.headers_mut().append(WARNING, value);
            }
        }
        Ok(reply)
    }
}

/// Not allowed, or not well said; a conflict is neither.
fn is_refused_change(verb: &str, code: u16) -> bool {
    !matches!(verb, "get" | "list" | "watch") && matches!(code, 400 | 403 | 422)
}

fn audit_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get("audit-id").filter(|value| value.len() <= 64).cloned();
    given.unwrap_or_else(|| {
        HeaderValue::from_str(&Uuid::new_v4().to_string()).expect("a uuid is a valid header value")
    })
}
