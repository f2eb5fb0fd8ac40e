use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn change(revision: u64, field: &str, new: Value) -> Change {
    done("Update", revision, field, new)
}

fn done(operation: &str, revision: u64, field: &str, new: Value) -> Change {
    serde_json::from_value(serde_json::json!({
        "name": "m1.io.stall", "time": at(0), "revision": revision, "operation": operation, "field": field,
        "old": null, "new": new,
        "user": null, "manager": null, "reason": null, "via": "WatchOnly", "seenLate": false,
    }))
    .unwrap()
}

#[test]
fn openings_are_read_from_the_changes_of_a_status() {
    let text = |second: i64| Value::from(at(second).to_string());
    let changes = [
        done("Create", 2, "metadata.creationTimestamp", text(0)),
        done("Create", 2, "spec.class", "io.stall".into()),
        done("Create", 2, "spec.machine", "m1".into()),
        change(3, "status.firstSeen", text(1)),
        change(3, "status.state", "Suspect".into()),
        change(4, "status.episode", 1.into()),
        change(4, "status.openedAt", text(4)),
        change(4, "status.state", "Open".into()),
        change(5, "status.count", 9.into()),
        change(6, "status.clearedAt", text(60)),
        change(6, "status.state", "Clear".into()),
        change(7, "status.firstSeen", text(70)),
        change(7, "status.openedAt", Value::Null),
        change(7, "status.state", "Suspect".into()),
        change(8, "status.episode", 2.into()),
        change(8, "status.openedAt", text(75)),
        change(8, "status.state", "Open".into()),
    ];
    let opening = |(filed, number), seen, opened, cleared: Option<i64>| Opening {
        episode: EpisodeKey { filed: Some(at(filed)), number },
        seen: at(seen),
        opened: at(opened),
        cleared: cleared.map(at),
        false_alarm: false,
    };
    let mut wanted = Course {
        class: "io.stall".to_owned(),
        machine: "m1".to_owned(),
        openings: vec![opening((0, 1), 1, 4, Some(60)), opening((0, 2), 70, 75, None)],
        stands: true,
    };
    assert_eq!(course(&changes), wanted);
    // What is said of one opening is not said of the next, and may be taken back.
    let mut said = changes.to_vec();
    said.insert(10, change(6, FALSE_ALARM, "the cable of the sensor".into()));
    wanted.openings[0].false_alarm = true;
    assert_eq!(course(&said), wanted);
    said.insert(13, change(7, FALSE_ALARM, Value::Null));
    wanted.openings[0].false_alarm = false;
    assert_eq!(course(&said), wanted);
    // A person removed it while it was open, and it was filed anew.
    let mut changes = changes.to_vec();
    changes.extend([
        done("Delete", 9, "spec.class", Value::Null),
        done("Delete", 9, "status.episode", Value::Null),
        done("Delete", 9, "status.openedAt", Value::Null),
    ]);
    assert!(!course(&changes).stands);
    changes.extend([
        done("Create", 11, "metadata.creationTimestamp", text(97)),
        done("Create", 11, "spec.class", "io.stall".into()),
        done("Create", 11, "spec.machine", "m1".into()),
        change(11, "status.clearedAt", text(98)),
        change(11, "status.state", "Clear".into()),
    ]);
    assert_eq!(course(&changes), wanted, "what was only suspected clears nothing of a former life");
    changes.extend([
        change(12, "status.episode", 1.into()),
        change(12, "status.openedAt", text(99)),
        change(12, "status.state", "Open".into()),
    ]);
    wanted.openings.push(opening((97, 1), 99, 99, None));
    assert_eq!(course(&changes), wanted);
    assert_eq!(course(&[]), Course::default());
}

#[test]
fn a_page_shows_no_markup_of_others() {
    let mut told = Told { since: at(0), until: at(9), report: Report::default(), held_now: BTreeMap::new() };
    told.held_now.insert("<script>".to_owned(), 1);
    let page = page::page(&told);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
}
