use serde_json::{Value, json};

use super::*;

const KNOWN: [&str; 3] = ["machine", "inventory", "run"];

fn machine() -> Value {
    json!({
        "metadata": {"name": "m1", "labels": {"rack/row": "7"}},
        "spec": {"role": "storage", "rack": null},
        "status": {"phase": "Healthy", "since": "2026-11-01T14:05:00Z",
            "transitions": [{"to": "Registered"}, {"to": "Healthy"}]},
    })
}

fn judge(text: &str) -> String {
    let expression = match Expression::compile(text, &KNOWN) {
        Ok(expression) => expression,
        Err(error) => return format!("refused: {error}"),
    };
    let inventory =
        json!({"status": {"memoryGiB": 128, "load": 0.5, "disks": [{"name": "sda", "sizeGiB": 100}]}});
    let objects = [("machine", &machine()), ("inventory", view("inventory", &inventory))];
    expression.evaluate(&objects).map_or_else(|error| error.to_string(), |holds| holds.to_string())
}

fn check(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(judge(text), *expected, "{text}");
    }
}

#[test]
fn objects_are_seen_by_their_json_names() {
    check(&[
        ("machine.spec.role == \"storage\" && inventory.memoryGiB < 256", "true"),
        ("machine.spec.role == 'worker' || inventory.memoryGiB >= 128", "true"),
        ("inventory.memoryGiB > 128", "false"),
        ("inventory.load < 1.0 && inventory.load > 0.25", "true"),
        ("machine.metadata.labels['rack/row'] == '7'", "true"),
        ("'rack/row' in machine.metadata.labels", "true"),
        ("inventory.disks.exists(d, d.name == 'sda' && d.sizeGiB >= 100)", "true"),
        ("inventory.disks.all(d, d.sizeGiB > 100)", "false"),
        ("machine.status.transitions[1].to == 'Healthy'", "true"),
        ("size(machine.status.transitions) == 2", "true"),
        ("machine.metadata.name.matches('^m[0-9]+$')", "true"),
        ("machine.metadata.name.startsWith('x')", "false"),
        ("timestamp(machine.status.since) < timestamp('2026-11-02T00:00:00Z')", "true"),
        ("duration('90s') == duration('1m30s')", "true"),
        ("machine.spec.role in ['storage', 'db']", "true"),
        ("inventory.disks.exists(machine, machine.name == 'sda') && machine.spec.role == 'storage'", "true"),
    ]);
}

#[test]
fn what_is_not_there_is_told_apart_and_can_be_asked_for() {
    check(&[
        ("machine.spec.profile == 'x'", "there is no field \"profile\""),
        ("machine.spec.rack == 'r1'", "there is no field \"rack\""),
        ("machine.spec.role.deeper == 'x'", "there is no field \"deeper\""),
        ("run.spec.workflow == 'x'", "there is no field \"spec\""),
        ("inventory.disks[3].name == 'x'", "there is no field \"[index]\""),
        ("has(machine.spec.profile)", "false"),
        ("has(machine.spec.rack)", "false"),
        ("has(machine.spec.role)", "true"),
        ("has(machine.spec.profile) && machine.spec.profile == 'x'", "false"),
        ("machine.spec.profile == 'x' || machine.spec.role == 'storage'", "true"),
        ("inventory.memoryGiB < 'x'", "values of these types cannot be combined so"),
        ("machine.spec.role", "the value is neither true nor false"),
    ]);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    check(&[
        ("", "refused: it is empty; write a condition such as machine.spec.role == \"storage\""),
        (
            "machine.spec.role == 'a' &&\n  inventry.memoryGiB < 5",
            "refused: 2:3: there is no variable \"inventry\"; there are machine, inventory, run",
        ),
        (
            "'inventry' == machine.spec.inventry && inventry.x",
            "refused: 1:40: there is no variable \"inventry\"; there are machine, inventory, run",
        ),
        ("machine.spec.role.beginsWith('x')", "refused: 1:19: there is no function \"beginsWith\""),
        (
            "1 + 2",
            "refused: it is no condition: its value is neither true nor false; compare it with something",
        ),
        (
            "'storage'",
            "refused: it is no condition: its value is neither true nor false; compare it with something",
        ),
    ]);
    let error = Expression::compile("machine.spec.role ==", &KNOWN).unwrap_err();
    assert!(matches!(&error, ExpressionError::Syntax { line: 1, column, .. } if *column >= 20), "{error}");
}

#[test]
fn hostile_texts_are_refused_and_end_nothing() {
    let deep =
        |open: &str, close: &str, times: usize| format!("{}true{}", open.repeat(times), close.repeat(times));
    for text in [
        deep("(", ")", 1000),
        deep("[", "]", 1000),
        deep("!", "", 2000),
        deep("-", "", 2000),
        deep("true ? ", " : true", 100),
        format!("machine{} == 1", ".a".repeat(1000)),
        format!("1{} == 1", "+1".repeat(1000)),
        "x".repeat(5000),
    ] {
        // Brackets alone leave no trace in what was read: `((((true))))` is `true`.
        let refused = Expression::compile(&text, &KNOWN).is_err();
        assert!(refused || text.starts_with(['(', '!']), "{}…", &text[..40]);
    }
    let loops = "inventory.a.all(a, inventory.a.all(b, inventory.a.all(c, a + b == c)))";
    assert_eq!(Expression::compile(loops, &KNOWN).unwrap_err(), ExpressionError::TooManyLoops { loops: 3 });
    let twice = Expression::compile("inventory.a.all(a, inventory.a.all(b, a == b))", &KNOWN).unwrap();
    let many = json!({"a": vec![1; 2000]});
    let error = twice.evaluate(&[("inventory", &many)]).unwrap_err();
    assert!(matches!(error, EvaluateError::TooCostly { .. }), "{error}");
}

#[test]
fn only_what_is_named_is_read() {
    let fields = |text: &str| Expression::compile(text, &KNOWN).unwrap().fields();
    assert_eq!(
        fields(
            "machine.spec.role == 'a' && has(machine.status.run) && inventory.disks.exists(d, d.size > 1)"
        ),
        ["machine.spec.role", "machine.status.run", "inventory.disks"]
    );
    assert_eq!(fields("machine.spec.role == 'a' && machine.spec == run.spec"), ["machine.spec", "run.spec"]);
}

/// Prints what one evaluation costs: `cargo test -p muster-control --release -- --ignored --nocapture costs`.
#[test]
#[ignore = "a measurement, not a check"]
#[expect(clippy::print_stdout, reason = "the measurement is what it prints")]
fn a_million_evaluations_costs() {
    let expression =
        Expression::compile("machine.spec.role == \"storage\" && inventory.memoryGiB < 256", &KNOWN);
    let expression = expression.unwrap();
    let (machine, inventory) = (machine(), json!({"memoryGiB": 128}));
    let begin = std::time::Instant::now();
    let held = (0..1_000_000)
        .filter(|_| expression.evaluate(&[("machine", &machine), ("inventory", &inventory)]) == Ok(true))
        .count();
    println!("{held} evaluations in {:?}", begin.elapsed());
}
