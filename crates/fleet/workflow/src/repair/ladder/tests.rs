use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use muster_api::Condition;
use muster_api::condition::{ACCEPTED, Status};
use muster_api::machine::{Bmc, MachineSpec, MachineStatus, Maintenance, Phase};
use muster_api::problem::{ProblemSpec, ProblemStatus, State, Suspect, SuspectKind};
use muster_api::repair::{PersonAfter, RepairPolicySpec, Skip};
use muster_api::workflow::RunPhase;

use super::*;
use crate::builtin;
use crate::repair::climb::Opening;
use crate::repair::rates::Book;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
}

fn minutes(number: u64) -> GoDuration {
    GoDuration(Duration::from_secs(number * 60))
}

fn accepted() -> Vec<Condition> {
    vec![Condition {
        r#type: ACCEPTED.into(),
        status: Status::True,
        reason: "Test".into(),
        message: String::new(),
        last_transition_time: Timestamp::UNIX_EPOCH,
        observed_generation: None,
    }]
}

fn action(word: &str) -> RungAction {
    RungAction::ALL.into_iter().find(|action| action.as_str() == word).unwrap_or_else(|| panic!("{word}"))
}

/// `observe=10 restartService*2 powerCycle`: minutes after `=`, the limit after `*`.
fn rungs(text: &str) -> Vec<Rung> {
    let rung = |word: &str| {
        let (word, deadline) = word.split_once('=').unwrap_or((word, "30"));
        let (word, limit) = word.split_once('*').unwrap_or((word, "1"));
        let deadline = Duration::from_secs(deadline.parse::<u64>().unwrap() * 60);
        Rung { limit: limit.parse().unwrap(), ..Rung::new(action(word), deadline) }
    };
    text.split_whitespace().map(rung).collect()
}

/// `EPISODE:ACTION:END:FROM..TO` in minutes; ends are ok, failed, ambiguous, refused (nothing was done), stopped, running.
fn tried(text: &str) -> Vec<Tried> {
    let one = |word: &str| {
        let parts: Vec<&str> = word.split(':').collect();
        let [episode, what, end, span] = parts.as_slice() else { panic!("{word}") };
        let (from, to) = span.split_once("..").unwrap();
        let phase = match *end {
            "ok" => RunPhase::Succeeded,
            "failed" | "refused" => RunPhase::Failed,
            "ambiguous" => RunPhase::Ambiguous,
            "stopped" => RunPhase::Cancelled,
            "running" => RunPhase::Running,
            other => panic!("{other}"),
        };
        Tried {
            run: format!("run-{word}"),
            episode: of_first_life(episode.parse().unwrap()),
            rung: rung(action(what)),
            phase,
            acted: !matches!(*end, "refused" | "stopped"),
            stopped: *end == "stopped",
            began: at(from.parse().unwrap()),
            ended: (*end != "running").then(|| at(to.parse().unwrap())),
        }
    };
    text.split_whitespace().map(one).collect()
}

fn of_first_life(number: i64) -> EpisodeKey {
    EpisodeKey { filed: None, number }
}

fn rung(action: RungAction) -> RepairRef {
    RepairRef {
        model: "R1".into(),
        image: "deb12".into(),
        ..RepairRef::new(("p", "io.stall"), action, minutes(30), minutes(7 * 24 * 60))
    }
}

struct Scene {
    machine: Machine,
    problem: Problem,
    policy: RepairPolicy,
    parents: Vec<Arc<Problem>>,
    tried_of: Option<&'static str>,
    book: Book,
    has_image: bool,
    now: i64,
}

/// The problem opened in minute 1000, as its fourth episode, and was seen a moment ago.
fn scene(ladder: &str, now: i64) -> Scene {
    let bmc = Some(Bmc { address: "ipmi://10.0.0.9".into(), secret_ref: String::new() });
    let spec = MachineSpec { site: "a".into(), rack: "r1".into(), bmc, ..MachineSpec::default() };
    let mut machine = Machine::new("m1", spec);
    machine.status =
        Some(MachineStatus { phase: Phase::Healthy, boot_id: "boot-2".into(), ..MachineStatus::default() });
    let spec = ProblemSpec { machine: "m1".into(), component: "sda".into(), class: "io.stall".into() };
    let mut problem = Problem::new("m1.io.stall.sda", spec);
    problem.status = Some(ProblemStatus {
        state: State::Open,
        episode: 4,
        boot_id: "boot-2".into(),
        opened_at: Some(at(1000)),
        last_seen: Some(at(now)),
        conditions: accepted(),
        ..ProblemStatus::default()
    });
    let spec = RepairPolicySpec {
        classes: vec!["io.stall".into()],
        mode: Mode::Act,
        rungs: rungs(ladder),
        ..RepairPolicySpec::default()
    };
    Scene {
        machine,
        problem,
        policy: RepairPolicy::new("io", spec),
        parents: Vec::new(),
        tried_of: None,
        book: Book::default(),
        has_image: true,
        now,
    }
}

impl Scene {
    fn next(&self, history: &str) -> Next {
        self.next_after(&tried(history))
    }

    fn next_after(&self, tried: &[Tried]) -> Next {
        let workflows: Vec<Arc<Workflow>> = builtin::all().into_iter().map(Arc::new).collect();
        next(&Case {
            machine: &self.machine,
            problem: &self.problem,
            policy: &self.policy,
            tried,
            rates: self.book.rates(),
            kind: Kind { model: "R1", image: "deb12", firmware: "" },
            parents: &self.parents,
            tried_of: self.tried_of,
            workflows: &workflows.iter().collect::<Vec<_>>(),
            has_image: self.has_image,
            now: at(self.now),
        })
    }

    fn check(&self, history: &str, expected: &str) {
        let told = match self.next(history) {
            Next::Start(run) => {
                let rung = run.spec.repair.unwrap();
                let why = if rung.why.is_empty() { String::new() } else { format!(" ({})", rung.why) };
                format!("{}: {}{why}", run.metadata.name.unwrap(), rung.action.as_str())
            }
            Next::Held(held) => {
                let until = |until: Timestamp| (until.as_second() - at(0).as_second()) / 60;
                match held.until {
                    Some(at) => format!("{} until {}", held.reason, until(at)),
                    None => format!("{}: {}", held.reason, held.text),
                }
            }
        };
        assert_eq!(told, expected, "after {history:?}");
    }

    fn status(&mut self, change: impl FnOnce(&mut ProblemStatus)) {
        change(self.problem.status.as_mut().unwrap());
    }
}

const LADDER: &str = "observe=10 restartService reboot powerCycle quarantine";

#[test]
fn a11_rung_by_rung_each_once_and_a_person_at_the_end() {
    scene(LADDER, 1009).check("", "Observed until 1010");
    let scene = scene(LADDER, 1100);
    scene.check("", "repair-m1.io.stall.sda-4: restartService");
    let mut history = String::new();
    let steps =
        [("restartService", "reboot", 2), ("reboot", "powerCycle", 3), ("powerCycle", "quarantine", 4)];
    for (number, (done, next, name)) in steps.into_iter().enumerate() {
        let from = 1010 + 10 * number;
        history += &format!(" 4:{done}:failed:{from}..{}", from + 5);
        scene.check(&history, &format!("repair-m1.io.stall.sda-4-{name}: {next}"));
    }
}

#[test]
fn what_a_person_has_is_left_to_that_person_until_it_opens_anew() {
    let scene = scene(LADDER, 1100);
    let given = "3:powerCycle:failed:990..995 3:quarantine:ok:996..998";
    scene.check(
        &given.replace("3:", "4:"),
        "WithPerson: a person has it since run run-4:quarantine:ok:996..998",
    );
    scene.check(given, "repair-m1.io.stall.sda-4: quarantine");
}

#[test]
fn a_problem_that_was_removed_and_filed_anew_counts_from_one_and_is_another() {
    let mut scene = scene(LADDER, 1100);
    let given = "4:powerCycle:failed:960..965 4:quarantine:ok:966..968";
    scene.problem.metadata.creation_timestamp = Some(Time(at(999)));
    scene.check(given, "repair-m1.io.stall.sda-4: quarantine");
    let Next::Start(run) = scene.next(given) else { panic!("held") };
    assert_eq!((run.spec.problem_filed_at, run.spec.episode), (Some(at(999)), Some(4)));
    let mut one = tried(given);
    one[0].run = run.name_any();
    let Next::Start(run) = scene.next_after(&one) else { panic!("held") };
    assert_eq!(run.name_any(), "repair-m1.io.stall.sda-4-2", "a run of its former life has that name");
    one[1].episode.filed = Some(at(999));
    let Next::Held(held) = scene.next_after(&one) else { panic!("not held") };
    assert_eq!(held.reason, "WithPerson");
}

#[test]
fn a11_what_was_fixed_and_comes_back_enters_at_the_next_rung_and_later_at_the_first() {
    let scene = scene(LADDER, 1100);
    let (day, week) = (24 * 60, 7 * 24 * 60);
    let back = format!("3:restartService:ok:{}..{}", 1000 - day - 5, 1000 - day);
    scene.check(&back, "repair-m1.io.stall.sda-4: reboot");
    let old = format!("3:restartService:ok:{}..{}", 1000 - week - 6, 1000 - week - 1);
    scene.check(&old, "repair-m1.io.stall.sda-4: restartService");
    // A chain of returns: each within a week of the one before.
    let chain = format!(
        "2:restartService:ok:{}..{} 3:reboot:ok:{}..{}",
        1000 - 2 * week,
        1005 - 2 * week,
        1000 - week,
        1010 - week
    );
    scene.check(&chain, "repair-m1.io.stall.sda-4: powerCycle");
}

#[test]
fn a11_the_third_repair_of_a_class_within_a_day_goes_to_a_person() {
    let scene = scene("observe=10 restartService*9 quarantine", 1100);
    let once = "2:restartService:ok:700..710";
    let twice = "2:restartService:ok:700..710 3:restartService:ok:900..910";
    scene.check(once, "repair-m1.io.stall.sda-4: restartService");
    scene.check(
        twice,
        "repair-m1.io.stall.sda-4: quarantine (this would be repair 3 of io.stall within 24h0m0s)",
    );
    let mut patient = scene_with(|spec| {
        spec.person_after = Some(PersonAfter { repairs: 3, within: minutes(100) });
    });
    patient.policy.spec.rungs = rungs("observe=10 restartService*9 quarantine");
    patient.check(twice, "repair-m1.io.stall.sda-4: restartService");
}

/// As the doctor's diagnosis has them: three short episodes, and a fourth that stays open and is marked as flapping.
#[test]
fn a2_twenty_flaps_are_one_record_and_one_repair() {
    let (mut started, mut history) = (Vec::new(), String::new());
    for minute in 0..300 {
        let mut scene = scene("observe=60 quarantine", 1000 + minute);
        let episode = (minute / 2 + 1).min(4);
        scene.status(|status| {
            status.episode = episode;
            status.opened_at = Some(at(1000 + 2 * (episode - 1)));
            status.flapping = episode == 4;
        });
        if let Next::Start(run) = scene.next(&history) {
            history = format!("{episode}:quarantine:ok:{}..{}", 1000 + minute, 1001 + minute);
            started.push(run.metadata.name.unwrap());
        }
    }
    assert_eq!(started, ["repair-m1.io.stall.sda-4"]);
}

fn scene_with(change: impl FnOnce(&mut RepairPolicySpec)) -> Scene {
    let mut scene = scene(LADDER, 1100);
    change(&mut scene.policy.spec);
    scene
}

#[test]
fn a_rung_is_repeated_up_to_its_limit_and_what_never_began_uses_up_nothing() {
    let scene = scene("restartService*2 powerCycle", 1100);
    scene.check("4:restartService:failed:1001..1005", "repair-m1.io.stall.sda-4-2: restartService");
    let twice = "4:restartService:failed:1001..1005 4:restartService:ambiguous:1006..1010";
    scene.check(twice, "repair-m1.io.stall.sda-4-3: powerCycle");
    scene.check("4:restartService:refused:1001..1097", "AskedAgain until 1102");
    scene.check("4:restartService:refused:1001..1090", "repair-m1.io.stall.sda-4-2: restartService");
    scene.check(
        "4:restartService:running:1001..0",
        "UnderWay: run run-4:restartService:running:1001..0 is at it",
    );
    scene.check(
        "4:restartService:stopped:1001..1005",
        "Stopped: a person gave run run-4:restartService:stopped:1001..1005 up",
    );
}

#[test]
fn a9_an_act_of_unknown_end_is_not_repeated_the_next_rung_comes() {
    let scene = scene("powerCycle reboot quarantine", 1100);
    scene.check("4:powerCycle:ambiguous:1001..1005", "repair-m1.io.stall.sda-4-2: reboot");
}

#[test]
fn what_the_machine_cannot_do_is_left_out_with_its_reason() {
    let mut scene = scene("powerCycle quarantine", 1100);
    scene.machine.spec.bmc = None;
    scene.check(
        "",
        "repair-m1.io.stall.sda-4: quarantine (powerCycle: the machine has no management controller)",
    );
    scene.policy.spec.rungs = rungs("reimage quarantine");
    scene.check(
        "",
        "repair-m1.io.stall.sda-4: quarantine (reimage: the machine has no management controller)",
    );
    let mut scene = self::scene("reimage quarantine", 1100);
    scene.check("", "repair-m1.io.stall.sda-4: reimage");
    scene.has_image = false;
    scene.check("", "repair-m1.io.stall.sda-4: quarantine (reimage: its role names no image)");
    scene.policy.spec.rungs[0].parameters.insert("media".into(), "http://i/i.iso".into());
    scene.check("", "repair-m1.io.stall.sda-4: reimage");
    scene.policy.spec.rungs = rungs("powerCycle quarantine");
    scene.policy.spec.rungs[0].workflow = "mine".into();
    scene.check(
        "",
        "repair-m1.io.stall.sda-4: quarantine (powerCycle: there is no Workflow \"mine\" that can be run)",
    );
}

/// So many machines of a kind on which `action` was done, the first of them for good.
fn measured(book: &mut Book, action: RungAction, model: &str, tried: u32, fixed: u32) {
    for number in 0..tried {
        let problem = format!("{model}{number}.{}.io.stall", action.as_str());
        let rung = RepairRef { model: model.into(), ..rung(action) };
        let phase = if number < fixed { RunPhase::Succeeded } else { RunPhase::Failed };
        let run = format!("repair-{problem}-1");
        let (began, ended) = (at(0), Some(at(5)));
        let episode = of_first_life(1);
        let one = Tried { run: run.clone(), episode, rung, phase, acted: true, stopped: false, began, ended };
        book.ran(&problem, &run, Some(one));
    }
}

#[test]
fn a_rung_that_seldom_helps_is_skipped_and_says_its_figures() {
    let mut scene = scene("restartService reboot powerCycle quarantine", 1100);
    measured(&mut scene.book, RungAction::RestartService, "R1", 41, 3);
    measured(&mut scene.book, RungAction::Reboot, "R1", 11, 0);
    scene.check(
        "",
        "repair-m1.io.stall.sda-4: reboot (restartService fixed 3 of 41 on this kind of machine: skipped)",
    );
    // Another kind of machine tells nothing once this kind is known well enough.
    let mut other = self::scene("reboot powerCycle quarantine", 1100);
    measured(&mut other.book, RungAction::Reboot, "R2", 40, 0);
    other.check("", "repair-m1.io.stall.sda-4: powerCycle (reboot fixed 0 of 40: skipped)");
    measured(&mut other.book, RungAction::Reboot, "R1", 12, 6);
    other.check("", "repair-m1.io.stall.sda-4: reboot");
    other.policy.spec.skip = Some(Skip { below_percent: 80, samples: 12 });
    other.check(
        "",
        "repair-m1.io.stall.sda-4: powerCycle (reboot fixed 6 of 12 on this kind of machine: skipped)",
    );
    // Two of twelve may be bad luck of a rung that helps a third.
    other.policy.spec.skip = None;
    measured(&mut other.book, RungAction::Reboot, "R1", 12, 2);
    other.check("", "repair-m1.io.stall.sda-4: reboot");
}

fn opening(episode: i64, minute: i64) -> Opening {
    Opening { episode: of_first_life(episode), at: at(minute), cleared: false }
}

#[test]
fn what_went_away_after_a_run_that_failed_was_fixed_by_it_unless_more_was_done() {
    let fixed = |history: &str, index, cleared| {
        let last = Opening { cleared, ..opening(4, 1000) };
        climb::fixed(&tried(history), index, Some(last))
    };
    let failed = "4:reboot:failed:1001..1005";
    assert_eq!(fixed(failed, 0, false), Some(false));
    assert_eq!(fixed(failed, 0, true), Some(true));
    let both = "4:reboot:failed:1001..1005 4:powerCycle:failed:1006..1009";
    assert_eq!((fixed(both, 0, true), fixed(both, 1, true)), (Some(false), Some(true)));
    assert_eq!(fixed("4:reboot:refused:1001..1005", 0, true), None);
}

#[test]
fn a_repair_that_did_not_last_counts_as_one_that_did_not_help() {
    let mut book = Book::default();
    measured(&mut book, RungAction::Reboot, "R1", 2, 2);
    let known = |book: &Book| {
        let (count, _) = book.rates().of("io.stall", RungAction::Reboot, ("R1", "deb12"), 1);
        (count.tried, count.fixed)
    };
    assert_eq!(known(&book), (2, 2));
    book.saw("R10.reboot.io.stall", opening(2, 60));
    assert_eq!(known(&book), (2, 1));
    book.saw("R11.reboot.io.stall", opening(2, 8 * 24 * 60));
    assert_eq!(known(&book), (2, 1), "after a week it is another fault");
    book.ran("R10.reboot.io.stall", "repair-R10.reboot.io.stall-1", None);
    assert_eq!(known(&book), (1, 1));
    let rows = book.rates().rows(&["io.stall".into()]);
    assert_eq!((rows.len(), rows[0].model.as_str(), rows[0].tried), (1, "R1", 1));
}

#[test]
fn a_policy_that_observes_says_what_it_would_do_and_one_that_asks_waits() {
    scene_with(|spec| spec.mode = Mode::Observe)
        .check("", "WouldAct: would restartService by workflow restart-runtime");
    let scene = scene_with(|spec| spec.mode = Mode::Approve);
    let Next::Start(run) = scene.next("") else { panic!("it is started, to be confirmed") };
    assert!(run.spec.repair.unwrap().confirm);
}

#[test]
fn old_evidence_starts_nothing() {
    let mut gone = scene(LADDER, 1100);
    gone.status(|status| status.boot_id = "boot-1".into());
    gone.check("", "OldEvidence: it was seen before the machine booted anew");
    let mut unvouched = scene(LADDER, 1100);
    unvouched.status(|status| status.lease_until = Some(at(1099)));
    unvouched.check("", "OldEvidence: its doctor does not vouch for it any more");
    unvouched.status(|status| status.lease_until = Some(at(1101)));
    unvouched.check("", "repair-m1.io.stall.sda-4: restartService");
}

#[test]
fn planned_maintenance_explains_what_is_seen_within_it_and_shortly_after() {
    let mut scene = scene(LADDER, 1100);
    let window = |from, to| Maintenance { from: at(from), to: at(to), reason: "new fans".into() };
    scene.machine.spec.maintenance = vec![window(990, 1200)];
    scene.check("", "Maintenance until 1205");
    scene.machine.spec.maintenance = vec![window(990, 1097)];
    scene.check("", "Maintenance until 1102");
    scene.machine.spec.maintenance = vec![window(990, 1080)];
    scene.check("", "repair-m1.io.stall.sda-4: restartService");
    scene.status(|status| status.last_seen = Some(at(1070)));
    scene.check("", "Maintenance: seen during planned maintenance alone: new fans");
}

fn parent(kind: SuspectKind, name: &str, state: State, cleared: Option<i64>) -> Arc<Problem> {
    let spec = ProblemSpec {
        machine: String::new(),
        component: name.into(),
        class: format!("correlated.{}", kind.as_str()),
    };
    let mut parent = Problem::new(&format!("correlated.{}.{name}", kind.as_str()), spec);
    parent.status = Some(ProblemStatus {
        state,
        cleared_at: cleared.map(at),
        suspect: Some(Suspect { kind, name: name.into(), ..Suspect::default() }),
        ..ProblemStatus::default()
    });
    Arc::new(parent)
}

#[test]
fn a12_what_many_machines_have_together_is_held_and_seen_again_before_anything_is_done() {
    let mut scene = scene(LADDER, 1100);
    for (kind, name) in [
        (SuspectKind::Rack, "r1"),
        (SuspectKind::Site, "a"),
        (SuspectKind::Image, "deb12"),
        (SuspectKind::Rule, "io.stall"),
    ] {
        scene.parents = vec![parent(kind, name, State::Open, None)];
        let text = format!("correlated.{}.{name} explains it: many machines fail together", kind.as_str());
        scene.check("", &format!("Correlated: {text}"));
        scene.parents = vec![parent(kind, "other", State::Open, None)];
        scene.check("", "repair-m1.io.stall.sda-4: restartService");
    }
    scene.parents = vec![parent(SuspectKind::Rack, "r1", State::Clear, Some(1100))];
    scene.check("", "Correlated: correlated.rack.r1 has cleared; it has to be seen again first");
    scene.parents = vec![parent(SuspectKind::Rack, "r1", State::Clear, Some(1099))];
    scene.check("", "repair-m1.io.stall.sda-4: restartService");
    scene.parents.clear();
    scene.status(|status| status.parent = "correlated.power.feed-2".into());
    scene.check("", "Correlated: correlated.power.feed-2 explains it");
}
