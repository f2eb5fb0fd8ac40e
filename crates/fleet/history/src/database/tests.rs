use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_base::clock::{ManualClock, SharedClock};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::columns::is_hot;
use super::*;
use crate::change::Path;
use crate::log::Directory;
use crate::notes::Notes;

const SEGMENT: u64 = 4000;
const NAMES: [&str; 3] = ["m1", "m2", "m3"];

pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    segment_bytes: u64,
    pub(crate) clock: Arc<ManualClock>,
    database: Option<Database>,
    revision: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_segments(SEGMENT)
    }

    pub(crate) fn with_segments(segment_bytes: u64) -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-01T14:00:00Z".parse().unwrap()));
        let directory = tempfile::tempdir().unwrap();
        let mut bench = Self { directory, segment_bytes, clock, database: None, revision: 10 };
        bench.reopen();
        bench
    }

    pub(crate) fn reopen(&mut self) {
        self.database = None;
        let files = Arc::new(Directory::hold(self.directory.path()).unwrap());
        let clock: SharedClock = self.clock.clone();
        let (database, torn) = Database::with_segments(files, clock, self.segment_bytes).unwrap();
        assert_eq!(torn, None);
        self.database = Some(database);
    }

    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().unwrap()
    }

    pub(crate) fn sees(&mut self, kind: Kind, name: &str, uid: u128, object: Option<Value>) -> usize {
        self.clock.advance(Duration::from_secs(1));
        self.revision += 1;
        let seen = Seen {
            kind,
            name: name.to_owned(),
            uid: Uuid::from_u128(uid),
            revision: self.revision,
            object,
            manager: None,
            late: false,
            attribution: None,
        };
        self.database().record(&mut [seen], &Notes::default()).unwrap()
    }
}

impl Bench {
    /// Many objects, in groups as a recorder makes them, a second apart.
    pub(crate) fn sees_all(&mut self, objects: impl Iterator<Item = (Kind, String, Value)>) {
        let mut batch = Vec::new();
        for (kind, name, object) in objects {
            self.revision += 1;
            let uid = Uuid::from_u128(1);
            let (object, revision) = (Some(object), self.revision);
            let seen =
                Seen { kind, name, uid, revision, object, manager: None, late: false, attribution: None };
            batch.push(seen);
            if batch.len() == 1024 {
                self.clock.advance(Duration::from_secs(1));
                self.database().record(&mut batch, &Notes::default()).unwrap();
                batch.clear();
            }
        }
        self.database().record(&mut batch, &Notes::default()).unwrap();
    }
}

fn told(bench: &Bench, name: &str) -> Vec<String> {
    let range = Range { kind: Kind::Machine, name, since: Timestamp::MIN, until: Timestamp::MAX };
    let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
    let entries = bench.database().history(&range).unwrap().unwrap();
    entries
        .iter()
        .flat_map(|entry| {
            entry.fields.iter().map(move |f| {
                format!("{:?} {}: {} → {}", entry.record.operation, f.path, text(&f.old), text(&f.new))
            })
        })
        .collect()
}

#[test]
fn a_life_is_told_over_restarts_deletion_and_a_namesake() {
    let mut bench = Bench::new();
    bench.sees(Kind::Machine, "m1", 1, Some(json!({"spec": {"role": "web"}})));
    bench.reopen();
    assert_eq!(
        bench.sees(Kind::Machine, "m1", 1, Some(json!({"spec": {"role": "web"}}))),
        0,
        "nothing changed"
    );
    bench.sees(Kind::Machine, "m1", 1, Some(json!({"spec": {"role": "storage"}})));
    bench.sees(Kind::Machine, "m1", 2, Some(json!({"spec": {"role": "db"}})));
    bench.sees(Kind::Machine, "m1", 2, None);
    bench.reopen();
    assert_eq!(
        told(&bench, "m1"),
        [
            r#"Create spec.role: - → "web""#,
            r#"Update spec.role: "web" → "storage""#,
            r#"Delete spec.role: "storage" → -"#,
            r#"Create spec.role: - → "db""#,
            r#"Delete spec.role: "db" → -"#,
        ]
    );
}

#[test]
fn what_was_seen_before_is_passed_over_also_after_a_restart() {
    let mut bench = Bench::new();
    bench.sees(Kind::Machine, "m1", 1, Some(json!({"spec": {"role": "web"}})));
    bench.sees(Kind::Machine, "m1", 1, Some(json!({"spec": {"role": "db"}})));
    bench.reopen();
    bench.revision = 10;
    assert_eq!(bench.sees(Kind::Machine, "m1", 1, Some(json!({"spec": {"role": "web"}}))), 0);
    assert_eq!(told(&bench, "m1").len(), 2);
}

#[test]
fn hot_fields_are_the_plain_ones_that_move_seldom() {
    let rows = [
        ("spec.role", true),
        ("metadata.labels[\"a/b\"]", true),
        ("status.phase", true),
        ("status.since", false),
        ("metadata.annotations[\"a/b\"]", false),
        ("spec.handsOff.by", false),
        ("status.runtime", true),
        ("status.steps[name=a].phase", false),
    ];
    for (text, expected) in rows {
        assert_eq!(is_hot(&Path::parse(text).unwrap()), expected, "{text}");
    }
}

/// One thing that happens: to which machine, and what it is then.
fn edits() -> impl Strategy<Value = Vec<(usize, Option<Value>)>> {
    let state = (0..3u8, proptest::option::of(0..3u8), proptest::collection::vec(0..3u8, 0..3), 0..2u8)
        .prop_map(|(role, label, list, phase)| {
            let mut state =
                json!({"spec": {"role": format!("r{role}")}, "status": {"phase": phase, "list": list}});
            if let Some(label) = label {
                state["metadata"] = json!({"labels": {"k/l": label.to_string()}});
            }
            state
        });
    let edit = (0..NAMES.len(), prop_oneof![9 => state.prop_map(Some), 1 => Just(None)]);
    proptest::collection::vec(edit, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn as_of_any_time_the_history_equals_a_naive_one(edits in edits(), restart in 0..120usize) {
        let mut bench = Bench::new();
        let mut now: BTreeMap<&str, Value> = BTreeMap::new();
        let mut past = Vec::new();
        for (index, (machine, state)) in edits.into_iter().enumerate() {
            if index == restart {
                bench.reopen();
            }
            let name = NAMES[machine];
            bench.sees(Kind::Machine, name, 1, state.clone());
            match state {
                Some(state) => now.insert(name, state),
                None => now.remove(name),
            };
            past.push((bench.database().now(), now.clone()));
        }
        let paths = ["spec.role", "metadata.labels[\"k/l\"]", "status.phase", ""];
        for (at, expected) in past {
            for name in NAMES {
                let state = bench.database().state_at(Kind::Machine, name, at).unwrap();
                prop_assert_eq!(state.as_ref(), expected.get(name));
                for path in paths {
                    let path = Path::parse(path).unwrap();
                    let of_model = match expected.get(name) {
                        Some(_) if path.0.is_empty() => Some(json!(true)),
                        state => state.and_then(|state| path.find(state)).cloned(),
                    };
                    let inner = bench.database().inner.read();
                    let row = inner.objects.find(Kind::Machine, name).map(|number| inner.objects.row(number) as usize);
                    let column = inner.columns.get(Kind::Machine, &path);
                    let of_column = column.zip(row).and_then(|(column, row)| {
                        let number = *column.at(Some(at)).get(row)?;
                        column.value(number).map(Scalar::value)
                    });
                    prop_assert_eq!(of_column, of_model, "{} of {} at {}", path, name, at);
                }
            }
        }
        prop_assert_eq!(bench.database().verify(None).unwrap().broken, None);
    }
}
