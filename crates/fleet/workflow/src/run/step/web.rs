//! Calls of web services.

use muster_api::workflow::{Run, StepStatus};

use super::super::call::{Answer, Call};
use super::super::plan::{Effect, World};
use super::{Progress, done, failed, key};

pub(super) fn call(run: &Run, step: &StepStatus, world: &World) -> Progress {
    let Some(webhook) = &step.step.webhook else { return failed("the step has no webhook") };
    let key = key(run, step);
    match world.answers.get(&key) {
        None => {
            let message = format!("calls {}", webhook.url);
            Progress::Do(Effect::Call(Box::new(Call { key, webhook: webhook.clone() })), message)
        }
        Some(Answer::UnderWay) => Progress::Wait(format!("calls {}", webhook.url)),
        Some(Answer::Status { code, text }) => {
            let fine = if webhook.expect.is_empty() {
                (200..300).contains(code)
            } else {
                webhook.expect.contains(code)
            };
            let told = if text.is_empty() { String::new() } else { format!(": {text}") };
            if fine {
                done(format!("answered {code}{told}"))
            } else {
                failed(format!("{} answered {code}{told}", webhook.url))
            }
        }
        Some(Answer::Failed(reason)) => failed(format!("{} could not be called: {reason}", webhook.url)),
    }
}
