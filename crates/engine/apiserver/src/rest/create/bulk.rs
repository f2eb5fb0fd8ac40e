//! Many objects of one kind in one request: a stream of JSON lines, each admitted as any create.
//!
//! Lines are read in chunks, a few chunks are under way at a time, and each is one commit; the log syncs several
//! together. Reading waits while they are: the client is held back, memory is bounded.

mod chunk;
pub mod client;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt;
use muster_base::task::Kind;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::authn::Identity;
use crate::authz::Attributes;
use crate::request::{Query, RequestInfo};
use crate::rest::Target;
use crate::rest::create::Status;
use crate::server::{ApiServer, Reply, raw};
use crate::status::{Reason, Refusal};
use chunk::{Chunk, Line};
use client::{LineReport, Report};

const CHUNK_LINES: usize = 256;
const CHUNK_BYTES: usize = 512 << 10;
/// Chunks under way: enough for every core while one more waits for the disk.
const CHUNKS_MAX: usize = 6;
/// Lines that are told one by one; further ones are counted.
const TOLD_MAX: usize = 10_000;
/// Until the client sends something more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What every line of a request shares.
pub(crate) struct Request {
    pub(crate) who: Identity,
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    status: Status,
}

impl Request {
    /// Fails if the status of the objects is to be kept by one who may not write it.
    pub(crate) fn new(
        server: &ApiServer,
        who: Identity,
        info: RequestInfo,
        query: Query,
    ) -> Result<Self, Refusal> {
        let mut status = Status::Dropped;
        if query.flag(client::KEEP_STATUS) {
            let mut what = Attributes::of(&info);
            what.verb = "update".to_owned();
            what.subresource = "status".to_owned();
            server.inner().authorizer.require(&who, &what)?;
            status = Status::Kept;
        }
        Ok(Self { who, info, query, status })
    }
}

/// Whether a request is such a stream.
pub(crate) fn is_bulk(info: &RequestInfo, content_type: Option<&str>) -> bool {
    let media = content_type.unwrap_or("").split(';').next().unwrap_or("").trim();
    let of_collection =
        |path: &crate::request::ResourcePath| path.name.is_empty() && path.subresource.is_empty();
    media == client::CONTENT_TYPE
        && info.verb == "create"
        && info.resource.as_ref().is_some_and(of_collection)
}

/// Creates the objects of a stream; every line is done or not done by itself. Answered when the stream has ended.
pub(crate) async fn create<B>(server: &ApiServer, request: Request, body: B) -> Result<Reply, Refusal>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let target = target(server, &request.info)?;
    request.query.dry_run()?;
    request.query.field_validation()?;
    let mut work = Work {
        server,
        request: Arc::new(request),
        target,
        running: VecDeque::new(),
        report: Report::default(),
    };
    let begun = std::time::Instant::now();
    let broken = work.read(body).await;
    while !work.running.is_empty() {
        work.settle().await;
    }
    let mut report = work.report;
    report.seconds = begun.elapsed().as_secs_f64();
    report.broken = broken.err();
    let code = if report.broken.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let bytes = serde_json::to_vec(&report).map_err(Refusal::internal)?;
    Ok(raw(code, "application/json", bytes))
}

fn target(server: &ApiServer, info: &RequestInfo) -> Result<Target, Refusal> {
    let path = info.resource.clone().unwrap_or_default();
    let registry = server.inner().registry.current();
    let group_version =
        if path.group.is_empty() { path.version.clone() } else { format!("{}/{}", path.group, path.version) };
    let resource = registry.resource(&group_version, &path.resource).ok_or_else(Refusal::no_such_resource)?;
    let served = registry.find(&path.group, &path.version, &path.resource);
    let (true, Some(served)) = (resource.verbs.contains(&info.verb), served) else {
        return Err(Refusal::method_not_allowed());
    };
    let target = Target::new(served, &path.namespace, "", "");
    if target.served.namespaced() && target.namespace.is_empty() {
        return Err(Refusal::method_not_allowed());
    }
    Ok(target)
}

/// A chunk and the task that works on it.
type Running = (Chunk, JoinHandle<Vec<(Line, chunk::Outcome)>>);

struct Work<'a> {
    server: &'a ApiServer,
    request: Arc<Request>,
    target: Target,
    running: VecDeque<Running>,
    report: Report,
}

impl Work<'_> {
    /// Reads to the end; what broke the stream, if something did.
    async fn read<B>(&mut self, body: B) -> Result<(), String>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut body = std::pin::pin!(body);
        let (mut rest, mut lines) = (BytesMut::new(), Lines::default());
        loop {
            let Some(data) = next(body.as_mut()).await? else { break };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1).freeze();
                if let Some(chunk) = lines.add(line.slice(..end)) {
                    self.start(chunk).await;
                }
            }
            let max = self.server.inner().config.body_bytes_max;
            if max < rest.len() {
                return Err(format!("line {} has more than {max} bytes", lines.count + 1));
            }
        }
        if let Some(chunk) = lines.add(rest.freeze()) {
            self.start(chunk).await;
        }
        if let Some(chunk) = lines.take() {
            self.start(chunk).await;
        }
        Ok(())
    }

    async fn start(&mut self, chunk: Chunk) {
        while CHUNKS_MAX <= self.running.len() {
            self.settle().await;
        }
        let (server, request, target) = (self.server.clone(), Arc::clone(&self.request), self.target.clone());
        let lines = chunk.clone();
        let work = async move { chunk::create(&server, &request, &target, lines).await };
        let handle = self.server.inner().tasks.spawn(Kind::Request, "bulk create", work);
        self.running.push_back((chunk, handle));
    }

    /// Waits for the oldest chunk and takes in what became of its lines.
    async fn settle(&mut self) {
        let Some((chunk, handle)) = self.running.pop_front() else { return };
        self.report.lines += chunk.len() as u64;
        match handle.await {
            Ok(outcomes) => outcomes.into_iter().for_each(|(line, outcome)| self.take(&line, outcome)),
            Err(error) => {
                let refusal =
                    Refusal::new(Reason::InternalError, format!("the work on it ended early: {error}"));
                chunk.iter().for_each(|line| self.take(line, Err(refusal.clone())));
            }
        }
    }

    fn take(&mut self, line: &Line, outcome: chunk::Outcome) {
        let (status, warnings) = match outcome {
            Ok(warnings) => {
                self.report.created += 1;
                (None, warnings)
            }
            Err(refusal) => {
                self.report.failed += 1;
                (Some(refusal.document()), Vec::new())
            }
        };
        if status.is_none() && warnings.is_empty() {
            return;
        }
        if TOLD_MAX <= self.report.told.len() {
            self.report.untold += 1;
            return;
        }
        self.report.told.push(LineReport {
            line: line.number,
            status: status.unwrap_or(Value::Null),
            warnings,
        });
    }
}

/// The next bytes of a stream; none at its end.
async fn next<B>(mut body: Pin<&mut B>) -> Result<Option<Bytes>, String>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match tokio::time::timeout(IDLE_TIMEOUT, body.frame()).await {
        Err(_) => Err(format!("nothing was sent for {} s", IDLE_TIMEOUT.as_secs())),
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
        Ok(Some(Err(error))) => {
            let error: Box<dyn std::error::Error + Send + Sync> = error.into();
            Err(format!("the stream broke: {error}"))
        }
    }
}

/// Lines gathered for the next chunk; empty ones are numbered and left out.
#[derive(Default)]
struct Lines {
    count: u64,
    bytes: usize,
    chunk: Vec<Line>,
}

impl Lines {
    fn add(&mut self, text: Bytes) -> Option<Chunk> {
        self.count += 1;
        if !text.iter().all(u8::is_ascii_whitespace) {
            self.bytes += text.len();
            self.chunk.push(Line { number: self.count, text });
        }
        (CHUNK_LINES <= self.chunk.len() || CHUNK_BYTES <= self.bytes).then(|| self.take()).flatten()
    }

    fn take(&mut self) -> Option<Chunk> {
        self.bytes = 0;
        let lines = std::mem::take(&mut self.chunk);
        (!lines.is_empty()).then(|| lines.into())
    }
}
