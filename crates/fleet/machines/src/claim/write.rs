//! What claims write: roles and marks of machines, their own finalizer and status.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use muster_api::claim::{CLAIMED_BY, MachineClaimStatus, RELEASES};
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::{Condition, Machine, MachineClaim};
use muster_control::{Acted, ObjectKey, is_conflict, is_not_found};
use serde_json::json;

use super::plan::Plan;
use super::{Claims, Refusal};

impl Claims {
    /// Sets or takes back role and mark, if the machine is still as it was planned upon.
    async fn mark(&self, name: &str, claim: Option<&str>, role: Option<&str>) -> Result<(), kube::Error> {
        let Some(machine) = self.machines.get(&ObjectKey::cluster(name)) else { return Ok(()) };
        let version = machine.metadata.resource_version.as_deref();
        let mut body =
            json!({"metadata": {"resourceVersion": version, "annotations": { CLAIMED_BY: claim }}});
        if let Some(role) = role {
            body["spec"] = json!({ "role": role });
        }
        let api: Api<Machine> = Api::all(self.context.client.clone());
        match api.patch(name, &PatchParams::default(), &Patch::Merge(body)).await {
            Err(error) if !is_not_found(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Whether all was done: a machine that changed meanwhile is planned anew, the others go on.
    pub(super) async fn carry_out(&self, claim: &MachineClaim, plan: &Plan) -> Result<bool, kube::Error> {
        let (name, role) = (claim.name_any(), claim.spec.role.as_str());
        let bind = plan.bind.iter().map(|machine| (machine, Some(name.as_str()), Some(role)));
        let release = plan.release.iter().map(|machine| (machine, None, Some("")));
        let unmark = plan.unmark.iter().map(|machine| (machine, None, None));
        let mut complete = true;
        for (machine, by, role) in bind.chain(release).chain(unmark) {
            match self.mark(machine, by, role).await {
                Err(error) if is_conflict(&error) => complete = false,
                Err(error) => return Err(error),
                Ok(()) => tracing::info!(claim = name, machine, role, "a machine changes hands"),
            }
        }
        Ok(complete)
    }

    /// Sets or takes away the finalizer that keeps a claim until its machines are released.
    pub(super) async fn hold(&self, claim: &MachineClaim, present: bool) -> Result<(), kube::Error> {
        let mut finalizers = claim.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|name| name != RELEASES);
        if present {
            finalizers.push(RELEASES.to_owned());
        }
        let version = claim.metadata.resource_version.as_deref();
        let body = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
        let api: Api<MachineClaim> = Api::all(self.context.client.clone());
        match api.patch(&claim.name_any(), &PatchParams::default(), &Patch::Merge(body)).await {
            Err(error) if !is_not_found(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    pub(super) async fn report(
        &self,
        claim: &MachineClaim,
        refusal: Option<Refusal>,
        plan: &Plan,
    ) -> Result<Acted, kube::Error> {
        let mut conditions =
            claim.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        let (verdict, reason, message) = match refusal {
            Some((reason, message)) => (Status::False, reason, message),
            None => (Status::True, "Valid", "its role is there, its expression can be read".to_owned()),
        };
        let missing = if verdict == Status::False { message.clone() } else { plan.reason.clone() };
        let condition = Condition {
            r#type: ACCEPTED.to_owned(),
            status: verdict,
            reason: reason.to_owned(),
            message,
            last_transition_time: self.context.clock.now(),
            observed_generation: claim.metadata.generation,
        };
        condition::set(&mut conditions, condition);
        let mut machines: Vec<String> = plan.bound.iter().chain(&plan.bind).cloned().collect();
        machines.sort();
        let bound = u32::try_from(machines.len()).unwrap_or(u32::MAX);
        let status = MachineClaimStatus { bound, machines, reason: missing, conditions };
        if claim.status.as_ref() == Some(&status) {
            return Ok(Acted::Nothing);
        }
        let api: Api<MachineClaim> = Api::all(self.context.client.clone());
        let body = Patch::Merge(json!({ "status": status }));
        match api.patch_status(&claim.name_any(), &PatchParams::default(), &body).await {
            Err(error) if !is_not_found(&error) => Err(error),
            Ok(_) | Err(_) => Ok(Acted::Something),
        }
    }
}
