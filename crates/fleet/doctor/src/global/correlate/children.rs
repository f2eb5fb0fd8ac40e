//! Has each Problem name what holds it, and nothing once it was shown again.

use std::sync::Arc;
use std::time::Duration;

use muster_control::{Driver, ObjectKey, Outcome, Pass, Queue};
use parking_lot::Mutex;

use super::super::Context;
use super::super::plan::correlation::Correlation;

const NAME: &str = "holding";
const WORKERS: usize = 8;
/// How long the parent itself may take to be written.
const PARENT_SOON: Duration = Duration::from_secs(1);

struct Holder {
    context: Context,
    correlation: Arc<Mutex<Correlation>>,
}

/// Starts holding; the queue takes the names of problems.
pub(super) fn start(context: &Context, correlation: &Arc<Mutex<Correlation>>) -> Queue<ObjectKey> {
    let queue = Queue::new();
    let holder = Holder { context: context.clone(), correlation: Arc::clone(correlation) };
    Driver::new(NAME, context.metrics.clone()).workers(WORKERS).start(&context.tasks, &queue, holder);
    queue
}

impl Pass for Holder {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        let problems = &self.context.desk.problems;
        let Some(problem) = problems.get(key) else { return Ok(Outcome::IDLE) };
        let wanted = self.correlation.lock().parent_of(&key.name).map(str::to_owned);
        let there = problem.status.as_ref().map(|status| status.parent.as_str()).unwrap_or_default();
        let Some(wanted) = wanted.filter(|wanted| wanted != there) else { return Ok(Outcome::IDLE) };
        if !wanted.is_empty() && problems.get(&ObjectKey::cluster(&wanted)).is_none() {
            return Ok(Outcome::IDLE.again_after(PARENT_SOON));
        }
        self.context.desk.hold(&key.name, &wanted).await?;
        Ok(Outcome::ACTED)
    }
}
