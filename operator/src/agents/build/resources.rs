//! The compute resources of the worker container.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::ResourceRequirements,
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
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

fn quantities(amounts: &BTreeMap<String, IntOrString>) -> Option<BTreeMap<String, Quantity>> {
    let text = |value: &IntOrString| match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    };
    (!amounts.is_empty()).then(|| {
        amounts
            .iter()
            .map(|(name, value)| (name.clone(), Quantity(text(value))))
            .collect()
    })
}
