//! Some lines of a stream: admitted one by one, committed together.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use muster_schema::decode::Encoding;
use muster_store::{CommitError, Expect, Write};

use super::Request;
use crate::object::Object;
use crate::request::{Accept, DryRun};
use crate::rest::create::{Admitted, Status, admitted, create_entry};
use crate::rest::{Call, Target, codec, commit_error};
use crate::server::ApiServer;
use crate::status::Refusal;

/// Lines under way at a time where webhooks are asked about each.
const ASKED_MAX: usize = 16;

/// A line and its number, from 1.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) text: Bytes,
}

pub(super) type Chunk = Arc<[Line]>;
/// The warnings of an object that was created, or why it was not.
pub(super) type Outcome = Result<Vec<String>, Refusal>;

/// A line that is ready to be written.
struct Ready {
    line: Line,
    name: String,
    object: Object,
    warnings: Vec<String>,
}

enum Done {
    Ready(Box<Ready>),
    Settled(Line, Outcome),
}

/// Does the lines of a chunk.
pub(super) async fn create(
    server: &ApiServer,
    request: &Request,
    target: &Target,
    chunk: Chunk,
) -> Vec<(Line, Outcome)> {
    let concerned = crate::extend::webhooks::concern(server, &call(request, Bytes::new()), target);
    let at_a_time = if concerned { ASKED_MAX } else { 1 };
    let lines = chunk.iter().cloned();
    let done = futures::stream::iter(lines.map(|line| Box::pin(one(server, request, target, line))));
    let done: Vec<Done> = done.buffered(at_a_time).collect().await;
    let (mut ready, mut outcomes) = (Vec::with_capacity(done.len()), Vec::with_capacity(done.len()));
    for one in done {
        match one {
            Done::Ready(one) => ready.push(*one),
            Done::Settled(line, outcome) => outcomes.push((line, outcome)),
        }
    }
    commit(server, target, ready, &mut outcomes).await;
    outcomes.sort_by_key(|(line, _)| line.number);
    outcomes
}

fn call(request: &Request, body: Bytes) -> Call {
    Call {
        who: request.who.clone(),
        info: request.info.clone(),
        query: request.query.clone(),
        accept: Accept::default(),
        content_type: None,
        body,
        warnings: Vec::new(),
        annotations: Vec::new(),
    }
}

async fn one(server: &ApiServer, request: &Request, target: &Target, line: Line) -> Done {
    let mut call = call(request, line.text.clone());
    match admit(server, &mut call, target, request.status).await {
        Ok(Some((name, object))) => {
            Done::Ready(Box::new(Ready { line, name, object, warnings: call.warnings }))
        }
        Ok(None) => Done::Settled(line, Ok(call.warnings)),
        Err(refusal) => Done::Settled(line, Err(refusal)),
    }
}

/// What is to be written; nothing where it is written already, or will not be: an object whose name the server chooses
/// or that holds an address goes alone, a dry run nowhere.
async fn admit(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
    status: Status,
) -> Result<Option<(String, Object)>, Refusal> {
    let value = codec::decode_as(&target.served, call, Encoding::Json)?;
    let named = value.pointer("/metadata/name").is_some_and(|name| name.as_str() != Some(""));
    let alone = !named || &*target.served.resource == "services";
    if alone && status == Status::Kept {
        return Err(Refusal::bad_request(
            "where the status is kept, each object needs a name and is no Service",
        ));
    }
    if alone || call.dry_run()? == DryRun::All {
        create_entry(server, call, target, value).await?;
        return Ok(None);
    }
    let Admitted { name, object } = admitted(server, call, target, value, status).await?;
    Ok(Some((name, object)))
}

/// Writes all in one commit. One that is there already is taken out, and the others tried again.
async fn commit(
    server: &ApiServer,
    target: &Target,
    mut ready: Vec<Ready>,
    outcomes: &mut Vec<(Line, Outcome)>,
) {
    let store = server.store();
    let about = target.served.about();
    let exists = |one: &Ready| store.get(&target.key_of(&one.name)).is_some();
    let taken = ready.extract_if(.., |one| exists(one));
    outcomes.extend(taken.map(|one| (one.line, Err(Refusal::already_exists(about, &one.name)))));
    while !ready.is_empty() {
        let write = |one: &Ready| Write::Put {
            key: target.key_of(&one.name),
            value: one.object.clone(),
            expect: Expect::Absent,
        };
        match store.commit(ready.iter().map(write).collect()).await {
            Ok(_) => {
                outcomes.extend(ready.drain(..).map(|one| (one.line, Ok(one.warnings))));
            }
            Err(CommitError::Conflict { index, .. }) => {
                let one = ready.remove(index);
                outcomes.push((one.line, Err(Refusal::already_exists(about, &one.name))));
            }
            Err(error) => {
                let refusal = commit_error(about, "", error);
                outcomes.extend(ready.drain(..).map(|one| (one.line, Err(refusal.clone()))));
            }
        }
    }
}
