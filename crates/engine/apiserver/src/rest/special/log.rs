//! Logs of a pod's containers, from the node that runs it.

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::rest::{Call, Target, meta};
use crate::server::{
    ApiServer, DialError, FollowLog as Follow, LogOptions, Previous, Reply, ReplyBody, Timestamps,
};
use crate::status::{Reason, Refusal};

pub(super) async fn logs(server: &ApiServer, call: &mut Call, target: &Target) -> Result<Reply, Refusal> {
    let entry = server.store().get(&target.key()).ok_or_else(|| target.not_found())?;
    let pod = target.served.document(&entry);
    let container = container(call, target, &pod)?;
    let node = meta::text(&pod, "/spec/nodeName");
    if node.is_empty() {
        // As upstream: nothing is there yet, and that is no error.
        return Ok(reply(ReplyBody::full(bytes::Bytes::new())));
    }
    let options = options(call, target, &pod, container)?;
    let stream = server.inner().dialer.logs(node, options).await.map_err(|error| match error {
        DialError::NotFound { .. } => Refusal::new(Reason::NotFound, error.to_string()),
        DialError::BadRequest { .. } => Refusal::bad_request(error.to_string()),
        DialError::Unreachable { .. } => Refusal::internal(error),
    })?;
    Ok(reply(ReplyBody::Stream(stream)))
}

fn reply(body: ReplyBody) -> Reply {
    let mut reply = Reply::new(body);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    reply
}

fn names(pod: &Value, list: &str) -> Vec<String> {
    let list = pod["spec"][list].as_array().into_iter().flatten();
    list.filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
}

fn container(call: &Call, target: &Target, pod: &Value) -> Result<String, Refusal> {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let all: Vec<String> = lists.iter().flat_map(|list| names(pod, list)).collect();
    if let Some(asked) = call.query.text("container") {
        if all.iter().any(|name| name == asked) {
            return Ok(asked.to_owned());
        }
        return Err(Refusal::bad_request(format!("container {asked} is not valid for pod {}", target.name)));
    }
    let annotated = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    if let Some(annotated) = annotated.filter(|name| all.iter().any(|one| one == name)) {
        return Ok(annotated.to_owned());
    }
    match names(pod, "containers").as_slice() {
        [one] => Ok(one.clone()),
        several => {
            let mut text = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                target.name,
                several.join(" ")
            );
            let init = names(pod, "initContainers");
            if !init.is_empty() {
                text.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(Refusal::bad_request(text))
        }
    }
}

fn options(call: &Call, target: &Target, pod: &Value, container: String) -> Result<LogOptions, Refusal> {
    let query = &call.query;
    fn number<T: std::str::FromStr>(query: &crate::request::Query, key: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = query.text(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Refusal::bad_request(format!("{key}: {text:?} is not valid")))
    }
    Ok(LogOptions {
        namespace: target.namespace.clone(),
        pod: target.name.clone(),
        uid: meta::text(pod, "/metadata/uid").to_owned(),
        container,
        follow: if query.flag("follow") { Follow::Yes } else { Follow::No },
        previous: if query.flag("previous") { Previous::Yes } else { Previous::No },
        timestamps: if query.flag("timestamps") { Timestamps::Yes } else { Timestamps::No },
        tail_lines: number(query, "tailLines")?,
        limit_bytes: number(query, "limitBytes")?,
        since_seconds: number(query, "sinceSeconds")?,
        since_time: number(query, "sinceTime")?,
    })
}
