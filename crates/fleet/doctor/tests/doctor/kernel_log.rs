//! The kernel log: the real one of this machine, to which tests write lines, and one that a test makes up.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use crate::bench::{Bench, needs, rest, wait_for, wait_state, write};

const SECOND: Duration = Duration::from_secs(1);

/// Hands on what the kernel says from now on, record after record, as the agent does.
pub(crate) fn hand_on(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut log = std::fs::File::open("/dev/kmsg").unwrap();
            log.seek(SeekFrom::End(0)).unwrap();
            let mut record = vec![0; 16 * 1024];
            loop {
                match log.read(&mut record) {
                    Ok(bytes) if stream.write_all(&record[..bytes]).is_err() => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
                    Err(_) => break,
                }
            }
        }
    });
}

/// One line of the kernel log. An open file may write few of them only, so each has its own; without its end a line waits for more.
fn say(text: &str) {
    let mut log = std::fs::OpenOptions::new().write(true).open("/dev/kmsg").unwrap();
    log.write_all(format!("<3>{text}\n").as_bytes()).unwrap();
}

/// Ten classes, of parts that no other test and no machine has.
fn line(kind: usize, nonce: u32) -> (String, &'static str, String) {
    let part = format!("zz{nonce}x{kind}");
    let (text, class) = match kind {
        0 => (format!("I/O error, dev {part}, sector 1"), "disk.media_error"),
        1 => (format!("critical space allocation error, dev {part}, sector 8"), "disk.space_below"),
        2 => (format!("EXT4-fs error (device {part}): ext4_x: reading"), "fs.error"),
        3 => (format!("EXT4-fs ({part}): Remounting filesystem read-only"), "fs.readonly"),
        4 => (format!("NETDEV WATCHDOG: {part} (igb): transmit queue 0 timed out"), "nic.hang"),
        other => return fixed(other),
    };
    (text, class, part)
}

fn fixed(kind: usize) -> (String, &'static str, String) {
    let (text, class, part) = match kind {
        5 => ("INFO: task dd:1 blocked for more than 120 seconds.", "io.stall", "tasks"),
        6 => ("watchdog: BUG: soft lockup - CPU#1 stuck for 22s!", "cpu.lockup", "cpu"),
        7 => ("Oops: 0000 [#1] PREEMPT SMP", "kernel.oops", "kernel"),
        8 => ("mce: [Hardware Error]: Machine check events logged", "mem.ecc", "cpu"),
        _ => ("nf_conntrack: table full, dropping packet", "net.conntrack_full", "conntrack"),
    };
    (text.to_owned(), class, part.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_a_thousand_lines_of_ten_classes_are_ten_problems_that_count_them_all() {
    needs!();
    let bench = Bench::new();
    let socket = bench.path("kmsg.sock");
    hand_on(&socket);
    let mut local = bench.blind();
    local.kmsg_socket = Some(socket);
    let tasks = bench.doctor(local).await;
    let nonce = std::process::id();
    rest(SECOND).await;
    // The first line builds what the expressions keep, slowly where they are not optimised.
    say(&format!("I/O error, dev zz{nonce}, sector 1"));
    let first = wait_state(&bench.fleet, &format!("disk.media_error zz{nonce} Open"), 30 * SECOND).await;
    println!("a1: the very first line to Problem: {first:?}");
    let mut waits = Vec::new();
    for round in 0..100 {
        for kind in 0..10 {
            let (text, class, part) = line(kind, nonce);
            say(&text);
            if round == 0 {
                waits.push(wait_state(&bench.fleet, &format!("{class} {part} Open"), SECOND).await);
            }
        }
    }
    waits.sort();
    println!("a1: line to Problem, slowest of ten: {:?}", waits[9]);
    let counted = || (0..10).map(|kind| count(&bench, kind, nonce)).sum::<u64>();
    wait_for("all lines counted", 10 * SECOND, || match counted() {
        1000 => Ok(()),
        other => Err(format!("{other} counted")),
    })
    .await;
    let (_, class, part) = line(0, nonce);
    let status = bench.fleet.status(class, &part).unwrap();
    assert_eq!(
        (&status["rule"], status["evidence"].as_array().unwrap().len()),
        (&Value::from("disk-io-error"), 16)
    );
    assert!(0 < status["suppressed"].as_u64().unwrap());
    tasks.drain(5 * SECOND).await.unwrap();
}

fn count(bench: &Bench, kind: usize, nonce: u32) -> u64 {
    let (_, class, part) = line(kind, nonce);
    bench.fleet.status(class, &part).map_or(0, |status| status["count"].as_u64().unwrap())
}

/// A kernel log that a test makes up.
struct Made {
    listener: UnixListener,
}

impl Made {
    fn new(socket: &Path) -> Self {
        Self { listener: UnixListener::bind(socket).unwrap() }
    }

    async fn tell(&self, lines: String) -> std::os::unix::net::UnixStream {
        let listener = self.listener.try_clone().unwrap();
        let accepted = tokio::task::spawn_blocking(move || listener.accept().unwrap().0).await.unwrap();
        (&accepted).write_all(lines.as_bytes()).unwrap();
        accepted
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_lost_records_are_told_with_their_exact_number_also_after_a_restart() {
    let bench = Bench::new();
    write(&bench.path("proc/sys/kernel/random/boot_id"), "boot");
    let made = Made::new(&bench.path("kmsg.sock"));
    let mut local = bench.blind();
    local.kmsg_socket = Some(bench.path("kmsg.sock"));
    local.state_dir = Some(bench.dir.path().to_owned());
    let tasks = bench.doctor(local.clone()).await;
    let stream = made.tell("6,100,1,-;a\n6,101,1,-;b\n6,2688,1,-;c\n".to_owned()).await;
    wait_state(&bench.fleet, "log_lost kernel Open", 5 * SECOND).await;
    let told = |text: &str, count: u64| {
        let status = bench.fleet.status("log_lost", "kernel").unwrap_or_default();
        let rows = status["evidence"].as_array().cloned().unwrap_or_default();
        let there = status["count"] == count && rows.iter().any(|row| row["text"] == text);
        if there { Ok(()) } else { Err(status.to_string()) }
    };
    wait_for("the exact gap", 10 * SECOND, || {
        told("2586 records of the kernel log were lost: 102 to 2687", 2586)
    })
    .await;
    tasks.drain(5 * SECOND).await.unwrap();
    drop(stream);
    let tasks = bench.doctor(local).await;
    let stream = made.tell("6,2687,1,-;b\n6,2688,1,-;c\n6,2700,1,-;d\n".to_owned()).await;
    wait_for("the gap of the restart", 10 * SECOND, || {
        told("11 records of the kernel log were lost: 2689 to 2699", 2597)
    })
    .await;
    tasks.drain(5 * SECOND).await.unwrap();
    drop(stream);
}

/// What a reader met that stood still while the kernel spoke.
#[derive(Default)]
struct Gaps {
    /// Records that were overwritten before it read them.
    lost: u64,
    /// It read the last line of the test.
    is_over: bool,
}

/// Hands on as the agent does; after the first record it stands still until told to go on.
fn hand_on_late(socket: &Path, ready: Sender<()>, go: Receiver<()>) -> Arc<Mutex<Gaps>> {
    let listener = UnixListener::bind(socket).unwrap();
    let gaps = Arc::new(Mutex::new(Gaps::default()));
    let met = Arc::clone(&gaps);
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut log = std::fs::File::open("/dev/kmsg").unwrap();
        log.seek(SeekFrom::End(0)).unwrap();
        let mut record = vec![0; 16 * 1024];
        let mut last = None;
        ready.send(()).unwrap();
        loop {
            let bytes = match log.read(&mut record) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => continue,
                Err(error) => panic!("{error}"),
            };
            let text = String::from_utf8_lossy(&record[..bytes]).into_owned();
            let number: u64 = text.split(',').nth(1).unwrap().parse().unwrap();
            met.lock().lost += last.map_or(0, |last| number - last - 1);
            if stream.write_all(text.as_bytes()).is_err() {
                return;
            }
            if last.replace(number).is_none() {
                go.recv().unwrap();
            }
            met.lock().is_over |= text.contains("a1: the end");
        }
    });
    gaps
}

/// It floods the log of the whole machine: other readers that are slow lose lines too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make test-slow runs it"]
async fn a1_three_thousand_lines_that_nobody_reads_are_told_as_lost_with_their_exact_number() {
    needs!();
    let bench = Bench::new();
    let socket = bench.path("kmsg.sock");
    let ((ready, is_ready), (goes, go)) = (channel(), channel());
    let gaps = hand_on_late(&socket, ready, go);
    let mut local = bench.blind();
    local.kmsg_socket = Some(socket);
    let tasks = bench.doctor(local).await;
    let is_ready = Mutex::new(is_ready);
    wait_for("a reader", 10 * SECOND, || is_ready.lock().try_recv().map_err(|error| error.to_string())).await;
    say("a1: the begin");
    rest(SECOND).await;
    let long = "x".repeat(200);
    (0..3000).for_each(|number| say(&format!("a1: {number} {long}")));
    goes.send(()).unwrap();
    say("a1: the end");
    let lost = wait_for("the end of the log", 30 * SECOND, || match &*gaps.lock() {
        Gaps { lost, is_over: true } => Ok(*lost),
        Gaps { lost, is_over: false } => Err(format!("{lost} lost so far")),
    })
    .await;
    println!("a1: {lost} of 3000 lines were overwritten");
    assert!(0 < lost);
    wait_for("the exact gap", 10 * SECOND, || {
        let status = bench.fleet.status("log_lost", "kernel").unwrap_or_default();
        if status["count"] == lost { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    tasks.drain(5 * SECOND).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_a_rule_on_trial_is_told_in_its_file_and_never_filed() {
    let bench = Bench::new();
    let rule = "- {name: trial, class: trial, pattern: 'mark (?<component>[a-z]+)', quiet: 1m, shadow: true}";
    write(&bench.path("rules/mine.yaml"), rule);
    let made = Made::new(&bench.path("kmsg.sock"));
    let mut local = bench.blind();
    local.kmsg_socket = Some(bench.path("kmsg.sock"));
    local.rules_dir = Some(bench.path("rules"));
    local.state_dir = Some(bench.dir.path().to_owned());
    let tasks = bench.doctor(local).await;
    let stream = made
        .tell("3,1,1,-;mark one\n3,2,1,-;mark one\n3,3,1,-;I/O error, dev sdz, sector 1\n".to_owned())
        .await;
    wait_state(&bench.fleet, "disk.media_error sdz Open", 5 * SECOND).await;
    let trials: Value = serde_json::from_slice(&std::fs::read(bench.path("on-trial.json")).unwrap()).unwrap();
    assert_eq!(
        (&trials["trial/one"]["count"], &trials["trial/one"]["state"]),
        (&Value::from(2), &Value::from("Open"))
    );
    assert_eq!(bench.fleet.states(), ["disk.media_error sdz Open"]);
    tasks.drain(5 * SECOND).await.unwrap();
    drop(stream);
}
