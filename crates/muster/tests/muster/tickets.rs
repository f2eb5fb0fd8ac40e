//! A person is told by e-mail: the real binary, a real mail server, credentials from a Secret.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use muster_api::machine::MachineSpec;
use muster_api::problem::{EpisodeKey, ProblemSpec};
use muster_api::repair::{Mail, Mode, RepairPolicySpec, Rung, RungAction, Ticket};
use muster_api::site::SiteSpec;
use muster_api::workflow::{Action, Step};
use muster_api::{GoDuration, Machine, Problem, RepairPolicy, Run, Site};
use muster_base::clock::{Clock as _, SystemClock};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};

use crate::bmc::fleet::{Plane, begin, block_on, create, workflow};
use crate::harness::{Process, root, wait_for};

const SECONDS: Duration = Duration::from_secs(60);
const PARENT: &str = "correlated.site.here";

/// The mail server, and what it took.
struct Desk {
    process: Process,
    port: u64,
    authority: String,
}

impl Desk {
    fn start(directory: &Path) -> Result<Self, String> {
        let there =
            Command::new("/usr/bin/python3").args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            return Err("python3-aiosmtpd is not installed: dist/packages.sh --for-tests".to_owned());
        }
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        fs::write(&certificate, cert.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        let told =
            json!({"tls": "startTls", "certificate": certificate, "key": key, "login": ["muster", "s3cret"]});
        let mut command = Command::new(root().join("tests/mail-server"));
        command.arg(told.to_string());
        let process = Process::start(command, &directory.join("mail.out"));
        let port = wait_for("port of the mail server", SECONDS, || {
            let words = process.words();
            words.lines().next().and_then(|line| line.parse().ok()).ok_or(words)
        });
        Ok(Self { process, port, authority: cert.pem() })
    }

    /// The subjects of all e-mails.
    fn subjects(&self) -> Vec<String> {
        let words = self.process.words();
        let texts = words.lines().skip(1).map(|line| {
            let got: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            got["text"].as_str().unwrap().to_owned()
        });
        let subject = |text: String| {
            let line = text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned));
            line.unwrap_or(text)
        };
        texts.map(subject).collect()
    }

    fn wait_for(&self, subjects: &[&str]) {
        wait_for(&format!("e-mails {subjects:?}"), SECONDS, || {
            let seen = self.subjects();
            if seen == subjects { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    }
}

async fn ready(client: &Client, desk: &Desk) {
    create(Api::all(client.clone()), &Site::new("here", SiteSpec::default())).await;
    let spec = MachineSpec { site: "here".to_owned(), ..MachineSpec::default() };
    create(Api::all(client.clone()), &Machine::new("m1", spec)).await;
    let mail = Mail {
        server: format!("localhost:{}", desk.port),
        from: "muster@example.org".to_owned(),
        to: vec!["desk@example.org".to_owned()],
        secret_ref: "mail".to_owned(),
        ..Mail::default()
    };
    let soon = Some(GoDuration(Duration::from_secs(1)));
    let policy = RepairPolicySpec {
        classes: vec!["paper.torn".to_owned()],
        mode: Mode::Observe,
        rungs: vec![Rung::new(RungAction::Observe, SECONDS)],
        ticket: Some(Ticket { mail: Some(mail), held_after: soon, ..Ticket::default() }),
        ..RepairPolicySpec::default()
    };
    create(Api::all(client.clone()), &RepairPolicy::new("desk", policy)).await;
    let step = Step::new("tell", Action::Ticket, GoDuration(SECONDS));
    workflow(client, "tell", vec![Step { attempts: 10, ..step }]).await;
}

async fn secret(client: &Client, desk: &Desk) {
    let mut secret = Secret::default();
    secret.metadata.name = Some("mail".to_owned());
    let rows = [("username", "muster"), ("password", "s3cret"), ("ca.crt", &desk.authority)];
    let bytes = |(key, value): (&str, &str)| (key.to_owned(), ByteString(value.as_bytes().to_vec()));
    secret.data = Some(rows.into_iter().map(bytes).collect());
    create(Api::namespaced(client.clone(), "muster-system"), &secret).await;
}

async fn file(client: &Client, name: &str, spec: ProblemSpec, status: Value) {
    let api: Api<Problem> = Api::all(client.clone());
    create(api.clone(), &Problem::new(name, spec)).await;
    let patch = Patch::Merge(json!({ "status": status }));
    api.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

/// A problem of many that opened now.
async fn parent(client: &Client) {
    let spec = ProblemSpec {
        class: "correlated.site".to_owned(),
        component: "here".to_owned(),
        ..ProblemSpec::default()
    };
    let (now, suspect) = (SystemClock.now(), json!({"kind": "site", "name": "here", "machines": 1, "of": 1}));
    let status = json!({"state": "Open", "episode": 1, "firstSeen": now, "openedAt": now, "lastSeen": now, "suspect": suspect});
    file(client, PARENT, spec, status).await;
}

async fn child(client: &Client) {
    let spec =
        ProblemSpec { machine: "m1".to_owned(), class: "paper.torn".to_owned(), ..ProblemSpec::default() };
    let now = SystemClock.now();
    let lease = now.checked_add(Duration::from_secs(3600)).unwrap();
    let status = json!({"state": "Open", "episode": 1, "openedAt": now, "lastSeen": now, "leaseUntil": lease,
        "parent": PARENT});
    file(client, "m1.paper.torn", spec, status).await;
}

fn said(client: &Client, run: &str) -> String {
    let run: Run = block_on(Api::all(client.clone()).get(run)).unwrap();
    let steps = run.status.unwrap_or_default().steps;
    steps.first().map(|step| step.message.clone()).unwrap_or_default()
}

#[test]
fn a_person_is_told_by_e_mail_of_a_machine_and_once_of_what_many_have_in_common() {
    let directory = tempfile::tempdir().unwrap();
    let desk = match Desk::start(directory.path()) {
        Ok(desk) => desk,
        Err(why) => return println!("could not run: {why}"),
    };
    let mut plane = Plane::start(directory.path());
    let client = plane.client();
    block_on(ready(&client, &desk));
    block_on(begin(&client, "one", "tell", "m1"));
    wait_for("a word about the Secret", SECONDS, || {
        let said = said(&client, "one");
        let text = "could not be told: spec.ticket.mail.secretRef: there is no Secret \"mail\" in namespace muster-system";
        if said.contains(text) { Ok(()) } else { Err(said) }
    });
    block_on(secret(&client, &desk));
    let of_machine = "machine m1 needs a person";
    desk.wait_for(&[of_machine]);

    block_on(parent(&client));
    // The global doctor reads what holds what when it begins.
    plane.kill_and_start();
    let client = plane.client();
    block_on(child(&client));
    let of_many = "1 machines are not repaired: site here is suspected";
    desk.wait_for(&[of_machine, of_many]);
    wait_for("the condition", SECONDS, || {
        let problem: Problem = block_on(Api::all(client.clone()).get(PARENT)).unwrap();
        let opening = EpisodeKey::of(&problem);
        let conditions = problem.status.unwrap_or_default().conditions;
        let told = conditions.iter().find(|one| one.r#type == "MailTold").map(|one| one.message.clone());
        let port = desk.port;
        let text = format!("{PARENT}/{opening}: told desk@example.org by localhost:{port}");
        if told.as_ref() == Some(&text) { Ok(()) } else { Err(format!("{told:?}")) }
    });
    plane.kill_and_start();
    let client = plane.client();
    block_on(begin(&client, "two", "tell", "m1"));
    desk.wait_for(&[of_machine, of_many, of_machine]);
}
