use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn change(revision: u64, field: &str, new: Value) -> Change {
    serde_json::from_value(serde_json::json!({
        "time": at(0), "revision": revision, "operation": "Update", "field": field, "old": null, "new": new,
        "user": null, "manager": null, "reason": null, "via": "WatchOnly", "seenLate": false,
    }))
    .unwrap()
}

#[test]
fn openings_are_read_from_the_changes_of_a_status() {
    let text = |second: i64| Value::from(at(second).to_string());
    let changes = [
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
    let opening = |episode, seen, opened, cleared: Option<i64>| Opening {
        episode,
        seen: at(seen),
        opened: at(opened),
        cleared: cleared.map(at),
    };
    assert_eq!(openings(&changes), [opening(1, 1, 4, Some(60)), opening(2, 70, 75, None)]);
    assert_eq!(openings(&[]), []);
}

#[test]
fn a_page_shows_no_markup_of_others() {
    let mut told = Told { since: at(0), until: at(9), report: Report::default(), held_now: BTreeMap::new() };
    told.held_now.insert("<script>".to_owned(), 1);
    let page = page::page(&told);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
}
