//! The machine's clock against time servers: one packet each, by SNTP (RFC 4330).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_base::clock::SharedClock;
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::rule::{Finding, Look, Rest, Rule};

const SOURCE: &str = "clock";
const EVERY: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A clock that is so far off breaks certificates, leases and logs.
const SKEW_MAX: SignedDuration = SignedDuration::from_millis(500);
const PORT: u16 = 123;
const PACKET: usize = 48;
/// Version 4, mode 3: a client asks.
const ASK: u8 = 0b00_100_011;
/// Seconds from 1900, where NTP begins, to 1970.
const ERA: i64 = 2_208_988_800;

/// What may be found here.
pub(crate) fn rule() -> Arc<Rule> {
    Rule::level(SOURCE, "clock-skew", "clock.skew", 2, 60)
}

/// Asks the servers until shutdown.
pub(crate) async fn watch(
    servers: Vec<String>,
    clock: SharedClock,
    to: Sender<Look>,
    token: CancellationToken,
) {
    let rule = rule();
    loop {
        let asked = async {
            let mut offsets = Vec::new();
            for server in &servers {
                match tokio::time::timeout(ANSWER_WITHIN, ask(server, &clock)).await {
                    Ok(Ok(offset)) => offsets.push((offset, server.as_str())),
                    Ok(Err(error)) => tracing::debug!(server, %error, "a time server was not understood"),
                    Err(_) => tracing::debug!(server, "a time server did not answer"),
                }
            }
            to.send(look(&rule, offsets)).await
        };
        if token.run_until_cancelled(asked).await.is_none_or(|sent| sent.is_err()) {
            return;
        }
        if token.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

/// The middle of what the servers say: one that is wrong convinces nobody. Without an answer nothing is said.
fn look(rule: &Arc<Rule>, mut offsets: Vec<(SignedDuration, &str)>) -> Look {
    offsets.sort();
    let middle = offsets.len().checked_sub(1).map(|last| offsets[last / 2]);
    let Some((offset, server)) = middle else {
        return Look { source: SOURCE, found: Vec::new(), rest: Rest::Unseen };
    };
    let bad = (SKEW_MAX < offset.abs())
        .then(|| format!("the clock is off by {:+.3} s, says {server}", -offset.as_secs_f64()));
    Look { source: SOURCE, found: vec![Finding::of(rule, "clock", bad)], rest: Rest::Unseen }
}

/// How much must be added to the clock to be right.
async fn ask(server: &str, clock: &SharedClock) -> io::Result<SignedDuration> {
    let server = if server.contains(':') { server.to_owned() } else { format!("{server}:{PORT}") };
    let address = lookup_host(server).await?.next().ok_or(io::ErrorKind::NotFound)?;
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(address).await?;
    let sent = clock.now();
    let question = question(sent);
    socket.send(&question).await?;
    let mut answer = [0; PACKET];
    loop {
        let bytes = socket.recv(&mut answer).await?;
        let came = clock.now();
        if bytes == PACKET && answer[24..32] == question[40..48] {
            let text = "it says that it does not know the time";
            return offset(&answer, sent, came).ok_or_else(|| io::Error::other(text));
        }
    }
}

fn question(now: Timestamp) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[0] = ASK;
    packet[40..].copy_from_slice(&written(now));
    packet
}

fn written(at: Timestamp) -> [u8; 8] {
    let seconds = u32::try_from((at.as_second() + ERA).rem_euclid(1 << 32)).unwrap_or(0);
    let fraction = (u64::try_from(at.subsec_nanosecond()).unwrap_or(0) << 32) / 1_000_000_000;
    let mut words = [0; 8];
    words[..4].copy_from_slice(&seconds.to_be_bytes());
    words[4..].copy_from_slice(&u32::try_from(fraction).unwrap_or(u32::MAX).to_be_bytes());
    words
}

/// A time of the server, in the era that lies nearest to `near`.
fn read(words: &[u8], near: Timestamp) -> Option<Timestamp> {
    let seconds = i64::from(u32::from_be_bytes(words[..4].try_into().ok()?));
    let fraction = u64::from(u32::from_be_bytes(words[4..8].try_into().ok()?));
    let here = near.as_second() + ERA;
    let distance = (seconds - here + (1 << 31)).rem_euclid(1 << 32) - (1 << 31);
    let nanoseconds = i32::try_from((fraction * 1_000_000_000) >> 32).ok()?;
    Timestamp::new(near.as_second() + distance, nanoseconds).ok()
}

/// None where the server has no time to tell (stratum 0 is a refusal, leap indicator 3 means that it is not set).
fn offset(answer: &[u8; PACKET], sent: Timestamp, came: Timestamp) -> Option<SignedDuration> {
    let (leap, mode, stratum) = (answer[0] >> 6, answer[0] & 7, answer[1]);
    if leap == 3 || mode != 4 || stratum == 0 || 15 < stratum {
        return None;
    }
    let (received, answered) = (read(&answer[32..40], sent)?, read(&answer[40..48], sent)?);
    Some((received.duration_since(sent) + answered.duration_since(came)) / 2)
}

#[cfg(test)]
mod tests {
    use muster_base::clock::SystemClock;

    use super::super::tree::bad;
    use super::*;

    /// A server whose clock is that much ahead.
    async fn server(ahead: SignedDuration, first: u8) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let clock: SharedClock = Arc::new(SystemClock);
        let tasks = muster_base::task::Tasks::new();
        tasks.spawn(muster_base::task::Kind::Service, "time server", async move {
            let mut packet = [0; PACKET];
            while let Ok((_, from)) = socket.recv_from(&mut packet).await {
                let asked: [u8; 8] = packet[40..].try_into().unwrap();
                packet[0] = first;
                packet[1] = 2;
                packet[24..32].copy_from_slice(&asked);
                packet[32..40].copy_from_slice(&written(clock.now() + ahead));
                packet[40..].copy_from_slice(&written(clock.now() + ahead));
                socket.send_to(&packet, from).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn a7_a_clock_that_is_90_seconds_off_is_told_to_a_tenth_of_a_second() {
        let clock: SharedClock = Arc::new(SystemClock);
        for (ahead, expected) in [(90_000, 90.0), (-90_000, -90.0), (0, 0.0)] {
            let server = server(SignedDuration::from_millis(ahead), 0x24).await;
            let offset = ask(&server, &clock).await.unwrap().as_secs_f64();
            assert!((offset - expected).abs() < 0.1, "{offset} for {expected}");
        }
        let unset = server(SignedDuration::ZERO, 0xe4).await;
        assert!(ask(&unset, &clock).await.is_err());
    }

    #[test]
    fn a_day_of_small_drift_has_no_problem_and_half_a_second_after_it_has_one() {
        let rule = rule();
        let mut cases = crate::diagnosis::cases::Cases::new(vec![Arc::clone(&rule)]);
        let mut told = |second: i64, offset: SignedDuration| {
            let now = super::super::tree::at(second);
            let moment = crate::diagnosis::Moment { now, boot_id: "boot", held: false };
            cases.take(&look(&rule, vec![(offset, "a"), (-offset, "b")]), moment);
            cases.all().filter_map(|(_, case)| Some(case.status()?.state.as_str())).collect::<String>()
        };
        for look in 0..24 * 120 {
            let drift = SignedDuration::from_millis(look * 7 % 41 - 20);
            assert_eq!(told(look * 30, drift), "", "look {look}");
        }
        let states = [1, 2].map(|look| told(86_400 + look * 30, SignedDuration::from_millis(501)));
        assert_eq!(states, ["Suspect", "Open"]);
    }

    #[test]
    fn a7_the_middle_counts_and_no_answer_says_nothing() {
        let rule = rule();
        let seconds = SignedDuration::from_secs;
        assert_eq!(look(&rule, Vec::new()).rest, Rest::Unseen);
        let wrong = vec![(seconds(500), "a"), (seconds(0), "b"), (SignedDuration::from_millis(400), "c")];
        assert_eq!(bad(&look(&rule, wrong)), [""; 0]);
        let off = vec![(seconds(90), "a"), (seconds(0), "b"), (seconds(91), "c")];
        assert_eq!(bad(&look(&rule, off)), ["clock.skew clock: the clock is off by -90.000 s, says a"]);
    }

    #[test]
    fn times_are_read_across_the_end_of_an_era() {
        for text in ["2026-11-29T05:00:00.25Z", "2036-02-07T06:28:15.75Z", "2036-02-07T06:28:17Z"] {
            let at: Timestamp = text.parse().unwrap();
            let near = at - SignedDuration::from_secs(100_000);
            let back = read(&written(at), near).unwrap();
            assert!(back.duration_since(at).abs() < SignedDuration::from_millis(1), "{back} for {text}");
        }
    }
}
