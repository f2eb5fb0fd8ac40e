//! Resolvers: whether those that the machine is told to ask answer. One packet each (RFC 1035), for the root's servers.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::rule::{Finding, Look, Rest, Rule, Sign};

const SOURCE: &str = "names";
const EVERY: Duration = Duration::from_secs(15);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The C library asks no more than three.
const SERVERS_MAX: usize = 3;
const PORT: u16 = 53;
/// Answer code of a resolver that could not resolve.
const SERVFAIL: u8 = 2;

/// What may be found here.
pub(crate) fn rule() -> Arc<Rule> {
    Rule::level(SOURCE, "resolver", "dns.failed", 3, 30)
}

/// Asks until shutdown. A resolver that never answered is a matter of how the machine is set up, not of a fault.
pub(crate) async fn watch(resolv_conf: PathBuf, to: Sender<Look>, token: CancellationToken) {
    let rule = rule();
    let mut answered = Vec::new();
    loop {
        let asked = async {
            let servers = servers(&std::fs::read_to_string(&resolv_conf).unwrap_or_default());
            let mut found = Vec::new();
            for server in servers {
                let outcome = ask(server, PORT).await;
                if outcome.is_ok() && !answered.contains(&server) {
                    answered.push(server);
                }
                found.push(finding(&rule, server, outcome, answered.contains(&server)));
            }
            // Who is asked no more is missed by nobody.
            to.send(Look { source: SOURCE, found, rest: Rest::Good }).await
        };
        if token.run_until_cancelled(asked).await.is_none_or(|sent| sent.is_err()) {
            return;
        }
        if token.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

fn finding(rule: &Arc<Rule>, server: IpAddr, outcome: io::Result<()>, answered: bool) -> Finding {
    let sign = match outcome {
        Ok(()) => Sign::Good,
        Err(error) if answered => Sign::Bad(error.to_string()),
        Err(_) => Sign::Unseen,
    };
    Finding::new(rule, &server.to_string(), sign)
}

fn servers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.trim().parse().ok()).take(SERVERS_MAX).collect()
}

/// Whether it answers at all, be it that it refuses.
async fn ask(server: IpAddr, port: u16) -> io::Result<()> {
    let local = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await?;
    socket.connect((server, port)).await?;
    // Recursion wanted, one question: the name servers (2) of the root, in the Internet (1).
    let id = socket.local_addr()?.port().to_be_bytes();
    let question = [id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    socket.send(&question).await?;
    let mut answer = [0; 512];
    let received = async {
        loop {
            let bytes = socket.recv(&mut answer).await?;
            if 12 <= bytes && answer[..2] == id {
                return Ok(answer[3] & 0x0f);
            }
        }
    };
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {ANSWER_WITHIN:?}"));
    let code: io::Result<u8> = tokio::time::timeout(ANSWER_WITHIN, received).await.map_err(|_| late())?;
    if code? == SERVFAIL { Err(io::Error::other("it cannot resolve (SERVFAIL)")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use muster_base::task::{Kind, Tasks};

    use super::*;

    #[test]
    fn servers_are_read_as_the_c_library_reads_them() {
        let text = "# nameserver 192.0.2.9\nsearch x\nnameserver 192.0.2.1\nnameserver  ::1\nnameserver x\n\
                    nameserver 192.0.2.2\nnameserver 192.0.2.3\n";
        let expected: Vec<IpAddr> = ["192.0.2.1", "::1", "192.0.2.2"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(servers(text), expected);
    }

    #[tokio::test]
    async fn a_resolver_that_answers_is_well_and_one_that_is_silent_or_fails_is_not() {
        let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = resolver.local_addr().unwrap().port();
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let tasks = Tasks::new();
        tasks.spawn(Kind::Service, "resolver", async move {
            let mut packet = [0; 512];
            for code in [0, 5, SERVFAIL] {
                let (bytes, from) = resolver.recv_from(&mut packet).await.unwrap();
                packet[3] = code;
                resolver.send_to(&packet[..bytes], from).await.unwrap();
            }
        });
        assert!(ask(local, port).await.is_ok());
        assert!(ask(local, port).await.is_ok(), "a refusal is an answer");
        let failed = ask(local, port).await.unwrap_err();
        assert_eq!(failed.to_string(), "it cannot resolve (SERVFAIL)");
        assert!(ask(local, port).await.is_err(), "nobody there");
    }

    #[test]
    fn a_resolver_that_never_answered_is_not_filed() {
        let rule = rule();
        let server = "192.0.2.1".parse().unwrap();
        let late = || io::Error::other("no answer");
        assert_eq!(finding(&rule, server, Err(late()), false).sign, Sign::Unseen);
        assert_eq!(finding(&rule, server, Err(late()), true).sign, Sign::Bad("no answer".into()));
    }
}
