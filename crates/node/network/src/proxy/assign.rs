//! Which endpoint owns which bucket.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use super::element::Buckets;

/// Gives each of `targets` (sorted, without repeats, not empty) its fair share of the buckets.
///
/// A bucket stays with its `former` owner as long as that one lives and has not more than its share, so a change of
/// one endpoint moves only the buckets it must: sticky clients of the other endpoints stay where they are.
pub fn assign(
    targets: &[SocketAddrV4],
    buckets: Buckets,
    former: impl Fn(u16) -> Option<SocketAddrV4>,
) -> Vec<SocketAddrV4> {
    let count = usize::from(buckets.count());
    let targets = &targets[..targets.len().min(count)];
    let share = count / targets.len();
    let mut larger_shares = count % targets.len();
    let mut owned: BTreeMap<SocketAddrV4, usize> = targets.iter().map(|target| (*target, 0)).collect();
    let mut owners: Vec<Option<SocketAddrV4>> = vec![None; count];
    for (bucket, owner) in (0..buckets.count()).zip(&mut owners) {
        let Some(target) = former(bucket) else { continue };
        let Some(has) = owned.get_mut(&target) else { continue };
        let takes_larger_share = *has == share && 0 < larger_shares;
        if *has < share || takes_larger_share {
            larger_shares -= usize::from(takes_larger_share);
            *has += 1;
            *owner = Some(target);
        }
    }
    let mut free = needs(targets, &owned, share, larger_shares).into_iter();
    owners.into_iter().map(|owner| owner.or_else(|| free.next()).unwrap_or(targets[0])).collect()
}

/// The targets that still lack buckets, each as often as it lacks, taking turns.
fn needs(
    targets: &[SocketAddrV4],
    owned: &BTreeMap<SocketAddrV4, usize>,
    share: usize,
    larger_shares: usize,
) -> Vec<SocketAddrV4> {
    let mut lacking: Vec<(usize, SocketAddrV4)> = Vec::new();
    let mut larger_shares = larger_shares;
    for target in targets {
        let has = owned[target];
        let takes_larger_share = has <= share && 0 < larger_shares;
        larger_shares -= usize::from(takes_larger_share);
        let due = (share + usize::from(takes_larger_share)).saturating_sub(has);
        lacking.extend((0..due).map(|turn| (turn, *target)));
    }
    lacking.sort_unstable();
    lacking.into_iter().map(|(_, target)| target).collect()
}
