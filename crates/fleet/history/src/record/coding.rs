//! A record as bytes. All numbers but the uid in seven-bit groups.
//!
//! Microseconds since 1970, revision, kind, flags (two bytes), object number; then what the flags say is there: name and
//! uid, position of the record before, user and groups, field manager, reason; then the body.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Actor, Body, Born, Operation, Record, Via};
use crate::change::{Change, Edit, Path};
use crate::codec::{Malformed, Reading, Words, put_bytes, put_number, put_value, put_word, read_value};
use crate::kinds::Kind;
use crate::log::Position;

const OPERATION: u16 = 0b11;
const VIA: u16 = 0b11 << 2;
const LATE: u16 = 1 << 4;
const BORN: u16 = 1 << 5;
const PREVIOUS: u16 = 1 << 6;
const ACTOR: u16 = 1 << 7;
const MANAGER: u16 = 1 << 8;
const REASON: u16 = 1 << 9;
const WHOLE: u16 = 1 << 10;
const CHANGES: u16 = 1 << 11;

const SET: u8 = 0;
const REMOVE: u8 = 1;
const SLIDE: u8 = 2;

fn flags(record: &Record) -> u16 {
    let operation = match record.operation {
        Operation::Create => 0,
        Operation::Update => 1,
        Operation::Delete => 2,
    };
    let via = match record.via {
        Via::Webhook => 0,
        Via::WebhookSeveral => 1,
        Via::WatchOnly => 2,
    };
    let set = |present: bool, flag: u16| if present { flag } else { 0 };
    operation
        | via << 2
        | set(record.late, LATE)
        | set(record.born.is_some(), BORN)
        | set(record.previous.is_some(), PREVIOUS)
        | set(record.actor.is_some(), ACTOR)
        | set(record.manager.is_some(), MANAGER)
        | set(record.reason.is_some(), REASON)
        | set(matches!(record.body, Body::Whole(_)), WHOLE)
        | set(matches!(record.body, Body::Changes(_)), CHANGES)
}

/// The record as bytes; words it is the first to use enter the dictionary.
pub(crate) fn encode(record: &Record, words: &mut Words) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    put_number(&mut out, u64::try_from(record.at.as_microsecond()).unwrap_or(0));
    put_number(&mut out, record.revision);
    out.push(record.kind.code());
    out.extend_from_slice(&flags(record).to_le_bytes());
    put_number(&mut out, u64::from(record.number));
    if let Some(born) = &record.born {
        put_bytes(&mut out, born.name.as_bytes());
        out.extend_from_slice(born.uid.as_bytes());
    }
    if let Some(previous) = record.previous {
        put_number(&mut out, previous.number());
    }
    if let Some(actor) = &record.actor {
        put_word(&mut out, &actor.user, words);
        put_number(&mut out, actor.groups.len() as u64);
        actor.groups.iter().for_each(|group| put_word(&mut out, group, words));
    }
    if let Some(manager) = &record.manager {
        put_word(&mut out, manager, words);
    }
    if let Some(reason) = &record.reason {
        put_bytes(&mut out, reason.as_bytes());
    }
    match &record.body {
        Body::Whole(value) => put_value(&mut out, value, words),
        Body::Changes(changes) => {
            put_number(&mut out, changes.len() as u64);
            changes.iter().for_each(|change| put_change(&mut out, change, words));
        }
        Body::Gone => {}
    }
    out
}

fn put_change(out: &mut Vec<u8>, change: &Change, words: &mut Words) {
    put_word(out, &change.path.to_string(), words);
    match &change.edit {
        Edit::Set(value) => {
            out.push(SET);
            put_value(out, value, words);
        }
        Edit::Remove => out.push(REMOVE),
        Edit::Slide { drop, add } => {
            out.push(SLIDE);
            put_number(out, *drop as u64);
            put_number(out, add.len() as u64);
            add.iter().for_each(|value| put_value(out, value, words));
        }
    }
}

/// The record, and the words it was the first to use.
///
/// # Errors
/// Bytes that are no record.
pub(crate) fn decode(bytes: &[u8], words: &Words) -> Result<(Record, Vec<Arc<str>>), Malformed> {
    let mut reading = Reading::new(bytes, words);
    let micros = i64::try_from(reading.bytes.number()?).map_err(|_| Malformed("no such time"))?;
    let at = Timestamp::from_microsecond(micros).map_err(|_| Malformed("no such time"))?;
    let revision = reading.bytes.number()?;
    let kind = Kind::from_code(reading.bytes.byte()?).ok_or(Malformed("no such kind"))?;
    let flags = u16::from_le_bytes(reading.bytes.array()?);
    let has = |flag: u16| flags & flag != 0;
    let number = u32::try_from(reading.bytes.number()?).map_err(|_| Malformed("no such object"))?;
    let record = Record {
        at,
        revision,
        kind,
        number,
        operation: match flags & OPERATION {
            0 => Operation::Create,
            1 => Operation::Update,
            _ => Operation::Delete,
        },
        via: match (flags & VIA) >> 2 {
            0 => Via::Webhook,
            1 => Via::WebhookSeveral,
            _ => Via::WatchOnly,
        },
        late: has(LATE),
        born: has(BORN).then(|| born(&mut reading)).transpose()?,
        previous: if has(PREVIOUS) { Position::from_number(reading.bytes.number()?) } else { None },
        actor: has(ACTOR).then(|| actor(&mut reading)).transpose()?,
        manager: has(MANAGER).then(|| reading.word()).transpose()?,
        reason: has(REASON).then(|| reading.bytes.text().map(str::to_owned)).transpose()?,
        body: if has(WHOLE) {
            Body::Whole(read_value(&mut reading)?)
        } else if has(CHANGES) {
            let count = reading.bytes.count()?;
            Body::Changes((0..count).map(|_| change(&mut reading)).collect::<Result<_, _>>()?)
        } else {
            Body::Gone
        },
    };
    Ok((record, reading.new_words()))
}

fn born(reading: &mut Reading<'_>) -> Result<Born, Malformed> {
    Ok(Born { name: reading.bytes.text()?.into(), uid: Uuid::from_bytes(reading.bytes.array()?) })
}

fn actor(reading: &mut Reading<'_>) -> Result<Actor, Malformed> {
    let user = reading.word()?;
    let count = reading.bytes.count()?;
    Ok(Actor { user, groups: (0..count).map(|_| reading.word()).collect::<Result<_, _>>()? })
}

fn change(reading: &mut Reading<'_>) -> Result<Change, Malformed> {
    let path = Path::parse(&reading.word()?).map_err(|_| Malformed("no path of a field"))?;
    let edit = match reading.bytes.byte()? {
        SET => Edit::Set(read_value(reading)?),
        REMOVE => Edit::Remove,
        SLIDE => {
            let drop = usize::try_from(reading.bytes.number()?).map_err(|_| Malformed("no such count"))?;
            let count = reading.bytes.count()?;
            Edit::Slide { drop, add: (0..count).map(|_| read_value(reading)).collect::<Result<_, _>>()? }
        }
        _ => return Err(Malformed("no such edit")),
    };
    Ok(Change { path, edit })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_part_comes_back_and_a_small_change_is_small() {
        let whole = Record {
            at: "2026-11-01T14:05:00.123456Z".parse().unwrap(),
            revision: 99,
            kind: Kind::Inventory,
            number: 300,
            born: Some(Born { name: "m1".into(), uid: Uuid::from_u128(7) }),
            operation: Operation::Create,
            via: Via::WebhookSeveral,
            late: true,
            actor: Some(Actor { user: "ada".into(), groups: vec!["a".into(), "b".into()] }),
            manager: Some("kubectl".into()),
            reason: Some("new rack".into()),
            previous: Some(Position::new(3, 70)),
            body: Body::Whole(json!({"spec": {"role": "web"}})),
        };
        let add = vec![json!({"to": 1})];
        let path = |text| Path::parse(text).unwrap();
        let changes = vec![
            Change { path: path("spec.role"), edit: Edit::Set(json!("storage")) },
            Change { path: path("metadata.labels[\"a/b\"]"), edit: Edit::Remove },
            Change { path: path("status.transitions"), edit: Edit::Slide { drop: 1, add } },
        ];
        let plain = Record {
            born: None,
            operation: Operation::Update,
            via: Via::Webhook,
            late: false,
            manager: None,
            reason: None,
            body: Body::Changes(changes),
            ..whole.clone()
        };
        let gone = Record {
            body: Body::Gone,
            operation: Operation::Delete,
            actor: None,
            via: Via::WatchOnly,
            ..plain.clone()
        };
        let (mut words, mut known) = (Words::default(), Words::default());
        for record in [&whole, &plain, &gone, &plain] {
            let bytes = encode(record, &mut words);
            let (read, new) = decode(&bytes, &known).unwrap();
            known.learn_all(new);
            assert_eq!(&read, record);
        }
        let one = Record {
            body: Body::Changes(vec![Change { path: path("spec.role"), edit: Edit::Set(json!("web")) }]),
            ..plain
        };
        assert!(encode(&one, &mut words).len() < 40, "{}", encode(&one, &mut words).len());
    }
}
