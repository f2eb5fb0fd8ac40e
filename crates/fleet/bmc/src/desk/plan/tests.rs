use muster_api::order::{Arguments, BootDevice, OrderSpec};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// One order, told of second by second: what is seen, what the controller answers, and what comes of it.
struct Story {
    order: Order,
    world: World,
    sent: Vec<String>,
    /// The answer to the next act; none: the actor dies before it hears one.
    answer: Option<Answer>,
}

fn story(verb: Verb, seen: Power) -> Story {
    let spec = OrderSpec {
        machine: "m1".into(),
        verb,
        arguments: Arguments { boot_device: Some(BootDevice::Pxe), ..Arguments::default() },
        generation: 3,
        run: "r1".into(),
        step: "s1".into(),
        attempt: 1,
        expires_at: Some(at(60)),
    };
    let mut order = Order::new("r1.s1.1", spec);
    order.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    let world = World {
        now: at(0),
        seen: Seen::Power(seen),
        fence: 3,
        held: None,
        serves: false,
        settle: Duration::from_secs(4),
    };
    Story { order, world, sent: Vec::new(), answer: Some(Answer::Acknowledged) }
}

impl Story {
    fn status(&self) -> OrderStatus {
        self.order.status.clone().unwrap_or_default()
    }

    fn round(&mut self) -> Decision {
        let decision = plan(&self.order, &self.world);
        match decision.clone() {
            Decision::Write(status) => self.order.status = Some(*status),
            Decision::Send(status, command) => {
                self.sent.push(format!("{command:?}"));
                let status = match self.answer {
                    Some(answer) => answered(self.order.spec.verb, *status, answer, "told", self.world.now),
                    None => *status,
                };
                self.order.status = Some(status);
            }
            Decision::Nothing | Decision::Look | Decision::Wait(_) => {}
        }
        decision
    }

    fn see(&mut self, second: i64, power: Power) -> &mut Self {
        self.world.now = at(second);
        self.world.seen = Seen::Power(power);
        self.round();
        self
    }

    fn see_nothing(&mut self, second: i64) -> &mut Self {
        self.world.now = at(second);
        self.world.seen = Seen::Nothing("no answer".into());
        self.round();
        self
    }

    fn end(&self) -> String {
        let status = self.status();
        let uncertain = if status.uncertain { " uncertain" } else { "" };
        format!("{}{uncertain}: {}", status.phase.as_str(), status.message)
    }
}

#[test]
fn a_state_that_is_there_already_needs_no_act() {
    for (verb, power) in
        [(Verb::PowerOn, Power::On), (Verb::PowerOff, Power::Off), (Verb::Shutdown, Power::Off)]
    {
        let mut story = story(verb, power);
        story.see(0, power);
        assert_eq!(
            (story.sent.len(), story.end()),
            (0, format!("Done: power was {} already", power.as_str()))
        );
    }
}

#[test]
fn an_act_that_was_taken_is_waited_for_and_never_repeated() {
    let mut story = story(Verb::PowerOn, Power::Off);
    story.see(0, Power::Off).see(5, Power::Off).see(40, Power::Changing);
    assert_eq!(story.sent, ["On"]);
    story.see(50, Power::On);
    assert_eq!(story.end(), "Done: power is On");
    let act = &story.status().acts[0];
    assert_eq!((act.observed.as_str(), act.observed_at), ("On", Some(at(50))));
    assert_eq!(story.round(), Decision::Nothing);
}

#[test]
fn an_act_taken_whose_state_never_comes_has_failed_for_certain() {
    let mut story = story(Verb::PowerOn, Power::Off);
    story.see(0, Power::Off).see(58, Power::Off);
    assert!(story.end().starts_with("Failed: power is still Off; PowerOn was taken at"), "{}", story.end());
}

#[test]
fn a_cycle_is_one_off_and_one_on_wherever_the_actor_dies() {
    // Died after writing the act down: before it was sent, or after.
    for (off_was_sent, on_was_sent) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut story = story(Verb::PowerCycle, Power::On);
        story.answer = None;
        story.see(0, Power::On);
        let mut power = if off_was_sent { Power::Off } else { Power::On };
        let mut really = usize::from(off_was_sent);
        if !off_was_sent {
            story.see(1, power);
            assert_eq!(story.sent, ["Off"], "too early to be certain");
            story.answer = Some(Answer::Acknowledged);
            story.see(5, power);
            really += 1;
            power = Power::Off;
        }
        story.answer = None;
        story.see(6, power);
        assert_eq!(story.sent.last().unwrap(), "On");
        if on_was_sent {
            power = Power::On;
        } else {
            story.answer = Some(Answer::Acknowledged);
            story.see(11, power);
            power = Power::On;
        }
        story.see(12, power);
        assert_eq!((really, story.end()), (1, "Done: power is On".to_owned()));
    }
}

#[test]
fn a_cycle_of_a_machine_that_is_off_turns_it_on() {
    let mut story = story(Verb::PowerCycle, Power::Off);
    story.see(0, Power::Off).see(1, Power::On);
    assert_eq!((story.sent.clone(), story.end()), (vec!["On".to_owned()], "Done: power is On".to_owned()));
}

#[test]
fn a_reset_without_an_answer_is_uncertain_and_never_repeated() {
    for answer in [None, Some(Answer::Silence), Some(Answer::NotSent)] {
        let mut story = story(Verb::Reset, Power::On);
        story.answer = answer;
        story.see(0, Power::On).see(1, Power::On).see(30, Power::On);
        assert!(story.end().starts_with("Failed uncertain: "), "{answer:?}: {}", story.end());
        assert_eq!(story.sent, ["Reset"], "{answer:?}");
    }
    let mut story = story(Verb::Reset, Power::On);
    story.see(0, Power::On);
    assert_eq!((story.sent.len(), story.end()), (1, "Done: told".to_owned()));
}

#[test]
fn a_machine_that_is_off_is_not_reset() {
    let mut story = story(Verb::Reset, Power::Off);
    story.see(0, Power::Off);
    assert_eq!(
        (story.sent.len(), story.end()),
        (0, "Failed: power is Off: there is nothing to reset".to_owned())
    );
}

#[test]
fn silence_until_the_end_is_uncertain_within_the_deadline() {
    let mut before = story(Verb::PowerOff, Power::On);
    before.see_nothing(0).see_nothing(30);
    assert_eq!(before.status().phase, OrderPhase::Accepted);
    before.see_nothing(58);
    assert_eq!(before.end(), "Failed uncertain: no answer; nothing was sent");
    let mut after = story(Verb::PowerOff, Power::On);
    after.answer = Some(Answer::Silence);
    after.see(0, Power::On).see_nothing(10).see_nothing(58);
    assert_eq!(after.sent, ["Off"]);
    assert!(
        after.end().starts_with("Failed uncertain: no answer; PowerOff may have been sent at"),
        "{}",
        after.end()
    );
    let mut reset = story(Verb::Reset, Power::On);
    reset.see_nothing(0).see_nothing(58);
    assert_eq!(reset.end(), "Failed uncertain: no answer; nothing was sent");
}

#[test]
fn power_acts_without_effect_are_sent_again_a_few_times_and_a_request_to_shut_down_is_not() {
    let mut story_of_on = story(Verb::PowerOn, Power::Off);
    story_of_on.answer = Some(Answer::Silence);
    for second in 0..58 {
        story_of_on.see(second, Power::Off);
    }
    assert_eq!(story_of_on.sent.len(), SENDS_MAX);
    let mut shutdown = story(Verb::Shutdown, Power::On);
    shutdown.answer = Some(Answer::Silence);
    for second in 0..58 {
        shutdown.see(second, Power::On);
    }
    assert_eq!(shutdown.sent, ["Soft"]);
}

#[test]
fn a_setting_may_be_said_twice_and_ends_uncertain_without_an_answer() {
    let mut setting = story(Verb::SetBootDevice, Power::On);
    setting.answer = Some(Answer::NotSent);
    setting.see(0, Power::On).see(1, Power::On).see(2, Power::On);
    assert_eq!(setting.sent.len(), 2);
    setting.answer = Some(Answer::Acknowledged);
    setting.see(4, Power::On);
    assert_eq!((setting.sent.len(), setting.end()), (3, "Done: told".to_owned()));
    let mut silent = story(Verb::SetBootDevice, Power::On);
    silent.answer = None;
    silent.see(0, Power::On).see(58, Power::On);
    assert!(silent.end().starts_with("Failed uncertain: "), "{}", silent.end());
}

#[test]
fn a15_what_is_stale_expired_held_or_incomplete_is_refused_before_anything_is_sent() {
    let refused = |change: &dyn Fn(&mut Story)| {
        let mut story = story(Verb::SetBootDevice, Power::On);
        change(&mut story);
        story.round();
        assert_eq!(story.sent, Vec::<String>::new());
        story.end()
    };
    assert_eq!(refused(&|s| s.world.fence = 4), "Refused: generation 3 is older than 4, the machine's");
    assert_eq!(refused(&|s| s.world.now = at(60)), "Refused: it expired before it could begin");
    assert_eq!(refused(&|s| s.world.held = Some("paused".into())), "Refused: paused");
    let serving = |s: &mut Story| {
        s.world.serves = true;
        s.order.spec.verb = Verb::PowerOff;
    };
    assert_eq!(
        refused(&serving),
        "Refused: the machine serves: it is to be taken out of service under a grant first"
    );
    assert_eq!(
        refused(&|s| s.order.spec.arguments = Arguments::default()),
        "Refused: arguments: what the verb needs is missing"
    );
}

#[test]
fn what_was_begun_is_brought_to_its_end_while_held_but_not_under_a_newer_fence() {
    let mut held = story(Verb::PowerCycle, Power::On);
    held.see(0, Power::On);
    held.world.held = Some("paused".into());
    held.see(1, Power::Off).see(2, Power::On);
    assert_eq!(held.end(), "Done: power is On");
    let mut stale = story(Verb::PowerCycle, Power::On);
    stale.answer = None;
    stale.see(0, Power::On);
    stale.world.fence = 4;
    stale.see(1, Power::Off);
    assert!(stale.end().starts_with("Failed uncertain: run r1 lost the machine"), "{}", stale.end());
    assert_eq!(stale.sent, ["Off"]);
}

#[test]
fn a_shutdown_whose_sending_is_not_known_says_so_and_waits_without_sending_again() {
    let mut story = story(Verb::Shutdown, Power::On);
    story.answer = None;
    story.see(0, Power::On).see(1, Power::On);
    let known = story.status();
    assert_eq!(known.phase, OrderPhase::Accepted);
    let at = known.acts[0].sent_at;
    assert_eq!(
        known.message,
        format!("whether Shutdown of {at} was sent is not known, and power is still On")
    );
    story.see(2, Power::On).see(20, Power::Off);
    assert_eq!((story.sent.len(), story.end()), (1, "Done: power is Off".to_owned()));
}

#[test]
fn what_is_seen_only_when_the_time_is_over_is_not_acted_upon_unless_a_cycle_is_half_done() {
    for (verb, power) in
        [(Verb::PowerCycle, Power::Off), (Verb::PowerCycle, Power::On), (Verb::PowerOff, Power::On)]
    {
        let mut late = story(verb, power);
        late.see_nothing(1).see(59, power);
        assert_eq!((late.sent.clone(), late.status().phase), (Vec::new(), OrderPhase::Failed), "{verb:?}");
    }
    let mut half = story(Verb::PowerCycle, Power::On);
    half.see(1, Power::On).see(59, Power::Off);
    assert_eq!(half.sent, ["Off", "On"]);
}

#[test]
fn a_machine_is_installed_anew_from_where_its_image_is_and_its_power_goes_off_and_on_once() {
    for (media, settings) in [
        ("", &["Boot(Pxe, NextBoot)"][..]),
        ("http://i/i.iso", &["Insert(\"http://i/i.iso\")", "Boot(Cdrom, NextBoot)"][..]),
    ] {
        let mut story = story(Verb::Reimage, Power::On);
        story.order.spec.arguments = Arguments { media: media.into(), ..Arguments::default() };
        for second in 0..settings.len() as i64 {
            story.see(second, Power::On);
        }
        assert_eq!(story.sent, settings);
        story.see(4, Power::On).see(5, Power::On).see(8, Power::Off).see(9, Power::Off).see(12, Power::On);
        assert_eq!(story.sent[settings.len()..], ["Off", "On"]);
        assert_eq!(story.end(), "Done: power is On");
    }
}

#[test]
fn without_its_boot_device_set_a_machine_is_not_switched_for_a_new_image() {
    let mut story = story(Verb::Reimage, Power::On);
    story.answer = Some(Answer::NotSent);
    story.see(0, Power::On).see(1, Power::On).see(3, Power::On);
    assert_eq!(story.sent, ["Boot(Pxe, NextBoot)", "Boot(Pxe, NextBoot)"]);
    story.answer = Some(Answer::Refused);
    story.see(6, Power::On).see(9, Power::On);
    assert_eq!((story.sent.len(), story.end().as_str()), (3, "Failed: told"));
}

#[test]
fn nothing_is_installed_on_a_machine_that_serves() {
    let mut story = story(Verb::Reimage, Power::On);
    story.world.serves = true;
    story.see(0, Power::On);
    assert!(
        story.sent.is_empty() && story.end().starts_with("Refused: the machine serves"),
        "{}",
        story.end()
    );
}
