//! The version of this process in a Temporal Worker Deployment. Without one, the worker takes the tasks of every version,
//! as workers did before there were versions. Pure.

use temporalio_common::worker::{VersioningBehavior, WorkerDeploymentOptions, WorkerDeploymentVersion};

use crate::args::Args;

/// What the worker tells Temporal of its version; `None` if it has none.
pub(super) fn deployment_options(args: &Args) -> Option<WorkerDeploymentOptions> {
    let (name, build_id) = args.deployment_name.as_ref().zip(args.build_id.as_ref())?;
    let version = WorkerDeploymentVersion::builder()
        .deployment_name(name.as_str())
        .build_id(build_id.as_str())
        .build();
    // A run replays on the code that began it; where the next run starts is decided when it continues as new.
    let options = WorkerDeploymentOptions::new(version)
        .use_worker_versioning(true)
        .default_versioning_behavior(VersioningBehavior::Pinned)
        .build();
    Some(options)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn args(own: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(["worker", "--agent", "weather"].iter().chain(own))
    }

    #[test]
    fn a_worker_has_a_version_only_with_a_deployment_and_a_build_id() {
        assert_eq!(deployment_options(&args(&[]).unwrap()), None);
        for half in [["--deployment-name", "a"], ["--build-id", "1"]] {
            assert!(args(&half).is_err(), "{half:?}");
        }
        let options = args(&["--deployment-name", "demo/team/agent/weather", "--build-id", "1"]).unwrap();
        let options = deployment_options(&options).unwrap();
        assert_eq!(
            (
                options.version.deployment_name.as_str(),
                options.version.build_id.as_str()
            ),
            ("demo/team/agent/weather", "1")
        );
        assert!(options.use_worker_versioning);
        assert_eq!(options.default_versioning_behavior, Some(VersioningBehavior::Pinned));
    }
}
