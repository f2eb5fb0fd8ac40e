//! What is done, in words. The dry run prints these lines, the executor records them: the same function says both.

use muster_api::order::OrderSpec;
use muster_api::workflow::{Action, Run, Step};
use serde_json::json;

use super::plan::{Effect, MachineChange, destruction_name};

/// Bytes of one line; a longer body of a call or script ends with its length.
const LINE_MAX: usize = 2048;

/// The line of an effect of a step; `None` for what tidies up.
pub(crate) fn effect(run: &Run, effect: &Effect) -> Option<String> {
    let machine = &run.spec.machine;
    let line = match effect {
        Effect::Machine(MachineChange { enter: Some(enter), .. }) => {
            format!("machine {machine} becomes {}", enter.phase.as_str())
        }
        Effect::Machine(_)
        | Effect::RemovePod(_)
        | Effect::Chunk(_)
        | Effect::CancelChild(_)
        | Effect::Remove => return None,
        Effect::Order(order) => self::order(&order.spec),
        Effect::Disruption(asked) if let Some(act) = asked.spec.act => {
            format!("asks for leave to {} on machine {machine}", act.as_str())
        }
        Effect::Disruption(asked) => format!(
            "asks for the disruption grant of machine {machine} for {}",
            json!(asked.spec.purpose).as_str().unwrap_or_default()
        ),
        Effect::Release(name) if *name == destruction_name(run) => {
            "gives the leave to destroy back".to_owned()
        }
        Effect::Release(_) => "gives the disruption grant back".to_owned(),
        Effect::Cordon => format!("cordons node {machine}"),
        Effect::Uncordon => format!("uncordons node {machine}"),
        Effect::Evict(_) => format!("evicts the pods of node {machine}"),
        Effect::Container(pod) => {
            let what = &pod.container;
            let told = json!({"command": what.command, "args": what.args, "env": what.env});
            format!("runs container {} on node {} with {told}", what.image, pod.node)
        }
        Effect::Call(call) => format!("calls POST {} with {}", call.webhook.url, json!(call.webhook.body)),
        Effect::Mail(letter) => format!(
            "mails {} by {} with {}",
            letter.mail.to.join(", "),
            letter.mail.server,
            json!({"subject": letter.subject, "text": letter.text})
        ),
        Effect::Child(child) => format!(
            "runs workflow {} on machine {machine} with {}",
            child.spec.workflow,
            json!(child.spec.parameters)
        ),
    };
    Some(bounded(line))
}

fn order(spec: &OrderSpec) -> String {
    format!("orders {} on machine {} with {}", spec.verb.as_str(), spec.machine, json!(spec.arguments))
}

/// The line with which a step begins that only looks.
pub(crate) fn opening(step: &Step) -> Option<String> {
    let line = match step.action {
        Action::Wait => format!("waits until {}", step.expression),
        Action::Verify if step.expression.is_empty() => return None,
        Action::Verify => format!("sees whether {}", step.expression),
        Action::Approve if step.approvers.is_empty() => "waits for the approval of a person".to_owned(),
        Action::Approve => format!("waits for the approval of {}", step.approvers.join(" or ")),
        Action::Disrupt
        | Action::Release
        | Action::Cordon
        | Action::Drain
        | Action::Uncordon
        | Action::Order
        | Action::Container
        | Action::Webhook
        | Action::Run
        | Action::Probation
        | Action::Healthy
        | Action::Quarantine
        | Action::Ticket
        | Action::Retire => return None,
    };
    Some(bounded(line))
}

fn bounded(mut line: String) -> String {
    if line.len() > LINE_MAX {
        let whole = line.len();
        let mut end = LINE_MAX;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push_str(&format!("… ({whole} bytes)"));
    }
    line
}
