//! A person is told: each way once, whatever goes wrong on the other.

use std::time::Duration;

use muster_api::repair::{Mail, Ticket};
use muster_api::workflow::{Action, Step, StepStatus};

use super::super::super::call::Answer;
use super::*;

const HOOK: &str = "m1.runtime.hung/1/1";
const MAIL: &str = "m1.runtime.hung/1/1/mail";

/// A quarantine at its first step, which tries so often.
fn quarantine(attempts: u32) -> Story {
    let mut workflow = builtin::repairs::quarantine();
    let step = Step::new("ticket", Action::Ticket, GoDuration(Duration::from_secs(300)));
    workflow.spec.steps[0] = Step { attempts, ..step };
    let mut story = story(workflow, Phase::Healthy);
    let mail = Mail {
        server: "mail.example:587".into(),
        from: "muster@example.org".into(),
        to: vec!["desk@example.org".into()],
        ..Mail::default()
    };
    story.world.ticket =
        Some(Ticket { webhook: "http://desk/".into(), mail: Some(mail), ..Ticket::default() });
    story.settle();
    story
}

impl Story {
    fn answered(&mut self, key: &str, code: u16) {
        self.world.answers.insert(key.to_owned(), Answer::Status { code, text: "said".to_owned() });
        self.settle();
    }

    fn told(&self) -> Vec<&str> {
        let told = |done: &&String| done.starts_with("call ") || done.starts_with("mail ");
        self.done.iter().filter(told).map(String::as_str).collect()
    }

    fn ticket(&self) -> StepStatus {
        self.status().steps[0].clone()
    }
}

#[test]
fn both_are_told_one_after_the_other_and_a_crash_in_between_tells_none_of_them_again() {
    let mut story = quarantine(5);
    assert_eq!(story.told(), [format!("call {HOOK}")]);
    story.answered(HOOK, 200);
    assert_eq!(story.told(), [format!("call {HOOK}"), format!("mail {MAIL}")]);
    // Answers are lost with the process.
    story.world.answers.clear();
    story.settle();
    assert_eq!(story.told()[2..], [format!("mail {MAIL}")]);
    story.answered(MAIL, 250);
    let step = story.ticket();
    assert_eq!(step.phase, RunPhase::Succeeded);
    assert_eq!(step.message, "told http://desk/ and desk@example.org by mail.example:587");
}

#[test]
fn after_one_was_told_only_the_other_is_repeated() {
    let mut story = quarantine(5);
    story.answered(HOOK, 200);
    story.answered(MAIL, 451);
    let second = "m1.runtime.hung/1/2/mail";
    assert_eq!(story.told()[2..], [format!("mail {second}")]);
    assert!(story.ticket().actions.iter().any(|line| line.starts_with("mails desk@example.org by ")));
    story.answered(second, 250);
    assert_eq!(story.ticket().phase, RunPhase::Succeeded);
}

#[test]
fn the_mail_is_told_although_the_webhook_fails_and_is_not_told_again() {
    let mut story = quarantine(5);
    story.answered(HOOK, 500);
    assert_eq!(story.told(), [format!("call {HOOK}"), format!("mail {MAIL}")]);
    story.answered(MAIL, 250);
    assert_eq!(story.told()[2..], ["call m1.runtime.hung/1/2"]);
    assert_eq!(story.ticket().told, ["desk@example.org by mail.example:587"]);
    story.answered("m1.runtime.hung/1/2", 200);
    assert_eq!(story.ticket().phase, RunPhase::Succeeded);
}

#[test]
fn one_who_knew_the_key_of_a_problem_that_was_removed_is_told_of_the_one_that_was_filed_anew() {
    let mut workflow = builtin::repairs::quarantine();
    workflow.spec.steps[0].attempts = 1;
    let mut story = story(workflow, Phase::Healthy);
    story.filed(60);
    story.run.spec.problem_filed_at = Some(at(60));
    story.world.ticket = Some(Ticket { webhook: "http://desk/".into(), ..Ticket::default() });
    story.settle();
    assert_eq!(story.told(), [format!("call m1.runtime.hung/{}/1/1", at(60))]);
}

#[test]
fn what_another_run_has_told_for_the_same_opening_is_told() {
    let mut story = quarantine(5);
    story.world.told = vec!["http://desk/".to_owned()];
    story.settle();
    assert_eq!(story.told(), [format!("call {HOOK}"), format!("mail {MAIL}")], "the call was under way");
    story.answered(MAIL, 250);
    assert_eq!(story.ticket().phase, RunPhase::Succeeded);
}

#[test]
fn a_refusal_for_good_is_not_tried_again_and_fails_where_nobody_else_was_told() {
    let mut story = quarantine(5);
    story.world.ticket.as_mut().unwrap().webhook.clear();
    story.world.answers.clear();
    story.settle();
    story.answered(MAIL, 550);
    let step = story.ticket();
    assert_eq!((step.phase, step.attempt), (RunPhase::Failed, 1));
    assert_eq!(step.message, "mail.example:587 answered 550: said");
    assert_eq!(story.phase(), Phase::Healthy, "nobody was told: the machine is not taken away");
}

#[test]
fn a_machine_is_taken_away_when_anybody_was_told_and_it_is_said_who_was_not() {
    let text = "told http://desk/, but mail.example:587 answered";
    let mut story = quarantine(5);
    story.answered(HOOK, 200);
    story.answered(MAIL, 550);
    assert_eq!(story.ticket().message, format!("{text} 550: said"));
    assert_eq!(story.phase(), Phase::Quarantined);
    let mut story = quarantine(1);
    story.answered(HOOK, 200);
    story.answered(MAIL, 451);
    assert_eq!(story.ticket().message, format!("{text} 451: said"));
}

#[test]
fn a_ticket_has_the_class_in_its_subject_and_no_line_of_it_can_be_made_up() {
    let mut story = quarantine(5);
    let mut problem = (*story.world.problems[0]).clone();
    let text = "gone\r\nBcc: all@example.org".to_owned();
    problem.status.as_mut().unwrap().evidence.push(muster_api::problem::Evidence { at: at(0), text });
    story.world.problems = vec![Arc::new(problem)];
    story.world.answers.insert(HOOK.to_owned(), Answer::Status { code: 200, text: String::new() });
    let plan = loop {
        let plan = plan(&story.run, &story.world);
        if plan.effects.iter().any(|effect| matches!(effect, Effect::Mail(_))) {
            break plan;
        }
        assert!(story.round());
    };
    let Some(Effect::Mail(letter)) = plan.effects.first() else { panic!("{plan:?}") };
    assert_eq!(letter.subject, "machine m1 needs a person: runtime.hung");
    assert!(letter.text.contains("  gone  Bcc: all@example.org\n"), "{}", letter.text);
}
