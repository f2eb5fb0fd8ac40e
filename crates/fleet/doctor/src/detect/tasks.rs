//! Tasks that wait for a device and cannot be killed: stuck I/O, of which the kernel need not say a word.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_base::clock::elapsed;

use super::Detector;
use crate::kernel::{Roots, line, names};
use crate::rule::{Finding, Look, Rest, Rule};

const SOURCE: &str = "tasks";
const EVERY: Duration = Duration::from_secs(5);
/// So long in uninterruptible sleep is no ordinary wait.
const STUCK_AFTER: Duration = Duration::from_secs(45);
/// Tasks that are told by name.
const NAMED_MAX: usize = 5;
/// Tasks that are remembered.
const WAITING_MAX: usize = 4096;

/// A task for good: numbers are used again, but not with the same start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Task {
    id: u32,
    started: u64,
}

/// The detector.
pub(crate) struct Tasks {
    roots: Roots,
    rule: Arc<Rule>,
    waiting: BTreeMap<Task, Timestamp>,
}

impl Tasks {
    pub(crate) fn new(roots: Roots) -> Self {
        let rule = Rule::level(SOURCE, "stuck-tasks", "io.stall", 1, 30);
        Self { roots, rule, waiting: BTreeMap::new() }
    }

    /// All that wait now. The threads of a process are only looked at while the kernel counts some that wait.
    fn blocked(&self) -> Option<Vec<(Task, String)>> {
        let counters = std::fs::read_to_string(self.roots.proc.join("stat")).ok()?;
        let counted = counters.lines().find_map(|line| line.strip_prefix("procs_blocked "));
        let some = counted.is_some_and(|count| count.trim() != "0");
        let mut found = Vec::new();
        for name in names(&self.roots.proc) {
            let Ok(id) = name.parse::<u32>() else { continue };
            let process = self.roots.proc.join(&name);
            if some {
                let threads = process.join("task");
                for thread in names(&threads) {
                    let Ok(id) = thread.parse::<u32>() else { continue };
                    found.extend(waits(&threads.join(&thread), id));
                }
            } else {
                found.extend(waits(&process, id));
            }
        }
        found.truncate(WAITING_MAX);
        Some(found)
    }

    /// Whether somebody stopped it on purpose: the freezer of cgroup v1 puts tasks into the same state.
    fn is_frozen(&self, id: u32) -> bool {
        let groups = std::fs::read_to_string(self.roots.proc.join(id.to_string()).join("cgroup"));
        let groups = groups.unwrap_or_default();
        let group = groups.lines().find_map(|line| line.split_once(":freezer:"));
        group.is_some_and(|(_, group)| {
            let dir = self.roots.sys.join("fs/cgroup/freezer").join(group.trim_start_matches('/'));
            line(&dir.join("freezer.state")).is_some_and(|state| state != "THAWED")
        })
    }
}

/// The task, if it waits, and its name (proc_pid_stat(5)): the name may hold anything, also spaces and brackets.
fn waits(dir: &Path, id: u32) -> Option<(Task, String)> {
    let text = std::fs::read(dir.join("stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (head, tail) = text.rsplit_once(") ")?;
    let mut words = tail.split_whitespace();
    if words.next() != Some("D") {
        return None;
    }
    let started = words.nth(18)?.parse().ok()?;
    let name = head.split_once('(').map_or(head, |(_, name)| name);
    Some((Task { id, started }, name.to_owned()))
}

impl Detector for Tasks {
    fn every(&self) -> Duration {
        EVERY
    }

    fn rules(&self) -> Vec<Arc<Rule>> {
        vec![Arc::clone(&self.rule)]
    }

    fn look(&mut self, now: Timestamp) -> Look {
        let Some(blocked) = self.blocked() else {
            return Look { source: SOURCE, found: Vec::new(), rest: Rest::Unseen };
        };
        let since = |task: &Task| self.waiting.get(task).copied().unwrap_or(now);
        let waiting: BTreeMap<Task, Timestamp> =
            blocked.iter().map(|(task, _)| (*task, since(task))).collect();
        let mut stuck: Vec<(Duration, u32, &str)> = blocked
            .iter()
            .map(|(task, name)| (elapsed(since(task), now), task.id, name.as_str()))
            .filter(|(age, id, _)| STUCK_AFTER <= *age && !self.is_frozen(*id))
            .collect();
        stuck.sort_by(|one, other| other.cmp(one));
        let named: Vec<String> = stuck
            .iter()
            .take(NAMED_MAX)
            .map(|(age, id, name)| format!("{name} ({id}) for {} s", age.as_secs()))
            .collect();
        let bad = (!stuck.is_empty())
            .then(|| format!("{} tasks wait for a device without end: {}", stuck.len(), named.join(", ")));
        let found = vec![Finding::of(&self.rule, "tasks", bad)];
        self.waiting = waiting;
        Look { source: SOURCE, found, rest: Rest::Good }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Bench, Tree, at, bad};
    use super::*;

    fn stat(name: &str, state: &str, started: u64) -> String {
        format!("0 ({name}) {state} {}{started} 0 0", "0 ".repeat(18))
    }

    #[test]
    fn a6_a_task_that_waits_for_45_seconds_is_stuck_and_nothing_else_is() {
        let tree = Tree::new();
        let write = |id: u32, state: &str, started: u64| {
            tree.write(&format!("proc/{id}/stat = {}", stat("my (dd) x", state, started)));
        };
        tree.write("proc/stat = cpu 1 2\\nprocs_running 1\\nprocs_blocked 0\\n");
        write(10, "S", 1);
        write(11, "D", 1);
        write(12, "D", 1);
        let mut bench = Bench::new(Tasks::new(tree.roots()));
        assert_eq!(bench.looks(0, 20), [""; 0]);
        write(12, "D", 2);
        assert_eq!(bench.looks(25, 40), [""; 0], "number 12 is another task by now");
        let look = bench.detector.look(at(45));
        assert_eq!(
            bad(&look),
            ["io.stall tasks: 1 tasks wait for a device without end: my (dd) x (11) for 45 s"]
        );
        assert_eq!(bench.look(50), ["io.stall tasks Open"]);
        write(11, "R", 1);
        write(12, "R", 2);
        assert_eq!(bench.looks(55, 80), ["io.stall tasks Open"]);
        assert_eq!(bench.looks(85, 85), ["io.stall tasks Clear"]);
    }

    #[test]
    fn what_the_freezer_holds_is_not_stuck() {
        let tree = Tree::new();
        tree.write("proc/stat = procs_blocked 0");
        tree.write(&format!("proc/10/stat = {}", stat("app", "D", 1)));
        tree.write("proc/10/cgroup = 4:memory:/x\\n3:freezer:/pods/a\\n");
        tree.write("sys/fs/cgroup/freezer/pods/a/freezer.state = FROZEN");
        let mut detector = Tasks::new(tree.roots());
        detector.look(at(0));
        assert_eq!(bad(&detector.look(at(50))), [""; 0]);
        tree.write("sys/fs/cgroup/freezer/pods/a/freezer.state = THAWED");
        assert_eq!(bad(&detector.look(at(50))).len(), 1);
    }

    #[test]
    fn threads_are_looked_at_while_the_kernel_counts_some_that_wait() {
        let tree = Tree::new();
        tree.write(&format!("proc/10/stat = {}", stat("app", "S", 1)));
        tree.write(&format!("proc/10/task/11/stat = {}", stat("worker", "D", 1)));
        let mut detector = Tasks::new(tree.roots());
        assert_eq!(detector.look(at(0)).rest, Rest::Unseen, "no counters");
        tree.write("proc/stat = procs_blocked 1\\n");
        detector.look(at(0));
        let expected = ["io.stall tasks: 1 tasks wait for a device without end: worker (11) for 50 s"];
        assert_eq!(bad(&detector.look(at(50))), expected);
    }
}
