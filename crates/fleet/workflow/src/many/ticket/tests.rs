use muster_api::problem::{Evidence, ProblemSpec, Suspect};
use muster_api::repair::{Mail, RepairPolicySpec, RepairPolicyStatus, Ticket};

use super::*;

const NAME: &str = "correlated.site.s3";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// What happened, and what became of it.
struct Story {
    parent: Problem,
    held: Vec<Arc<Problem>>,
    policies: Vec<Arc<RepairPolicy>>,
    answers: Vec<(String, Answer, Timestamp)>,
    now: Timestamp,
    told: Vec<Telling>,
    failed: Option<&'static str>,
}

fn policy(name: &str, class: &str, ticket: Option<Ticket>) -> Arc<RepairPolicy> {
    let spec = RepairPolicySpec { classes: vec![class.into()], ticket, ..RepairPolicySpec::default() };
    let mut policy = RepairPolicy::new(name, spec);
    let accepted = says(condition::ACCEPTED, Status::True, "Valid", String::new(), at(0));
    policy.status = Some(RepairPolicyStatus { conditions: vec![accepted], ..RepairPolicyStatus::default() });
    Arc::new(policy)
}

fn both(host: &str) -> Ticket {
    let mail = Mail { server: format!("{host}:25"), to: vec!["a@b".into()], ..Mail::default() };
    Ticket { webhook: format!("http://{host}/"), mail: Some(mail), held_after: None }
}

fn story(machines: usize, ticket: Option<Ticket>) -> Story {
    let mut parent = Problem::new(
        NAME,
        ProblemSpec { machine: String::new(), component: "s3".into(), class: "correlated.site".into() },
    );
    let suspect = Suspect {
        kind: SuspectKind::Site,
        name: "s3".into(),
        site: String::new(),
        machines: u32::try_from(machines).unwrap(),
        of: 40,
    };
    parent.status = Some(ProblemStatus {
        state: State::Open,
        episode: 2,
        opened_at: Some(at(0)),
        suspect: Some(suspect),
        evidence: vec![Evidence { at: at(0), text: "many failed".into() }],
        ..ProblemStatus::default()
    });
    let child = |number: usize| {
        let machine = format!("m{number:02}");
        let mut problem = Problem::new(
            &format!("{machine}.io.stall"),
            ProblemSpec { machine, component: String::new(), class: "io.stall".into() },
        );
        problem.status =
            Some(ProblemStatus { state: State::Open, parent: NAME.into(), ..ProblemStatus::default() });
        Arc::new(problem)
    };
    Story {
        parent,
        held: (0..machines).map(child).collect(),
        policies: vec![policy("stalled", "io.stall", ticket)],
        answers: Vec::new(),
        now: at(0),
        told: Vec::new(),
        failed: None,
    }
}

impl Story {
    fn look(&self) -> Plan {
        let site = |_: &str| "s3".to_owned();
        let answer = |key: &str| {
            let known = self.answers.iter().rev().find(|(of, ..)| of == key);
            known.map(|(_, answer, begun)| (answer.clone(), *begun))
        };
        plan(&World {
            parent: &self.parent,
            held: &self.held,
            site: &site,
            policies: &self.policies,
            failed: self.failed,
            answer: &answer,
            now: self.now,
        })
    }

    /// Looks at that second, and does what is to be done; what is sent is under way.
    fn at(&mut self, seconds: i64) -> Plan {
        self.now = at(seconds);
        let plan = self.look();
        for (key, telling) in &plan.tellings {
            self.told.push(telling.clone());
            self.answers.push((key.clone(), Answer::UnderWay, self.now));
        }
        let status = self.parent.status.as_mut().unwrap();
        plan.conditions.iter().for_each(|one| condition::set(&mut status.conditions, one.clone()));
        plan
    }

    fn answered(&mut self, key: &str, code: u16) {
        let known = self.answers.iter_mut().rev().find(|(of, ..)| of == key).unwrap();
        known.1 = Answer::Status { code, text: "said".into() };
    }

    fn keys(&self) -> Vec<String> {
        let key = |telling: &Telling| match telling {
            Telling::Call(call) => call.key.clone(),
            Telling::Letter(letter) => letter.key.clone(),
        };
        self.told.iter().map(key).collect()
    }

    fn status(&mut self) -> &mut ProblemStatus {
        self.parent.status.as_mut().unwrap()
    }
}

#[test]
fn who_is_held_for_ten_minutes_is_told_once_by_every_way() {
    let mut story = story(30, Some(both("desk")));
    assert_eq!(story.at(1).look_again, Some(Duration::from_secs(599)));
    assert_eq!(story.keys(), [""; 0]);
    story.at(600);
    assert_eq!(story.keys(), [format!("{NAME}/2"), format!("{NAME}/2/mail")]);
    assert_eq!(story.at(601), Plan::default(), "they are under way");
    story.answered(&format!("{NAME}/2"), 200);
    story.answered(&format!("{NAME}/2/mail"), 250);
    let rows =
        |plan: &Plan| plan.conditions.iter().map(|one| (one.r#type.clone(), one.status)).collect::<Vec<_>>();
    let both = [(WEBHOOK_TOLD.to_owned(), Status::True), (MAIL_TOLD.to_owned(), Status::True)];
    assert_eq!(rows(&story.at(602)), both);
    // The process ends, and what it had in mind.
    story.answers.clear();
    for seconds in [603, 10_000, 1_000_000] {
        assert_eq!(story.at(seconds), Plan::default());
    }
    assert_eq!(story.keys().len(), 2);
}

#[test]
fn the_next_opening_is_told_again_and_a_clear_is_told_to_nobody() {
    let mut story = story(3, Some(Ticket { mail: None, ..both("desk") }));
    story.at(600);
    story.answered(&format!("{NAME}/2"), 204);
    story.at(601);
    story.status().state = State::Clear;
    assert_eq!(story.at(700), Plan::default());
    story.status().state = State::Open;
    story.status().episode = 3;
    story.status().opened_at = Some(at(800));
    assert_eq!(story.at(1000).look_again, Some(Duration::from_secs(400)));
    story.at(1400);
    assert_eq!(story.keys(), [format!("{NAME}/2"), format!("{NAME}/3")]);
}

#[test]
fn it_stands_though_its_doctor_is_gone_and_what_holds_nothing_is_not_told() {
    let mut first = story(3, Some(both("desk")));
    first.status().state = State::Unknown;
    first.at(600);
    assert_eq!(first.keys().len(), 2);
    let mut second = story(3, Some(both("desk")));
    for problem in &mut second.held {
        Arc::make_mut(problem).status.as_mut().unwrap().state = State::Clear;
    }
    assert_eq!(second.at(600), Plan::default());
}

#[test]
fn who_could_not_be_told_is_told_again_alone_and_who_refused_for_good_is_not() {
    let mut story = story(3, Some(both("desk")));
    story.at(600);
    story.answered(&format!("{NAME}/2"), 200);
    story.answered(&format!("{NAME}/2/mail"), 451);
    let plan = story.at(610);
    assert_eq!(plan.conditions[1].message, format!("{NAME}/2: desk:25 answered 451: said"));
    assert_eq!((plan.conditions[1].status, plan.look_again), (Status::False, Some(Duration::from_secs(290))));
    assert_eq!(story.at(899).tellings, []);
    story.at(900);
    assert_eq!(story.keys()[2..], [format!("{NAME}/2/mail")]);
    story.answered(&format!("{NAME}/2/mail"), 550);
    assert_eq!(story.at(901).conditions[0].reason, "Refused");
    story.answers.clear();
    assert_eq!(story.at(100_000), Plan::default());
}

#[test]
fn the_policy_of_most_of_what_is_held_says_whom_and_else_the_first_that_says_anything() {
    let mut story = story(3, None);
    let called = |story: &mut Story| match story.at(600).tellings.first() {
        Some((_, Telling::Call(call))) => call.webhook.url.clone(),
        other => format!("{other:?}"),
    };
    story.policies.push(policy("b", "fs.full", Some(both("b"))));
    story.policies.push(policy("a", "mem.ecc", Some(both("a"))));
    assert_eq!(called(&mut story), "http://a/");
    story.answers.clear();
    Arc::make_mut(&mut story.held[0]).spec.class = "fs.full".into();
    assert_eq!(called(&mut story), "http://b/");
}

#[test]
fn the_ticket_names_the_suspect_twenty_machines_and_how_to_go_on() {
    let mut story = story(30, Some(both("desk")));
    story.at(600);
    let Telling::Letter(letter) = &story.told[1] else { panic!("{:?}", story.told) };
    assert_eq!(letter.subject, "30 machines are not repaired: site s3 is suspected");
    for line in [
        "suspect: site s3: 30 of 40 machines failed together\n",
        "held: 30\n",
        ", m18, m19, and 10 more\n",
        "kubectl delete problem correlated.site.s3; each is then repaired",
        "  2027-01-15T08:00:00Z  many failed\n",
    ] {
        assert!(letter.text.contains(line), "{line:?} is not in {}", letter.text);
    }
    assert!(!letter.text.contains("m20"));
}

#[test]
fn a_policy_may_have_it_told_later() {
    let ticket = Ticket { held_after: Some("1h".parse().unwrap()), ..both("desk") };
    assert_eq!(story(3, Some(ticket)).at(600).look_again, Some(Duration::from_secs(3000)));
}

#[test]
fn a_try_that_failed_is_told_at_once_and_nothing_after_it() {
    let mut story = story(12, Some(Ticket { mail: None, ..both("desk") }));
    story.at(600);
    story.answered(&format!("{NAME}/2"), 200);
    story.at(601);
    story.failed = Some("run r-a on machine a ended Failed");
    story.at(3000);
    let Telling::Call(call) = &story.told[1] else { panic!("{:?}", story.told) };
    assert_eq!(call.key, format!("{NAME}/2/failed"));
    assert!(call.webhook.body.contains("run r-a on machine a ended Failed; nothing more of it is tried"));
    story.answered(&format!("{NAME}/2/failed"), 200);
    story.at(3001);
    story.answers.clear();
    assert_eq!(story.at(4000), Plan::default());
    // Its run was forgotten.
    story.failed = None;
    assert_eq!(story.at(900_000), Plan::default());
    assert_eq!(story.told.len(), 2);
}
