//! Against a mail server of Python's, `aiosmtpd`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::{Answer, within};
use super::*;

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/mail-server");

struct Server {
    child: Child,
    said: BufReader<ChildStdout>,
    port: u64,
    folder: TempDir,
    authority: Vec<u8>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }
}

impl Server {
    /// `None`, said on a line of its own, where it cannot run here.
    fn start(mut told: Value) -> Option<Self> {
        let there =
            Command::new("/usr/bin/python3").args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            let text = "could not run: python3-aiosmtpd is not installed: dist/packages.sh --for-tests";
            writeln!(std::io::stdout(), "{text}").unwrap();
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        told["certificate"] = json!(file("cert.pem", &cert.pem()));
        told["key"] = json!(file("key.pem", &signing_key.serialize_pem()));
        let mut child = Command::new(SERVER).arg(told.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let authority = cert.pem().into_bytes();
        let mut server = Self { child, said, port: 0, folder, authority };
        server.port = server.says().as_u64().unwrap();
        Some(server)
    }

    /// The next line it says.
    fn says(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn letter(&self, tls: MailTls) -> Letter {
        assert!(self.folder.path().exists());
        letter(format!("localhost:{}", self.port), tls)
    }

    fn access(&self, login: Option<(&str, &str)>) -> Access {
        let login = login.map(|(name, password)| (name.to_owned(), password.to_owned()));
        Access { login, authority: Some(self.authority.clone()) }
    }
}

fn letter(server: String, tls: MailTls) -> Letter {
    let (from, to) = ("muster@example.org".to_owned(), vec!["desk@example.org".to_owned()]);
    Letter {
        key: "m1.io.stall/3/1/mail".to_owned(),
        mail: Mail { server, from, to, tls, ..Mail::default() },
        id: "ticket.0123".to_owned(),
        subject: "machine m1 needs a person: io.stall".to_owned(),
        text: "machine m1 needs a person: io.stall\n\nmessage: größer als 5 µs\n".to_owned(),
        at: Timestamp::from_second(1_800_000_000).unwrap(),
    }
}

async fn answer(letter: &Letter, access: &Access) -> Result<(u16, String), String> {
    send(letter, access).await.map_err(|error| muster_control::explain(&error))
}

#[tokio::test]
async fn an_e_mail_is_delivered_with_its_headers_and_its_text() {
    let Some(mut server) = Server::start(json!({})) else { return };
    let sent = answer(&server.letter(MailTls::None), &Access::default()).await;
    assert_eq!(sent, Ok((250, "2.0.0 queued".to_owned())));
    let got = server.says();
    assert_eq!((&got["from"], &got["to"]), (&json!("muster@example.org"), &json!(["desk@example.org"])));
    let text = got["text"].as_str().unwrap();
    for line in [
        "From: Muster <muster@example.org>\r\n",
        "To: desk@example.org\r\n",
        "Subject: machine m1 needs a person: io.stall\r\n",
        "Message-ID: <ticket.0123@example.org>\r\n",
        "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "\r\nmachine m1 needs a person: io.stall\r\n",
        "gr=C3=B6=C3=9Fer als 5 =C2=B5s",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
}

#[tokio::test]
async fn what_stands_in_a_subject_begins_no_header_and_adds_no_recipient() {
    let Some(mut server) = Server::start(json!({})) else { return };
    let mut letter = server.letter(MailTls::None);
    letter.subject = "machine m1\r\nBcc: all@example.org\u{2028}\n\n.\r\nMAIL FROM:<x@y> ü".to_owned();
    letter.text = "a\r\n.\r\nRCPT TO:<all@example.org>\r\n".to_owned();
    assert_eq!(answer(&letter, &Access::default()).await.unwrap().0, 250);
    let got = server.says();
    assert_eq!(got["to"], json!(["desk@example.org"]));
    let text = got["text"].as_str().unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let begins = |name: &str| head.split("\r\n").any(|line| line.to_lowercase().starts_with(name));
    assert!(begins("subject:") && !begins("bcc:") && !begins("mail"), "{head}");
    assert!(body.contains("RCPT TO:<all@example.org>"), "{body}");
}

#[tokio::test]
async fn the_connection_is_protected_and_the_login_is_told_only_then() {
    let login = json!(["muster", "s3cret"]);
    let right = Some(("muster", "s3cret"));
    for (tls, name) in [(MailTls::StartTls, "startTls"), (MailTls::Implicit, "implicit")] {
        let Some(mut server) = Server::start(json!({"tls": name, "login": login})) else { return };
        let letter = server.letter(tls);
        assert_eq!(answer(&letter, &server.access(right)).await.unwrap().0, 250, "{name}");
        assert_eq!(server.says()["login"], json!(true));
        let (code, _) = answer(&letter, &server.access(Some(("muster", "wrong")))).await.unwrap();
        assert_eq!(code, 535);
        let (code, _) = answer(&letter, &server.access(None)).await.unwrap();
        assert_eq!(code, 530);
        let unknown = Access { authority: None, ..server.access(right) };
        let text = answer(&letter, &unknown).await.unwrap_err();
        assert!(text.contains("UnknownIssuer"), "{text}");
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_no_login_and_no_mail() {
    let Some(server) = Server::start(json!({"login": ["muster", "s3cret"]})) else { return };
    let text = answer(&server.letter(MailTls::StartTls), &server.access(Some(("muster", "s3cret")))).await;
    assert!(text.as_ref().unwrap_err().contains("STARTTLS"), "{text:?}");
    // In the clear it is asked for a login and does not get one.
    let clear = answer(&server.letter(MailTls::None), &server.access(Some(("muster", "s3cret")))).await;
    assert_eq!(clear.unwrap().0, 530);
}

#[tokio::test]
async fn what_the_server_answers_is_told_and_after_a_4xx_the_same_is_taken() {
    let answers =
        json!({"answers": ["451 4.3.0 disk full", "552 5.2.2 too much"], "refused": ["no@example.org"]});
    let Some(mut server) = Server::start(answers) else { return };
    let letter = server.letter(MailTls::None);
    let access = Access::default();
    assert_eq!(answer(&letter, &access).await, Ok((451, "4.3.0 disk full".to_owned())));
    assert_eq!(answer(&letter, &access).await, Ok((552, "5.2.2 too much".to_owned())));
    let mut unknown = letter.clone();
    unknown.mail.to.push("no@example.org".to_owned());
    assert_eq!(answer(&unknown, &access).await, Ok((550, "5.1.1 nobody has this name".to_owned())));
    assert_eq!(answer(&letter, &access).await.unwrap().0, 250);
    assert!(server.says()["text"].as_str().unwrap().contains("<ticket.0123@example.org>"));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_and_one_that_is_not_there_too() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let access = Access::default();
    let to_silent = letter(address.to_string(), MailTls::StartTls);
    let given_up = within(Duration::from_millis(300), async {
        Answer::Failed(answer(&to_silent, &access).await.unwrap_err())
    });
    assert_eq!(given_up.await, Answer::Failed("no answer within 0.3 s".to_owned()));
    drop(silent);
    let text = answer(&to_silent, &access).await.unwrap_err();
    assert!(text.to_lowercase().contains("refused"), "{text}");
}

#[test]
fn a_secret_that_cannot_be_used_says_which_key() {
    let parse = |rows: &[(&str, &str)]| {
        let rows = rows.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        Access::parse(&rows)
    };
    let good = parse(&[("username", "u"), ("password", "s3cret\n")]).unwrap();
    assert_eq!(good.login.as_ref().unwrap().1, "s3cret");
    assert_eq!(format!("{good:?}"), "Access(Some(\"u\"))");
    let refused = |rows: &[(&str, &str)]| parse(rows).unwrap_err();
    assert_eq!(refused(&[("username", "u")]), "password: missing");
    assert_eq!(refused(&[("password", "p"), ("username", "")]), "username: missing");
    assert_eq!(refused(&[]), "has neither username and password nor ca.crt");
    assert!(refused(&[("ca.crt", "-----BEGIN CERTIFICATE-----\nx")]).starts_with("ca.crt: "));
}
