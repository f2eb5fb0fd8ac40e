//! What a person is told, where, and what became of it.

use jiff::Timestamp;
use muster_api::repair::{Mail, Ticket};
use muster_api::workflow::WebhookTemplate;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::mail::one_line;
use super::{Answer, Call, Letter};
use crate::run::plan::Effect;

/// Characters of one fact in an e-mail.
const FACT_MAX: usize = 2000;
/// The facts in the order in which a person reads them; evidence comes last.
const ORDER: [&str; 15] = [
    "machine",
    "suspect",
    "site",
    "rack",
    "serial",
    "problem",
    "class",
    "component",
    "since",
    "message",
    "why",
    "held",
    "machines",
    "next",
    "run",
];

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    /// What it is about, the same for each opening: whoever gets it twice knows it by this.
    pub(crate) cause: String,
    /// The facts; `summary` is the subject, `evidence` a list of `at` and `text`.
    pub(crate) facts: Value,
}

/// Where a person is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Webhook(String),
    Mail(Mail),
}

/// One telling, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    Call(Box<Call>),
    Letter(Box<Letter>),
}

impl From<Telling> for Effect {
    fn from(telling: Telling) -> Self {
        match telling {
            Telling::Call(call) => Self::Call(call),
            Telling::Letter(letter) => Self::Mail(letter),
        }
    }
}

/// What became of one telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    UnderWay,
    Told,
    /// It may be tried again.
    Again(String),
    /// It is refused for good.
    Never(String),
}

impl Way {
    /// All that a ticket names.
    pub(crate) fn of(ticket: Option<&Ticket>) -> Vec<Self> {
        let Some(ticket) = ticket else { return Vec::new() };
        let webhook = Some(ticket.webhook.clone()).filter(|url| !url.is_empty()).map(Self::Webhook);
        webhook.into_iter().chain(ticket.mail.clone().map(Self::Mail)).collect()
    }

    /// For people; nobody has two of one name.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Webhook(url) => url.clone(),
            Self::Mail(mail) => format!("{} by {}", mail.to.join(", "), mail.server),
        }
    }

    /// The key of the telling of that identity.
    pub(crate) fn key(&self, identity: &str) -> String {
        match self {
            Self::Webhook(_) => identity.to_owned(),
            Self::Mail(_) => mail_key(identity),
        }
    }

    /// What is to be sent.
    pub(crate) fn tell(&self, notice: &Notice, identity: &str, now: Timestamp) -> Telling {
        let key = self.key(identity);
        match self {
            Self::Webhook(url) => {
                let body = notice.facts.to_string();
                let webhook = WebhookTemplate { url: url.clone(), body, ..WebhookTemplate::default() };
                Telling::Call(Box::new(Call { key, webhook }))
            }
            Self::Mail(mail) => Telling::Letter(Box::new(Letter {
                key,
                mail: mail.clone(),
                id: id(&notice.cause),
                subject: fact(&notice.facts["summary"]).unwrap_or_default(),
                text: plain(&notice.facts),
                at: now,
            })),
        }
    }

    /// What an answer means.
    pub(crate) fn outcome(&self, answer: &Answer) -> Outcome {
        let whom = match self {
            Self::Webhook(url) => url,
            Self::Mail(mail) => &mail.server,
        };
        match answer {
            Answer::UnderWay => Outcome::UnderWay,
            Answer::Status { code, .. } if (200..300).contains(code) => Outcome::Told,
            Answer::Status { code, text } => {
                let said = format!("{whom} answered {code}: {text}");
                // RFC 5321, 4.2.1: the same again is refused again.
                let for_good = matches!(self, Self::Mail(_)) && (500..600).contains(code);
                if for_good { Outcome::Never(said) } else { Outcome::Again(said) }
            }
            Answer::Failed(reason) => Outcome::Again(format!("{whom} could not be told: {reason}")),
        }
    }
}

/// The key of the e-mail of that identity.
pub(crate) fn mail_key(identity: &str) -> String {
    format!("{identity}/mail")
}

fn id(cause: &str) -> String {
    let digest = Sha256::digest(cause.as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("ticket.{hex}")
}

/// One fact in one line; `None` where nothing is known.
fn fact(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => Some(list.iter().filter_map(fact).collect::<Vec<_>>().join(", ")),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(value.to_string()),
    };
    text.map(|text| one_line(&text, FACT_MAX)).filter(|text| !text.is_empty())
}

/// The facts for the eyes of a person: whatever stands in them, one line each.
fn plain(facts: &Value) -> String {
    let mut text = fact(&facts["summary"]).unwrap_or_default();
    text.push_str("\n\n");
    for name in ORDER {
        if let Some(fact) = fact(&facts[name]) {
            text.push_str(&format!("{name}: {fact}\n"));
        }
    }
    let evidence = facts["evidence"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !evidence.is_empty() {
        text.push_str("\nevidence:\n");
    }
    for one in evidence {
        let part = |name: &str| fact(&one[name]).unwrap_or_default();
        text.push_str(&format!("  {}  {}\n", part("at"), part("text")));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn letter(facts: Value) -> Letter {
        let mail = Mail { server: "h:25".into(), ..Mail::default() };
        let notice = Notice { cause: "m1.io.stall/3".into(), facts };
        match Way::Mail(mail).tell(&notice, "m1.io.stall/3/1", Timestamp::UNIX_EPOCH) {
            Telling::Letter(letter) => *letter,
            Telling::Call(call) => panic!("{call:?}"),
        }
    }

    #[test]
    fn an_e_mail_says_what_the_webhook_says_one_line_each() {
        let facts = json!({
            "summary": "machine m1 needs a person: io.stall",
            "machine": "m1",
            "serial": null,
            "component": "",
            "held": 3,
            "machines": ["m1", "m2"],
            "message": "taken away\nwhy: nothing",
            "evidence": [{"at": "2027-01-15T08:00:00Z", "text": "stuck\r\nin D"}],
        });
        let letter = letter(facts);
        assert_eq!(letter.subject, "machine m1 needs a person: io.stall");
        let text = "machine m1 needs a person: io.stall\n\nmachine: m1\nmessage: taken away why: nothing\nheld: 3\n\
                    machines: m1, m2\n\nevidence:\n  2027-01-15T08:00:00Z  stuck  in D\n";
        assert_eq!(letter.text, text);
    }

    #[test]
    fn the_same_cause_has_the_same_id_and_another_has_another() {
        let [one, again] = [letter(json!({})), letter(json!({"machine": "m1"}))];
        assert_eq!((&one.id, one.key.as_str()), (&again.id, "m1.io.stall/3/1/mail"));
        assert_ne!(id("m1.io.stall/4"), one.id);
    }

    #[test]
    fn what_is_refused_for_good_is_told_from_what_may_be_tried_again() {
        let mail = Way::Mail(Mail { server: "h:25".into(), ..Mail::default() });
        let hook = Way::Webhook("http://h/".into());
        let answered = |code| Answer::Status { code, text: "no".into() };
        let again = |text: &str| Outcome::Again(text.to_owned());
        assert_eq!(mail.outcome(&answered(250)), Outcome::Told);
        assert_eq!(mail.outcome(&answered(451)), again("h:25 answered 451: no"));
        assert_eq!(mail.outcome(&answered(550)), Outcome::Never("h:25 answered 550: no".into()));
        assert_eq!(hook.outcome(&answered(201)), Outcome::Told);
        assert_eq!(hook.outcome(&answered(500)), again("http://h/ answered 500: no"));
        assert_eq!(mail.outcome(&Answer::Failed("x".into())), again("h:25 could not be told: x"));
    }
}
