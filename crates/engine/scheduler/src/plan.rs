//! The decision: which pod goes where, and why the others wait. Synchronous, without clock or I/O.

mod filter;
mod score;
mod topology;

use std::sync::Arc;

use self::topology::Rules;
use crate::node::Node;
use crate::pod::Pod;
use crate::refusal::Refusal;
use crate::snapshot::Snapshot;

/// Below this many nodes all are looked at; above it a sample is enough.
const SAMPLE_MIN: usize = 100;

#[derive(Debug, Clone)]
pub enum Decision {
    Place { pod: Arc<Pod>, node: Arc<str> },
    Hold { pod: Arc<Pod>, refusal: Refusal },
}

/// Decides pod by pod in the order given; each placement is booked in `snapshot` before the next is decided.
pub fn plan(snapshot: &mut Snapshot, pods: Vec<Arc<Pod>>) -> Vec<Decision> {
    pods.into_iter()
        .map(|pod| match choose(snapshot, &pod) {
            Ok(node) => {
                snapshot.assume(Arc::clone(&pod), Arc::clone(&node));
                Decision::Place { pod, node }
            }
            Err(refusal) => Decision::Hold { pod, refusal },
        })
        .collect()
}

/// # Errors
/// Why no node will do.
pub fn choose(snapshot: &mut Snapshot, pod: &Pod) -> Result<Arc<str>, Refusal> {
    let (candidates, looked_at) = search(snapshot, pod)?;
    let totals = score::totals(snapshot, pod, &candidates);
    let best =
        candidates.iter().zip(&totals).fold(None::<(&Node, i64)>, |best, (&node, &total)| match best {
            Some((_, most)) if most >= total => best,
            Some(_) | None => Some((node, total)),
        });
    let chosen = best.map(|(node, _)| Arc::clone(&node.offer.name));
    let nodes = snapshot.nodes().len();
    snapshot.cursor = (snapshot.cursor + looked_at) % nodes.max(1);
    chosen.ok_or(Refusal { nodes, ..Refusal::default() })
}

fn search<'a>(snapshot: &'a Snapshot, pod: &Pod) -> Result<(Vec<&'a Node>, usize), Refusal> {
    let nodes = snapshot.nodes();
    let rules = Rules::gather(snapshot, pod);
    let mut refusal = Refusal { nodes: nodes.len(), ..Refusal::default() };
    let mut candidates = Vec::new();
    let start = snapshot.cursor.min(nodes.len());
    let mut looked_at = 0;
    for node in nodes[start..].iter().chain(&nodes[..start]) {
        looked_at += 1;
        let blockers = filter::blockers(pod, node, &rules);
        if blockers.is_empty() {
            candidates.push(node);
            if candidates.len() >= sample(nodes.len()) {
                break;
            }
        }
        refusal.count(blockers);
    }
    if candidates.is_empty() { Err(refusal) } else { Ok((candidates, looked_at)) }
}

/// How many possible nodes are enough to choose from: half at 100 nodes, falling to one in twenty.
fn sample(nodes: usize) -> usize {
    if nodes <= SAMPLE_MIN {
        return nodes.max(1);
    }
    let percent = 50_usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(SAMPLE_MIN)
}

#[cfg(test)]
mod tests;
