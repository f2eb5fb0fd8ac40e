use muster_api::GoDuration;
use muster_api::problem::{ProblemSpec, ProblemStatus};
use muster_api::repair::{RepairRef, RungAction};

use super::*;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
}

fn suspect(kind: SuspectKind, site: &str) -> Suspect {
    Suspect { kind, name: "x".into(), site: site.into(), machines: 12, of: 12 }
}

/// `NAME:WHAT`: `open` (seen in minute 0), `open@MINUTE`, `clear`, `silent`, `running`, `refused` (a run that could not
/// begin), `well`, `failed`, `back`, `before` (a repair that failed before the burst), `other` (of another class).
fn rows(text: &str) -> Vec<(Problem, Vec<Tried>)> {
    let row = |word: &str| {
        let (name, what) = word.split_once(':').unwrap();
        let (what, seen) = what.split_once('@').unwrap_or((what, "0"));
        let class = if what == "other" { "fs.full" } else { "io.stall" };
        let spec = ProblemSpec { machine: name.into(), component: String::new(), class: class.into() };
        let mut problem = Problem::new(name, spec);
        problem.status = Some(ProblemStatus {
            state: if matches!(what, "clear" | "well") { State::Clear } else { State::Open },
            episode: if what == "back" { 2 } else { 1 },
            boot_id: if what == "silent" { String::new() } else { "b".into() },
            opened_at: Some(at(if what == "back" { 60 } else { 0 })),
            last_seen: Some(at(seen.parse().unwrap())),
            ..ProblemStatus::default()
        });
        let (phase, began) = match what {
            "running" => (RunPhase::Running, 40),
            "refused" | "failed" => (RunPhase::Failed, 40),
            "well" | "back" => (RunPhase::Succeeded, 40),
            "before" => (RunPhase::Failed, -5),
            _ => return (problem, Vec::new()),
        };
        let tried = Tried {
            run: format!("r-{name}"),
            episode: EpisodeKey { filed: None, number: 1 },
            rung: rung(),
            phase,
            acted: !matches!(what, "refused" | "running"),
            stopped: false,
            began: at(began),
            ended: phase.is_final().then(|| at(began + 10)),
        };
        (problem, vec![tried])
    };
    text.split_whitespace().map(row).collect()
}

fn rung() -> RepairRef {
    let (deadline, success_after) = [1800, 3600].map(|time| GoDuration(Duration::from_secs(time))).into();
    RepairRef::new(("p", "io.stall"), RungAction::PowerCycle, deadline, success_after)
}

fn judged(suspect: Suspect, text: &str, minute: i64) -> String {
    let mut parent = Problem::new("parent", ProblemSpec::default());
    parent.status = Some(ProblemStatus {
        state: State::Open,
        opened_at: Some(at(0)),
        last_seen: Some(at(5)),
        suspect: Some(suspect),
        ..ProblemStatus::default()
    });
    let rows = rows(text);
    let members: Vec<Member<'_>> = rows.iter().map(|(problem, tried)| Member { problem, tried }).collect();
    let may = |problem: &Problem| !problem.name_any().starts_with("busy");
    let after = Some(Duration::from_secs(1800));
    match judge(&Case { parent: &parent, members: &members, after, may: &may, now: at(minute) }) {
        Verdict::Never(why) => format!("never: {why}"),
        Verdict::NotBefore(from) => format!("not before {}", (from.as_second() - at(0).as_second()) / 60),
        Verdict::Failed(why) => format!("failed: {why}"),
        Verdict::Try { problems, .. } => problems.into_iter().collect::<Vec<_>>().join(" "),
    }
}

/// What is tried in a site in which nothing more has failed for long.
fn tried(text: &str) -> String {
    judged(suspect(SuspectKind::Site, ""), text, 100)
}

#[test]
fn nothing_is_tried_before_it_has_not_grown_for_half_an_hour() {
    let site = || suspect(SuspectKind::Site, "");
    assert_eq!(judged(site(), "a:open b:open c:open", 34), "not before 35");
    assert_eq!(judged(site(), "a:open b:open c:open", 35), "a");
}

#[test]
fn what_does_not_speak_and_what_is_nobodys_machine_is_never_tried() {
    let alike = "a:open b:open c:open";
    for (suspect, why) in [
        (suspect(SuspectKind::Power, "s"), "never: a power feed is suspected"),
        (suspect(SuspectKind::Rule, ""), "never: the rule is suspected of the whole fleet"),
        (suspect(SuspectKind::Image, ""), "never: what machines bear wherever they stand is suspected"),
        (suspect(SuspectKind::Rule, "s"), "a"),
        (suspect(SuspectKind::Rack, "s"), "a"),
    ] {
        assert_eq!(judged(suspect, alike, 100), why);
    }
    for kind in [SuspectKind::Rack, SuspectKind::Site] {
        let silent = judged(suspect(kind, "s"), "a:open b:silent c:open", 100);
        assert_eq!(silent, "never: some of the machines are silent");
    }
    assert_eq!(tried("a:open b:other"), "never: the machines do not all show the same");
}

#[test]
fn the_one_with_the_freshest_evidence_of_those_that_may_is_first() {
    assert_eq!(tried("a:open@1 b:open@3 c:open@2"), "b");
    assert_eq!(tried("a:open@1 busy-b:open@3 c:open@2"), "c");
    assert_eq!(tried("busy-a:open busy-b:open"), "");
}

#[test]
fn one_then_two_then_four_at_a_time_and_none_while_those_are_under_way() {
    let rest = "d:open e:open f:open g:open h:open";
    for (now, next) in [
        ("a:open b:open c:open", "a"),
        ("a:running b:open c:open", ""),
        ("a:refused b:open c:open", "a"),
        ("a:well b:open c:open", "b c"),
        ("a:well b:running c:open", "c"),
        ("a:well b:running c:running", ""),
        ("a:well b:well c:running", "d e"),
        ("a:well b:well c:well", "d e f g"),
        ("a:clear b:open c:open", "b"),
    ] {
        assert_eq!(tried(&format!("{now} {rest}")), next, "{now}");
    }
}

#[test]
fn one_that_fails_or_comes_back_ends_it_and_what_was_done_before_says_nothing() {
    assert_eq!(tried("a:failed b:open c:open"), "failed: run r-a on machine a ended Failed");
    assert_eq!(tried("a:well b:failed c:running d:open"), "failed: run r-b on machine b ended Failed");
    assert_eq!(tried("a:back b:open"), "failed: a was back 600 s after run r-a");
    assert_eq!(tried("a:before b:open@1"), "b");
}
