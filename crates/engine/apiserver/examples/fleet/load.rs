//! Loading a fleet.

use std::convert::Infallible;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use muster_apiserver::bulk;
use serde_json::Value;
use tower::ServiceExt;

use crate::process::{anonymous_bytes, cpu_seconds, directory_bytes, peak_bytes};
use crate::{INVENTORIES, MACHINES, World, records};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const LINES_OF_A_FRAME: u64 = 64;

pub(crate) async fn run(count: u64, directory: PathBuf) -> Result<(), Box<dyn Error>> {
    let world = World::open(directory.clone()).await?;
    for crd in muster_api::crds::all() {
        let request = http::Request::post(CRDS).header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(serde_json::to_vec(&crd)?)))?;
        world.service.clone().oneshot(request).await?;
    }
    let empty = anonymous_bytes();
    let begun = Instant::now();
    stream(&world, "machines", MACHINES, count, records::machine).await?;
    let machines = anonymous_bytes();
    let path = format!("{INVENTORIES}?{}=true", bulk::KEEP_STATUS);
    stream(&world, "inventories", &path, count, records::inventory).await?;
    let both = anonymous_bytes();
    println!("load of both kinds: {:.1} s", begun.elapsed().as_secs_f64());
    println!(
        "anonymous memory after the load: {:.2} GiB; {} bytes a machine, {} bytes an inventory; peak of all memory {:.2} GiB",
        gib(both),
        machines.saturating_sub(empty) / count,
        both.saturating_sub(machines) / count,
        gib(peak_bytes()),
    );
    world.close().await?;
    println!("bytes on disk: {:.2} GiB", gib(directory_bytes(&directory.join("store"))?));
    Ok(())
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

async fn stream(
    world: &World,
    what: &str,
    path: &str,
    count: u64,
    record: fn(u64) -> Value,
) -> Result<(), Box<dyn Error>> {
    let frames = (0..count).step_by(LINES_OF_A_FRAME as usize).map(move |first| {
        let last = count.min(first + LINES_OF_A_FRAME);
        let text: String = (first..last).map(|n| format!("{}\n", record(n))).collect();
        Ok::<_, Infallible>(Frame::data(Bytes::from(text)))
    });
    let bytes = record(count / 2).to_string().len();
    let begun = (Instant::now(), cpu_seconds());
    let request = bulk::request(path, StreamBody::new(futures::stream::iter(frames)))?;
    let answer = world.service.clone().oneshot(request).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    let (seconds, cpu) = (begun.0.elapsed().as_secs_f64(), cpu_seconds() - begun.1);
    let report: bulk::Report = serde_json::from_slice(&body)?;
    if report.created != count {
        return Err(format!("{} of {count} were created: {:?}", report.created, report.told.first()).into());
    }
    println!(
        "bulk load of {count} {what} of {bytes} bytes: {seconds:.1} s, {:.0} records/s, {:.1} us CPU each (the client's share in it)",
        count as f64 / seconds,
        cpu * 1e6 / count as f64
    );
    Ok(())
}
