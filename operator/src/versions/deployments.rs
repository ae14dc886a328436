//! Which old versions of an owner's workers keep a Deployment. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use steadfast_crds::names::{BUILD_ID_LABEL, OLD_VERSION_OF_LABEL};

/// A version of workers, and how many pods it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Build id.
    pub(crate) build_id: String,
    /// Image of the worker container.
    pub(crate) image: String,
    /// Number of pods.
    pub(crate) replicas: i32,
}

impl Version {
    /// The version in a Deployment's pod template; `None` for workers without one. `container` is the worker's.
    pub(crate) fn of(deployment: &Deployment, container: &str) -> Option<Self> {
        let spec = deployment.spec.as_ref()?;
        let labels = spec.template.metadata.as_ref()?.labels.as_ref()?;
        let containers = &spec.template.spec.as_ref()?.containers;
        let worker = containers.iter().find(|worker| worker.name == container)?;
        Some(Self {
            build_id: labels.get(BUILD_ID_LABEL)?.clone(),
            image: worker.image.clone()?,
            // An old version without a pod would keep its tasks for ever.
            replicas: spec.replicas.unwrap_or(1).max(1),
        })
    }
}

/// Whether a Deployment is that of an old version.
pub(crate) fn is_old_version(labels: &BTreeMap<String, String>) -> bool {
    labels.contains_key(OLD_VERSION_OF_LABEL)
}

/// What Kubernetes has of an owner's workers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Existing {
    /// The version of the Deployment under the owner's name.
    pub(crate) main: Option<Version>,
    /// Whether all pods of that Deployment are of its newest template, and available.
    pub(crate) is_rolled_out: bool,
    /// The old versions that have a Deployment.
    pub(crate) old: Vec<Version>,
}

impl Existing {
    /// The old versions that are to have a Deployment: all but those that nobody needs.
    ///
    /// `wanted` is the version of the spec; `None` for workers without one. It has a Deployment of its own, from before a
    /// way back, until the pods under the owner's name are of it.
    pub(crate) fn kept(self, wanted: Option<&str>, unused: &BTreeSet<String>) -> Vec<Version> {
        let is_taken_over = self.is_rolled_out && self.main.as_ref().map(|main| main.build_id.as_str()) == wanted;
        let mut kept: BTreeMap<String, Version> = self
            .old
            .into_iter()
            .filter(|old| !(is_taken_over && Some(old.build_id.as_str()) == wanted))
            .map(|old| (old.build_id.clone(), old))
            .collect();
        if let Some(main) = self.main.filter(|main| Some(main.build_id.as_str()) != wanted) {
            kept.entry(main.build_id.clone()).or_insert(main);
        }
        kept.into_values()
            .filter(|version| !unused.contains(&version.build_id))
            .collect()
    }
}

/// Whether a Deployment has pods, and all of them are of its newest template and available.
pub(crate) fn is_rolled_out(deployment: &Deployment) -> bool {
    let DeploymentStatus {
        observed_generation,
        replicas,
        updated_replicas,
        available_replicas,
        ..
    } = deployment.status.clone().unwrap_or_default();
    let desired = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    observed_generation >= deployment.metadata.generation
        && desired > 0
        && [replicas, updated_replicas, available_replicas] == [Some(desired); 3]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(build_id: &str) -> Version {
        Version {
            build_id: build_id.to_owned(),
            image: format!("worker:{build_id}"),
            replicas: 2,
        }
    }

    fn kept(
        main: Option<&str>,
        is_rolled_out: bool,
        old: &[&str],
        wanted: Option<&str>,
        unused: &[&str],
    ) -> Vec<String> {
        let existing = Existing {
            main: main.map(version),
            is_rolled_out,
            old: old.iter().copied().map(version).collect(),
        };
        let unused = unused.iter().map(|id| (*id).to_owned()).collect();
        let kept = existing.kept(wanted, &unused);
        kept.into_iter().map(|version| version.build_id).collect()
    }

    #[test]
    fn the_version_before_an_edit_keeps_pods_until_nobody_needs_it() {
        assert_eq!(kept(None, false, &[], Some("a"), &[]), [""; 0], "a new owner");
        assert_eq!(kept(Some("a"), true, &[], Some("a"), &[]), [""; 0]);
        assert_eq!(
            kept(Some("a"), true, &[], Some("b"), &[]),
            ["a"],
            "before the template changes"
        );
        assert_eq!(kept(Some("b"), false, &["a"], Some("b"), &[]), ["a"]);
        assert_eq!(
            kept(Some("b"), true, &["a"], Some("b"), &[]),
            ["a"],
            "tasks may be on it"
        );
        assert_eq!(kept(Some("b"), true, &["a"], Some("b"), &["a"]), [""; 0]);
    }

    #[test]
    fn a_version_that_nobody_used_gets_no_pods_and_the_way_back_keeps_those_that_serve() {
        // The image "b" never became ready.
        assert_eq!(kept(Some("b"), false, &["a"], Some("c"), &["b"]), ["a"]);
        assert_eq!(
            kept(Some("b"), false, &["a"], Some("a"), &["b"]),
            ["a"],
            "serves until the others do"
        );
        assert_eq!(kept(Some("a"), false, &["a"], Some("a"), &["b"]), ["a"]);
        assert_eq!(kept(Some("a"), true, &["a"], Some("a"), &["b"]), [""; 0]);
    }

    #[test]
    fn workers_without_a_version_leave_none_and_take_over_from_those_with_one() {
        assert_eq!(kept(None, true, &[], Some("a"), &[]), [""; 0]);
        assert_eq!(kept(Some("a"), true, &[], None, &[]), ["a"]);
        assert_eq!(kept(None, true, &["a"], None, &[]), ["a"]);
    }

    #[test]
    fn a_deployment_is_rolled_out_when_every_pod_is_new_and_available() {
        let deployment = |replicas: i32, updated: i32, available: i32, observed: i64| {
            let mut deployment = Deployment::default();
            deployment.metadata.generation = Some(2);
            deployment.spec.get_or_insert_default().replicas = Some(replicas);
            deployment.status = Some(DeploymentStatus {
                observed_generation: Some(observed),
                replicas: Some(replicas),
                updated_replicas: Some(updated),
                available_replicas: Some(available),
                ..DeploymentStatus::default()
            });
            is_rolled_out(&deployment)
        };
        assert!(deployment(2, 2, 2, 2));
        assert!(!deployment(2, 1, 2, 2));
        assert!(!deployment(2, 2, 1, 2));
        assert!(!deployment(2, 2, 2, 1));
        assert!(!deployment(0, 0, 0, 2), "no pod has shown that the image works");
    }
}
