//! The control group that contains all pods of a platform, on hosts with either
//! version of control groups.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{data_dir::DataDir, mounts};
use crate::files;

/// The controllers that the kubelet uses. A host may lack some.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "memory", "pids", "hugetlb", "io"];

/// The path of the group for the kubelet's `cgroupRoot`.
pub(super) fn path(data_dir: &DataDir) -> String {
    format!("/{}", data_dir.unique_name())
}

/// Creates the group in every hierarchy.
pub(super) fn create(data_dir: &DataDir) -> anyhow::Result<()> {
    for hierarchy in mounts::control_groups()? {
        if hierarchy.join("cgroup.controllers").is_file() {
            enable_controllers(&hierarchy);
        }
        files::create_dir(&hierarchy.join(data_dir.unique_name()))?;
    }
    Ok(())
}

/// The ids of the processes in the group, in any hierarchy.
pub(super) fn processes(data_dir: &DataDir) -> anyhow::Result<Vec<i32>> {
    let mut found = Vec::new();
    for group in groups(data_dir)? {
        walk(&group, &mut |dir| {
            let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        });
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Removes the group. Fails while it contains processes.
pub(super) fn remove(data_dir: &DataDir) -> anyhow::Result<()> {
    for group in groups(data_dir)? {
        let mut first_error = None;
        walk(&group, &mut |dir| {
            if let Err(error) = std::fs::remove_dir(dir) {
                first_error.get_or_insert((dir.to_path_buf(), error));
            }
        });
        if let Some((dir, source)) = first_error {
            return Err(source).with_context(|| format!("remove the control group {}", dir.display()));
        }
    }
    Ok(())
}

fn groups(data_dir: &DataDir) -> anyhow::Result<Vec<PathBuf>> {
    let groups = mounts::control_groups()?;
    let groups = groups
        .into_iter()
        .map(|hierarchy| hierarchy.join(data_dir.unique_name()));
    Ok(groups.filter(|group| group.is_dir()).collect())
}

/// Visits a directory and its subdirectories, children first.
fn walk(dir: &Path, visit: &mut dyn FnMut(&Path)) {
    let children = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for child in children.filter(|child| child.path().is_dir()) {
        walk(&child.path(), visit);
    }
    visit(dir);
}

/// Enables the controllers one by one, as a host may refuse some. The kubelet
/// reports which ones it needs.
fn enable_controllers(root: &Path) {
    for controller in CONTROLLERS {
        let enabled = std::fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
        if let Err(error) = enabled {
            tracing::debug!("control group controller {controller}: {error}");
        }
    }
}
