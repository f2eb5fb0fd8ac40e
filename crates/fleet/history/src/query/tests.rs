use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::database::tests::Bench;
use crate::kinds::Kind;

/// Three machines with what they are made of; `m3` has neither role nor inventory.
fn fleet() -> Bench {
    let mut bench = Bench::new();
    let machine = |role: &str, site: &str| json!({"spec": {"site": site, "role": role}, "metadata": {"labels": {"muster.dev/row": site}}});
    bench.sees(Kind::Machine, "m1", 1, Some(machine("storage", "a")));
    bench.sees(Kind::Machine, "m2", 2, Some(machine("web", "b")));
    bench.sees(Kind::Machine, "m3", 3, Some(json!({"spec": {"site": "b"}})));
    for (name, uid, memory) in [("m1", 11, 128), ("m2", 12, 512)] {
        let disks = json!([{"name": "sda", "bytes": memory}]);
        bench.sees(
            Kind::Inventory,
            name,
            uid,
            Some(json!({"status": {"memoryGiB": memory, "disks": disks}})),
        );
    }
    bench
}

fn ask(
    bench: &Bench,
    condition: &str,
    as_of: Option<Timestamp>,
    group: Option<&str>,
) -> Result<String, String> {
    let question = Question::new(condition, as_of, group).map_err(|error| error.to_string())?;
    let answer = question.answer(bench.database()).map_err(|error| error.to_string())?;
    let names = answer.items.iter().flatten().map(|found| found.name.clone());
    let groups = answer.groups.iter().flatten().map(|group| format!("{}={}", group.value, group.machines));
    let words: Vec<String> = names.chain(groups).collect();
    Ok(format!(
        "{} ({} of {}, {} undecided)",
        words.join(" "),
        answer.matched,
        answer.machines,
        answer.undecided
    ))
}

#[test]
fn conditions_over_columns_and_the_log_find_the_machines() {
    let bench = fleet();
    let rows = [
        ("", "m1 m2 m3 (3 of 3, 0 undecided)"),
        ("machine.spec.role == \"storage\"", "m1 (1 of 3, 1 undecided)"),
        ("machine.spec.role == \"storage\" && inventory.memoryGiB < 256", "m1 (1 of 3, 1 undecided)"),
        ("inventory.memoryGiB > 256 || machine.spec.site == \"a\"", "m1 m2 (2 of 3, 1 undecided)"),
        ("!has(machine.spec.role)", "m3 (1 of 3, 0 undecided)"),
        (
            "machine.metadata.name.startsWith(\"m\") && machine.spec.site in [\"b\"]",
            "m2 m3 (2 of 3, 0 undecided)",
        ),
        ("machine.metadata.labels[\"muster.dev/row\"] == \"b\"", "m2 (1 of 3, 1 undecided)"),
        ("inventory.disks.exists(d, d.bytes > 200)", "m2 (1 of 3, 1 undecided)"),
    ];
    for (condition, expected) in rows {
        assert_eq!(ask(&bench, condition, None, None).as_deref(), Ok(expected), "{condition}");
    }
}

#[test]
fn a_past_time_is_answered_as_if_asked_then() {
    let mut bench = fleet();
    let then = bench.database().now();
    bench.sees(Kind::Machine, "m2", 2, Some(json!({"spec": {"site": "b", "role": "storage"}})));
    bench.sees(Kind::Inventory, "m1", 11, Some(json!({"status": {"memoryGiB": 1024, "disks": []}})));
    bench.sees(Kind::Machine, "m1", 1, None);
    let storage = "machine.spec.role == \"storage\"";
    let small = "machine.spec.role == \"storage\" && inventory.memoryGiB < 256";
    let disks = "size(inventory.disks) == 1";
    assert_eq!(ask(&bench, storage, None, None).unwrap(), "m2 (1 of 2, 1 undecided)");
    assert_eq!(ask(&bench, storage, Some(then), None).unwrap(), "m1 (1 of 3, 1 undecided)");
    assert_eq!(ask(&bench, small, Some(then), Some("site")).unwrap(), "a=1 (1 of 3, 1 undecided)");
    assert_eq!(ask(&bench, disks, Some(then), None).unwrap(), "m1 m2 (2 of 3, 1 undecided)");
    assert_eq!(
        ask(&bench, "", Some(then), Some("inventory.memoryGiB")).unwrap(),
        "=1 128=1 512=1 (3 of 3, 0 undecided)"
    );
    let groups = ask(&bench, "", Some(then), Some("machine.metadata.creationTimestamp")).unwrap();
    assert_eq!(groups, "=3 (3 of 3, 0 undecided)");
}

#[test]
fn wrong_questions_are_refused_with_the_place_and_what_there_is() {
    let bench = fleet();
    let refused = |condition: &str, as_of, group| ask(&bench, condition, as_of, group).unwrap_err();
    let words = refused("machine.spec.site == \"a\" && machine.spec.rol == \"x\"", None, None);
    assert!(words.starts_with("where: 1:29: there is no field machine.spec.rol; there are bmc, "), "{words}");
    let words = refused("machine.spec.site ==", None, None);
    assert!(words.starts_with("where: 1:"), "{words}");
    let words = refused("host.spec.site == \"a\"", None, None);
    assert!(words.starts_with("where: 1:1: there is no variable \"host\""), "{words}");
    let words = refused("inventory.memory == 1", None, None);
    assert!(words.contains("memoryGiB"), "{words}");
    let words = refused("", None, Some("colour"));
    assert!(words.starts_with("group by \"colour\": there is no such field"), "{words}");
    let later = bench.database().now() + Duration::from_secs(60);
    let words = refused("", Some(later), None);
    assert!(words.contains("that is in the future; it is 2026-11-01T14:00:05Z"), "{words}");
    let words = refused("", Some("2026-10-01T00:00:00Z".parse().unwrap()), None);
    assert!(words.contains("the history begins at 2026-11-01T14:00:01Z"), "{words}");
    let nothing = Bench::new();
    let words = ask(&nothing, "", Some(nothing.database().now()), None).unwrap_err();
    assert!(words.ends_with("nothing is recorded yet"), "{words}");
}
