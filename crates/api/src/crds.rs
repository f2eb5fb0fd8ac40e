//! The CustomResourceDefinitions of all kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// Every CustomResourceDefinition, in the order in which they may be installed.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        crate::Site::crd(),
        crate::Rack::crd(),
        crate::HardwareProfile::crd(),
        crate::MachineRole::crd(),
        crate::Machine::crd(),
        crate::MachineClaim::crd(),
        crate::Inventory::crd(),
        crate::BmcReading::crd(),
        crate::Problem::crd(),
        crate::RepairPolicy::crd(),
        crate::Workflow::crd(),
        crate::workflow::Run::crd(),
        crate::RunChunk::crd(),
        crate::Order::crd(),
        crate::Disruption::crd(),
        crate::DisruptionBudget::crd(),
        crate::Pause::crd(),
        crate::Ledger::crd(),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_cluster_scoped_with_status_columns_and_the_category() {
        let crds = all();
        let names: BTreeSet<_> = crds.iter().map(|crd| crd.metadata.name.clone().unwrap()).collect();
        assert_eq!(names.len(), crds.len());
        for crd in crds {
            let name = crd.metadata.name.unwrap();
            assert_eq!(
                (crd.spec.group.as_str(), crd.spec.scope.as_str()),
                (crate::GROUP, "Cluster"),
                "{name}"
            );
            assert_eq!(crd.spec.names.categories, Some(vec!["muster".to_owned()]), "{name}");
            let [version] = crd.spec.versions.as_slice() else { panic!("{name} has one version") };
            assert_eq!(version.name, crate::VERSION);
            assert!(version.subresources.as_ref().is_some_and(|s| s.status.is_some()), "{name}");
            assert!(version.additional_printer_columns.as_ref().is_some_and(|c| c.len() >= 3), "{name}");
        }
    }
}
