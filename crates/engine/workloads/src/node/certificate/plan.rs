//! What becomes of one request.

use std::time::Duration;

use jiff::Timestamp;
use muster_base::clock::elapsed;

use crate::view::certificate::SigningRequest;

/// The signers of this controller, as upstream's.
pub const SIGNERS: &[&str] =
    &["kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet"];

/// A request that was answered is kept so long for people, one that nobody answered so long for somebody to.
const ANSWERED: Duration = Duration::from_secs(3600);
const UNANSWERED: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    Sign,
    Delete,
    /// Look again after this time.
    Keep(Duration),
}

/// Decides.
pub fn plan(request: &SigningRequest, now: Timestamp) -> Plan {
    let has = |wanted: &str| request.status.conditions.iter().any(|condition| condition.kind == wanted);
    let signed = request.status.certificate.is_some();
    let over = has("Denied") || has("Failed");
    let ours = SIGNERS.contains(&request.spec.signer_name.as_str());
    if ours && has("Approved") && !over && !signed {
        return Plan::Sign;
    }
    let answered = request.status.conditions.iter().filter_map(|condition| condition.last_update_time).max();
    let created = request.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let age = elapsed(answered.or(created).unwrap_or(now), now);
    let kept = if signed || over { ANSWERED } else { UNANSWERED };
    if kept <= age { Plan::Delete } else { Plan::Keep(kept - age) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(signer: &str, conditions: &[&str], certificate: Option<&str>, age: i64) -> Plan {
        let at = "2026-11-28T12:00:00Z".parse::<Timestamp>().unwrap();
        let conditions: Vec<_> =
            conditions.iter().map(|kind| json!({"type": kind, "lastUpdateTime": at.to_string()})).collect();
        let request: SigningRequest = serde_json::from_value(json!({
            "metadata": {"name": "r", "creationTimestamp": at.to_string()},
            "spec": {"signerName": signer, "request": ""},
            "status": {"conditions": conditions, "certificate": certificate},
        }))
        .unwrap();
        plan(&request, at + jiff::SignedDuration::from_secs(age))
    }

    #[test]
    fn what_is_approved_is_signed_once_and_what_is_over_goes_after_its_time() {
        let ours = SIGNERS[1];
        let hour = Duration::from_secs(3600);
        assert_eq!(check(ours, &["Approved"], None, 0), Plan::Sign);
        assert_eq!(check(ours, &["Approved"], Some("x"), 0), Plan::Keep(hour));
        assert_eq!(check(ours, &["Approved", "Denied"], None, 0), Plan::Keep(hour));
        assert_eq!(check(ours, &["Approved", "Failed"], None, 3600), Plan::Delete);
        assert_eq!(check(ours, &[], None, 3600), Plan::Keep(23 * hour));
        assert_eq!(check(ours, &[], None, 24 * 3600), Plan::Delete);
        assert_eq!(check("example.com/own", &["Approved"], None, 0), Plan::Keep(24 * hour));
    }
}
