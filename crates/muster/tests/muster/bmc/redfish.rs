//! Redfish against `sushy-emulator`, also through a proxy that answers as bad controllers do.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::api::ListParams;
use kube::{Api, Client};
use muster_api::order::{OrderPhase, Verb};
use muster_api::problem::State;
use muster_api::{BmcReading, Problem};
use serde_json::{Value, json};

use super::emulator::{Sushy, system};
use super::fleet::{Plane, block_on, create, machines, order, phases};
use crate::harness::{MUSTER, Process, wait_for};

/// How a proxy before the emulator answers.
#[derive(Clone)]
enum Manner {
    /// Every so often with an error, not at all, or with a member missing.
    Erratic,
    /// Truly, but for sensors that are bad for as long as it is told so.
    Ailing(Arc<AtomicBool>),
}

/// Passes requests on and answers in its manner.
struct Proxy {
    port: u16,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    fn start(to: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, stop) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
        let (told, count) = (Arc::clone(&stop), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                let (number, manner) = (count.fetch_add(1, Ordering::Relaxed), manner.clone());
                // A client that gives up in the middle is what this is about.
                std::thread::spawn(move || match manner {
                    Manner::Erratic => erratic(client, to, number).unwrap_or_default(),
                    Manner::Ailing(is_bad) => ailing(client, to, &is_bad).unwrap_or_default(),
                });
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

/// What the emulator answers: the first line, and the body.
fn asked(to: u16, head: &str, body: &[u8]) -> std::io::Result<(String, String)> {
    let mut server = TcpStream::connect(("127.0.0.1", to))?;
    server.write_all(head.as_bytes())?;
    server.write_all(body)?;
    let (head, body) = message(&server)?;
    let status = head.lines().next().unwrap_or_default().to_owned();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn answer(client: &mut TcpStream, status: &str, text: &str) -> std::io::Result<()> {
    let length = text.len();
    let head = format!(
        "{status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes())?;
    client.write_all(text.as_bytes())
}

fn erratic(mut client: TcpStream, to: u16, number: usize) -> std::io::Result<()> {
    let (head, body) = message(&client)?;
    match number % 9 {
        3 => return answer(&mut client, "HTTP/1.1 503 Service Unavailable", ""),
        // It is held until the client has had enough.
        5 if number.is_multiple_of(5) => return client.read_to_end(&mut Vec::new()).map(drop),
        _ => {}
    }
    let (status, mut text) = asked(to, &head, &body)?;
    match number % 9 {
        6 => text = text.replace("\"PowerState\"", "\"powerstate\""),
        7 => text = text.replace("\"PowerState\"", "\"Other\""),
        8 => return answer(&mut client, "HTTP/1.1 500 Internal Server Error", ""),
        _ => {}
    }
    answer(&mut client, &status, &text)
}

fn ailing(mut client: TcpStream, to: u16, is_bad: &AtomicBool) -> std::io::Result<()> {
    let (head, body) = message(&client)?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let health = if is_bad.load(Ordering::Relaxed) { "Critical" } else { "OK" };
    let status = json!({"State": "Enabled", "Health": health});
    if path.ends_with("/Power") {
        // The emulator has no such document.
        let supply = json!({"Name": "PSU 1", "LastPowerOutputWatts": 0, "Status": status});
        let document = json!({"@odata.id": path, "Name": "Power", "PowerSupplies": [supply]});
        return answer(&mut client, "HTTP/1.1 200 OK", &document.to_string());
    }
    let (first, text) = asked(to, &head, &body)?;
    let Ok(mut document) = serde_json::from_str::<Value>(&text) else {
        return answer(&mut client, &first, &text);
    };
    if path.ends_with("/Thermal") {
        document["Temperatures"][0]["Status"] = status.clone();
        document["Fans"][0]["Status"] = status;
    } else if document.get("Thermal").is_some() {
        document["Power"] = json!({"@odata.id": format!("{path}/Power")});
    }
    answer(&mut client, &first, &document.to_string())
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
    let proxy = Proxy::start(sushy.port, Manner::Erratic);
    let (_plane, client) = fleet(directory.path(), 6, proxy.port);
    ordered(&client, 6, Verb::PowerOn, Duration::from_secs(120));
    ordered(&client, 6, Verb::PowerCycle, Duration::from_secs(180));
}

/// The classes of the open problems of the machine, and of those that are clear.
fn classes(client: &Client) -> (BTreeSet<String>, BTreeSet<String>) {
    let problems = block_on(Api::<Problem>::all(client.clone()).list(&ListParams::default())).unwrap();
    let of = |wanted: State| {
        let is = |problem: &&Problem| problem.status.as_ref().is_some_and(|status| status.state == wanted);
        problems.iter().filter(is).map(|problem| problem.spec.class.clone()).collect()
    };
    (of(State::Open), of(State::Clear))
}

#[test]
#[ignore = "make test-slow runs it"]
fn sensors_behind_redfish_are_told_by_the_doctor_and_clear_when_they_are_well() {
    if !nix::unistd::geteuid().is_root() {
        return println!("could not run: not root");
    }
    let directory = tempfile::tempdir().unwrap();
    let sushy = match Sushy::start(directory.path(), 1) {
        Ok(sushy) => sushy,
        Err(why) => return println!("could not run: {why}"),
    };
    let is_bad = Arc::new(AtomicBool::new(true));
    let proxy = Proxy::start(sushy.port, Manner::Ailing(Arc::clone(&is_bad)));
    let (plane, client) = fleet(directory.path(), 1, proxy.port);
    let mut doctor = Command::new(MUSTER);
    doctor.args(["doctor", "--machine", "m0", "--end-with-parent", "--kubeconfig"]);
    doctor.arg(plane.data_dir.join("kubeconfig")).arg("--state-dir").arg(directory.path().join("doctor"));
    doctor.arg("--probe-socket").arg(directory.path().join("none.sock"));
    let _doctor = Process::start(doctor, &directory.path().join("doctor.log"));
    let expected = ["fan.failed", "power.failed", "temp.high"].map(str::to_owned);
    wait_for("problems of the sensors", Duration::from_secs(60), || {
        let (open, _) = classes(&client);
        let reading = || block_on(Api::<BmcReading>::all(client.clone()).get_opt("m0"));
        if expected.iter().all(|class| open.contains(class)) {
            Ok(())
        } else {
            Err(format!("{open:?} of {:?}", reading()))
        }
    });
    is_bad.store(false, Ordering::Relaxed);
    // Sensors are read every five minutes; two of quiet follow.
    wait_for("clear problems", Duration::from_secs(9 * 60), || {
        let (open, clear) = classes(&client);
        let is_clear = |class: &String| clear.contains(class) && !open.contains(class);
        if expected.iter().all(is_clear) { Ok(()) } else { Err(format!("{open:?} {clear:?}")) }
    });
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
