//! The programs of one commit, with the custom resources that its operator knows.

use std::path::Path;

use anyhow::Context as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use steadfast_crds::manifests::read_dir_of;

use crate::stack::BinaryDir;

/// What is measured in a cluster.
#[derive(Clone, Debug)]
pub struct Build {
    pub(super) programs: BinaryDir,
    pub(super) definitions: Vec<CustomResourceDefinition>,
}

impl Build {
    /// Programs of this commit.
    pub fn of_this_commit(programs: BinaryDir) -> Self {
        Self {
            programs,
            definitions: steadfast_crds::definitions(),
        }
    }

    /// Programs of an earlier commit, which is checked out in this directory.
    pub fn of_checkout(programs: &Path, checkout: &Path) -> anyhow::Result<Self> {
        let definitions = read_dir_of(&checkout.join("crds"));
        Ok(Self {
            programs: BinaryDir::new(programs),
            definitions: definitions.with_context(|| format!("read the resources of {}", checkout.display()))?,
        })
    }
}
