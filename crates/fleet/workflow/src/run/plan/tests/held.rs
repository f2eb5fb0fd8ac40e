use std::time::Duration;

use muster_api::order::Refusal;
use muster_api::workflow::StepStatus;
use muster_brake::Hold;

use super::*;

fn hold(until: Option<i64>) -> Option<Hold> {
    Some(Hold {
        by: "Pause/everywhere".into(),
        text: "paused everywhere by ops".into(),
        until: until.map(at),
    })
}

impl Story {
    fn pause(&mut self, hold: Option<Hold>) {
        self.world.holds.pause = hold;
    }

    fn rewrite_grant(&mut self, change: impl Fn(&mut DisruptionStatus)) {
        let mut asked = (**self.world.disruption.as_ref().unwrap()).clone();
        change(asked.status.as_mut().unwrap());
        self.world.disruption = Some(Arc::new(asked));
    }

    /// Answers the last order so.
    fn rewrite_order(&mut self, name: &str, answer: OrderStatus) {
        let mut order = (*self.world.orders[name]).clone();
        order.status = Some(answer);
        self.world.orders.insert(name.to_owned(), Arc::new(order));
    }

    /// Rounds until just before `step` would have its effect.
    fn until_running(&mut self, step: &str) {
        for _ in 0..50 {
            let running =
                |s: &StepStatus| s.step.name == step && s.phase == RunPhase::Running && s.attempt == 1;
            if self.status().steps.iter().any(running) {
                return;
            }
            assert!(self.round(), "{step} never runs: {:?}", self.steps());
        }
    }

    fn until_effect(&mut self, step: &str) {
        self.until_running(step);
        for _ in 0..5 {
            if plan(&self.run, &self.world).status.is_none() {
                return;
            }
            self.round();
        }
    }
}

#[test]
fn a_pause_begins_nothing_and_resumed_days_later_the_repair_goes_on() {
    for step in ["grant", "cordon", "restart-runtime"] {
        let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
        story.until_effect(step);
        if step == "grant" {
            story.settle_grant_only();
        }
        let before = story.done.clone();
        story.pause(hold(None));
        story.settle();
        assert_eq!(story.done, before, "{step}");
        let message = format!("{step}: held: paused everywhere by ops");
        assert_eq!((story.status().message, story.status().phase), (message, RunPhase::Running));
        story.pass_seconds(3 * 86400);
        assert_eq!(story.done, before, "{step}");
        story.pause(None);
        // As the ledger does when it has looked again.
        story.rewrite_grant(|grant| grant.ends_at = Some(at(4 * 86400)));
        story.settle();
        story.set_problem(State::Clear);
        story.pass_seconds(10);
        assert_eq!((story.status().phase, story.phase()), (RunPhase::Succeeded, Phase::Healthy), "{step}");
        let orders = story.done.iter().filter(|done| done.starts_with("order r1.restart")).count();
        assert_eq!(orders, 1, "{step}: {:?}", story.done);
    }
}

#[test]
fn an_order_that_met_a_pause_is_given_anew_and_uses_up_no_attempt() {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    story.answer = OrderPhase::Pending;
    story.settle();
    story.pause(hold(None));
    let refused = OrderStatus {
        phase: OrderPhase::Refused,
        refusal: Some(Refusal::Held),
        message: "paused everywhere by ops".into(),
        ..OrderStatus::default()
    };
    story.rewrite_order("r1.restart-runtime.1", refused);
    story.settle();
    assert_eq!(story.status().message, "restart-runtime: held: paused everywhere by ops");
    story.pass_seconds(4000);
    story.pause(None);
    story.answer = OrderPhase::Failed;
    story.settle();
    let orders: Vec<&String> = story.done.iter().filter(|done| done.starts_with("order")).collect();
    assert_eq!(orders, [1, 2, 3, 4].map(|attempt| format!("order r1.restart-runtime.{attempt}")).each_ref());
}

#[test]
fn an_order_nobody_took_does_not_fail_while_held_and_one_under_way_is_seen_to_its_end() {
    let mut unseen = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    unseen.answer = OrderPhase::Pending;
    unseen.settle();
    unseen.pause(hold(None));
    unseen.pass_seconds(500);
    assert_eq!(unseen.status().message, "restart-runtime: held: paused everywhere by ops");
    let mut begun = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    begun.answer = OrderPhase::Accepted;
    begun.settle();
    begun.pause(hold(None));
    begun.pass_seconds(5);
    begun.rewrite_order(
        "r1.restart-runtime.1",
        OrderStatus { phase: OrderPhase::Done, ..OrderStatus::default() },
    );
    begun.answer = OrderPhase::Done;
    begun.set_problem(State::Clear);
    begun.settle();
    begun.pass_seconds(10);
    assert_eq!((begun.status().phase, begun.phase()), (RunPhase::Succeeded, Phase::Healthy));
}

#[test]
fn a_cause_that_goes_away_while_held_is_not_acted_upon() {
    let mut untouched = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    untouched.until_effect("grant");
    untouched.settle_grant_only();
    untouched.pause(hold(None));
    untouched.settle();
    untouched.set_problem(State::Clear);
    untouched.settle();
    assert_eq!((untouched.status().phase, untouched.phase()), (RunPhase::Cancelled, Phase::Healthy));
    let mut cordoned = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    cordoned.until_effect("restart-runtime");
    cordoned.pause(hold(None));
    cordoned.settle();
    cordoned.set_problem(State::Clear);
    cordoned.pause(None);
    cordoned.settle();
    cordoned.pass_seconds(10);
    assert_eq!((cordoned.status().phase, cordoned.phase()), (RunPhase::Succeeded, Phase::Healthy));
    assert!(!cordoned.done.iter().any(|done| done.starts_with("order r1.restart")), "{:?}", cordoned.done);
}

impl Story {
    /// Asks for the grant and gets it, and no further.
    fn settle_grant_only(&mut self) {
        while self.world.disruption.is_none() {
            assert!(self.round());
        }
    }
}

#[test]
fn a_grant_the_ledger_holds_or_has_taken_back_lets_no_order_out() {
    let mut held = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    held.until_effect("restart-runtime");
    held.rewrite_grant(|grant| grant.held_since = Some(at(0)));
    held.settle();
    assert!(held.status().message.contains("the ledger has not looked at the grant again"));
    let mut gone = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    gone.until_effect("restart-runtime");
    gone.rewrite_grant(|grant| {
        grant.phase = DisruptionPhase::Released;
        grant.reason = "ran out".into();
    });
    gone.settle();
    assert_eq!(gone.status().phase, RunPhase::Failed);
    assert_eq!(gone.status().message, "step restart-runtime: the grant is gone: ran out");
    for story in [held, gone] {
        assert!(!story.done.iter().any(|done| done.starts_with("order")), "{:?}", story.done);
    }
}

#[test]
fn hands_off_holds_even_what_only_looks_and_is_looked_at_again_at_its_end() {
    let mut story = story(builtin::install_role(), Phase::Inspecting);
    story.set_problem(State::Clear);
    story.until_running("check-kernel");
    story.world.holds.hands_off = hold(Some(60));
    story.settle();
    assert_eq!(story.done, ["machine Provisioning"]);
    assert_eq!(plan(&story.run, &story.world).look_again, Some(Duration::from_secs(60)));
    story.world.holds.hands_off = None;
    story.pass_seconds(60);
    story.pass_seconds(10);
    assert_eq!(story.status().phase, RunPhase::Succeeded);
}
