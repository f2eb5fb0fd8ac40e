//! Redfish against `sushy-emulator`, also through a proxy that answers as bad controllers do.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::{Api, Client};
use muster_api::order::{OrderPhase, Verb};

use super::emulator::{Sushy, system};
use super::fleet::{Plane, block_on, create, machines, order, phases};
use crate::harness::wait_for;

/// Passes requests on and, every so often, answers with an error, not at all, or with a member missing.
struct Proxy {
    port: u16,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, stop) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
        let (told, count) = (Arc::clone(&stop), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::Relaxed);
                // A client that gives up in the middle is what this is about.
                std::thread::spawn(move || pass(client, to, number).unwrap_or_default());
            }
        });
        Self { port, stop }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// Head and body of one message.
fn message(stream: &TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            break;
        }
    }
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok((head, body))
}

fn pass(mut client: TcpStream, to: u16, number: usize) -> std::io::Result<()> {
    let (head, body) = message(&client)?;
    match number % 9 {
        3 => {
            return client.write_all(
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
        // It is held until the client has had enough.
        5 if number.is_multiple_of(5) => return client.read_to_end(&mut Vec::new()).map(drop),
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", to))?;
    server.write_all(head.as_bytes())?;
    server.write_all(&body)?;
    let (head, body) = message(&server)?;
    let mut text = String::from_utf8_lossy(&body).into_owned();
    match number % 9 {
        6 => text = text.replace("\"PowerState\"", "\"powerstate\""),
        7 => text = text.replace("\"PowerState\"", "\"Other\""),
        8 => {
            return client.write_all(
                b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
        _ => {}
    }
    let status = head.lines().next().unwrap_or_default();
    let answer = format!(
        "{status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    client.write_all(answer.as_bytes())
}

/// Orders `verb` for every machine and waits until all have ended; how long it took.
fn ordered(client: &Client, count: usize, verb: Verb, within: Duration) -> Duration {
    let began = Instant::now();
    block_on(async {
        for number in 0..count {
            create(Api::all(client.clone()), &order(&format!("m{number}"), verb, within)).await;
        }
    });
    wait_for("end of all orders", within + Duration::from_secs(10), || {
        let suffix = format!(".{}", verb.as_str().to_lowercase());
        let all = block_on(phases(client));
        let open: Vec<_> =
            all.iter().filter(|(name, status)| name.ends_with(&suffix) && !status.phase.is_final()).collect();
        if open.is_empty() { Ok(()) } else { Err(format!("{} open, such as {:?}", open.len(), open[0])) }
    });
    let took = began.elapsed();
    for (name, status) in block_on(phases(client)) {
        assert_eq!(status.phase, OrderPhase::Done, "{name}: {} {:?}", status.message, status.acts);
    }
    took
}

fn fleet(directory: &std::path::Path, systems: usize, port: u16) -> (Plane, Client) {
    let plane = Plane::start(directory);
    let client = plane.client();
    let rows: Vec<(String, String)> = (0..systems)
        .map(|number| (format!("m{number}"), format!("redfish://127.0.0.1:{port}/{}", system(number))))
        .collect();
    block_on(machines(&client, &rows, &[("scheme", "http")]));
    (plane, client)
}

#[test]
#[ignore = "make test-slow runs it"]
fn a10_through_errors_hangs_and_missing_members_every_machine_is_cycled() {
    let directory = tempfile::tempdir().unwrap();
    let sushy = match Sushy::start(directory.path(), 6) {
        Ok(sushy) => sushy,
        Err(why) => return println!("could not run: {why}"),
    };
    let proxy = Proxy::start(sushy.port);
    let (_plane, client) = fleet(directory.path(), 6, proxy.port);
    ordered(&client, 6, Verb::PowerOn, Duration::from_secs(120));
    ordered(&client, 6, Verb::PowerCycle, Duration::from_secs(180));
}

#[test]
#[ignore = "make test-slow runs it"]
fn a10_five_hundred_machines_behind_one_redfish_service_are_switched_on_without_an_error() {
    five_hundred_power_ons_through_one_redfish_service();
}

#[test]
#[ignore = "make bench runs it"]
fn five_hundred_power_ons_through_one_redfish_service() {
    let directory = tempfile::tempdir().unwrap();
    let sushy = match Sushy::start(directory.path(), 500) {
        Ok(sushy) => sushy,
        Err(why) => return println!("could not run: {why}"),
    };
    let (_plane, client) = fleet(directory.path(), 500, sushy.port);
    let took = ordered(&client, 500, Verb::PowerOn, Duration::from_secs(300));
    println!("500 power-ons through one Redfish emulator: {:.1} s (goal 90)", took.as_secs_f32());
}
