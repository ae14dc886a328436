//! The compute resources of the worker container.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use steadfast_crds::worker::WorkerResources;

/// The resources of the spec; small requests and no limits if the spec has none.
pub(super) fn requirements(resources: Option<&WorkerResources>) -> ResourceRequirements {
    let quantity = |text: &str| Quantity(text.to_owned());
    match resources {
        None => ResourceRequirements {
            requests: Some(BTreeMap::from([
                ("cpu".to_owned(), quantity("10m")),
                ("memory".to_owned(), quantity("32Mi")),
            ])),
            ..ResourceRequirements::default()
        },
        Some(resources) => ResourceRequirements {
            requests: quantities(&resources.requests),
            limits: quantities(&resources.limits),
            ..ResourceRequirements::default()
        },
    }
}

fn quantities(amounts: &BTreeMap<String, steadfast_crds::Quantity>) -> Option<BTreeMap<String, Quantity>> {
    let quantity = |(name, amount): (&String, &steadfast_crds::Quantity)| (name.clone(), Quantity(amount.to_string()));
    (!amounts.is_empty()).then(|| amounts.iter().map(quantity).collect())
}
