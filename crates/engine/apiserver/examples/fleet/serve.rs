//! Starting with a fleet, reading and updating it.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use muster_apiserver::InProcess;
use serde_json::json;
use tower::ServiceExt;

use crate::process::{anonymous_bytes, quantile};
use crate::records::{mixed, name};
use crate::{INVENTORIES, MACHINES, World};

const READS: u64 = 20_000;
/// 12,500 a minute: one delta of each machine of a cell every minute.
const UPDATES_PER_SECOND: f64 = 12_500.0 / 60.0;
const UPDATES_FOR: Duration = Duration::from_secs(15);

pub(crate) async fn run(directory: PathBuf) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let world = World::open(directory).await?;
    let count = world.server.store().snapshot("machines.muster.dev").len() as u64;
    let service = world.service.clone();
    call(&service, "GET", &format!("{MACHINES}/{}", name(0)), None).await?;
    println!(
        "restart to ready, {count} machines and their inventories: {:.1} s, {} writes replayed from the log",
        begun.elapsed().as_secs_f64(),
        world.recovery.replayed
    );
    println!("anonymous memory after the restart: {:.2} GiB", anonymous_bytes() as f64 / f64::from(1 << 30));
    reads(&service, count).await?;
    updates(&service, count).await?;
    world.close().await
}

async fn reads(service: &InProcess, count: u64) -> Result<(), Box<dyn Error>> {
    for (what, path) in [("machine", MACHINES), ("inventory", INVENTORIES)] {
        let mut times = Vec::new();
        for read in 0..READS {
            let path = format!("{path}/{}", name(mixed(read) % count));
            let begun = Instant::now();
            call(service, "GET", &path, None).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        let (half, most) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
        println!("point read of a {what}: p50 {half:.0} us, p99 {most:.0} us");
    }
    Ok(())
}

/// Updates at a steady rate, and a read beside each.
async fn updates(service: &InProcess, count: u64) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    let mut made = 0_u64;
    while begun.elapsed() < UPDATES_FOR {
        let due = begun + Duration::from_secs_f64(made as f64 / UPDATES_PER_SECOND);
        tokio::time::sleep_until(due.into()).await;
        let machine = mixed(made) % count;
        let patch = json!({"status": {"phase": "Registered", "message": format!("seen {made}")}});
        let path = format!("{MACHINES}/{}/status", name(machine));
        writes.push(timed(call(service, "PATCH", &path, Some(patch.to_string()))).await?);
        let path = format!("{INVENTORIES}/{}", name(mixed(made + 1) % count));
        reads.push(timed(call(service, "GET", &path, None)).await?);
        made += 1;
    }
    println!(
        "updates beside reads: {:.0} a minute, p50 {:.1} ms, p99 {:.1} ms; the reads p99 {:.1} ms",
        made as f64 * 60.0 / begun.elapsed().as_secs_f64(),
        quantile(&mut writes, 0.5) * 1e3,
        quantile(&mut writes, 0.99) * 1e3,
        quantile(&mut reads, 0.99) * 1e3
    );
    Ok(())
}

async fn timed(work: impl Future<Output = Result<(), Box<dyn Error>>>) -> Result<f64, Box<dyn Error>> {
    let begun = Instant::now();
    work.await?;
    Ok(begun.elapsed().as_secs_f64())
}

async fn call(
    service: &InProcess,
    method: &str,
    path: &str,
    body: Option<String>,
) -> Result<(), Box<dyn Error>> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/merge-patch+json");
    let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
    let reply = service.clone().oneshot(request).await?;
    let code = reply.status();
    reply.into_body().collect().await?;
    if code.is_success() { Ok(()) } else { Err(format!("{method} {path}: {code}").into()) }
}
