use muster_api::repair::{Mail, RepairPolicyStatus, RungAction};

use super::*;
use crate::builtin;

fn workflows() -> Vec<Arc<Workflow>> {
    builtin::all().into_iter().map(Arc::new).collect()
}

fn policy(name: &str, classes: &str, sites: Option<&str>) -> RepairPolicy {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let spec = RepairPolicySpec {
        classes: words(classes),
        sites: sites.map(words),
        rungs: vec![Rung::new(RungAction::RestartService, Duration::from_secs(60))],
        ..RepairPolicySpec::default()
    };
    RepairPolicy::new(name, spec)
}

fn refusal(policy: &RepairPolicy, others: &[RepairPolicy]) -> Option<String> {
    let others: Vec<Arc<RepairPolicy>> = others.iter().cloned().map(Arc::new).collect();
    check(policy, &others, &workflows()).err().map(|error| format!("{}: {error}", error.reason()))
}

#[test]
fn the_built_in_policies_stand_beside_each_other() {
    let all: Vec<Arc<RepairPolicy>> = builtin::repairs::policies().into_iter().map(Arc::new).collect();
    for policy in &all {
        assert_eq!(check(policy, &all, &workflows()), Ok(()), "{}", policy.name_any());
    }
}

#[test]
fn two_policies_for_the_same_are_told_apart_by_their_sites_or_the_later_is_refused() {
    let first = policy("a", "io.stall nic.flap", None);
    let text = "ClassHasAPolicy: spec.classes[1]: RepairPolicy \"a\" is for io.stall in the same sites; one of them has to leave it";
    assert_eq!(
        refusal(&policy("b", "fs.full io.stall", None), std::slice::from_ref(&first)).as_deref(),
        Some(text)
    );
    assert_eq!(refusal(&first, &[policy("b", "io.stall", None)]), None, "the first keeps it");
    assert_eq!(refusal(&policy("b", "io.stall", Some("x y")), &[first]), None);
    let of_sites = policy("a", "io.stall", Some("y z"));
    assert!(refusal(&policy("b", "io.stall", Some("x y")), std::slice::from_ref(&of_sites)).is_some());
    assert_eq!(refusal(&policy("b", "io.stall", Some("x")), &[of_sites]), None);
}

#[test]
fn the_policy_of_the_site_comes_first_and_what_was_refused_never() {
    let judged = |mut policy: RepairPolicy, status| {
        let condition = Condition {
            r#type: ACCEPTED.into(),
            status,
            reason: "Test".into(),
            message: String::new(),
            last_transition_time: jiff::Timestamp::UNIX_EPOCH,
            observed_generation: None,
        };
        policy.status =
            Some(RepairPolicyStatus { conditions: vec![condition], ..RepairPolicyStatus::default() });
        Arc::new(policy)
    };
    let all = [
        judged(policy("all", "io.stall", None), Status::True),
        judged(policy("x", "io.stall", Some("x")), Status::True),
        judged(policy("y", "io.stall", Some("y")), Status::False),
    ];
    let name = |site| of(&all, "io.stall", site).map(|policy| policy.name_any());
    assert_eq!(name("x").as_deref(), Some("x"));
    assert_eq!(name("y").as_deref(), Some("all"));
    assert_eq!(of(&all, "fs.full", "x"), None);
}

#[test]
fn a_policy_that_could_exceed_the_budgets_is_refused() {
    let mut wild = policy("p", "io.stall", None);
    wild.spec.rungs[0].workflow = builtin::power::idle(builtin::power::CYCLE);
    let text = "CouldExceedBudget: spec.rungs[0].workflow: Workflow \"power-cycle-idle\" interrupts the machine in step \"power\" without a step of action disrupt before it and one of action release at its end: it could exceed the disruption budgets";
    assert_eq!(refusal(&wild, &[]).as_deref(), Some(text));
}

#[test]
fn what_a_rung_names_has_to_be_there_and_to_fit() {
    let mut bad = policy("p", "io.stall", None);
    bad.spec.rungs[0].workflow = "none".into();
    let text = "UnknownWorkflow: spec.rungs[0].workflow: there is no Workflow \"none\"";
    assert_eq!(refusal(&bad, &[]).as_deref(), Some(text));
    let mut bad = policy("p", "io.stall", None);
    bad.spec.rungs[0].parameters.insert("speed".into(), "9".into());
    assert!(refusal(&bad, &[]).unwrap().starts_with("InvalidParameters: spec.rungs[0].parameters: "));
    let mut bad = policy("p", "io.stall", None);
    bad.spec.rungs[0].verify = "machine.spec.".into();
    assert!(refusal(&bad, &[]).unwrap().starts_with("InvalidExpression: spec.rungs[0].verify: "));
}

#[test]
fn an_e_mail_that_could_not_be_sent_is_refused_with_its_field() {
    let refused = |change: fn(&mut Mail)| {
        let mut mail = Mail {
            server: "mail.example:587".into(),
            from: "muster@example.org".into(),
            to: vec!["desk@example.org".into()],
            ..Mail::default()
        };
        change(&mut mail);
        let mut policy = policy("p", "io.stall", None);
        policy.spec.ticket = Some(Ticket { mail: Some(mail), ..Ticket::default() });
        refusal(&policy, &[])
    };
    assert_eq!(refused(|_| ()), None, "nobody needs a webhook beside it");
    let text = |change| refused(change).unwrap_or_default();
    let begin = "InvalidMail: spec.ticket.mail";
    assert_eq!(
        text(|mail| mail.to.push("desk".into())),
        format!("{begin}.to[1]: \"desk\" is no address: Missing domain or user")
    );
    assert!(text(|mail| mail.from = "a@b\r\nBcc: x@y".into()).starts_with(&format!("{begin}.from: ")));
    for server in ["mail.example", "mail.example:70000", "mail.example:0", ":25"] {
        let mut wrong = policy("p", "io.stall", None);
        let mail = Mail { server: server.into(), from: "a@b".into(), ..Mail::default() };
        wrong.spec.ticket = Some(Ticket { mail: Some(mail), ..Ticket::default() });
        let text = format!("{begin}.server: {server:?} is not HOST:PORT");
        assert_eq!(refusal(&wrong, &[]), Some(text));
    }
}
