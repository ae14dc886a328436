//! The control group below which all pods of a platform live, on hosts with
//! either version of control groups.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::home::Home;
use super::mounts;
use crate::files;

/// Controllers that the kubelet wants; a host may lack some.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "memory", "pids", "hugetlb", "io"];

/// The group's path, as the kubelet's `cgroupRoot` names it.
pub fn path(home: &Home) -> String {
    format!("/{}", home.machine_wide_name())
}

/// Makes the group in every hierarchy.
pub fn make(home: &Home) -> anyhow::Result<()> {
    for hierarchy in mounts::control_groups()? {
        if hierarchy.join("cgroup.controllers").is_file() {
            offer_controllers(&hierarchy);
        }
        files::make_folder(&hierarchy.join(home.machine_wide_name()))?;
    }
    Ok(())
}

/// The processes in the group, in any hierarchy.
pub fn processes(home: &Home) -> anyhow::Result<Vec<i32>> {
    let mut found = Vec::new();
    for group in groups(home)? {
        walk(&group, &mut |folder| {
            let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        });
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Removes the group, which must have no process left.
pub fn remove(home: &Home) -> anyhow::Result<()> {
    for group in groups(home)? {
        let mut left = None;
        walk(&group, &mut |folder| {
            if let Err(error) = std::fs::remove_dir(folder) {
                left.get_or_insert((folder.to_path_buf(), error));
            }
        });
        if let Some((folder, source)) = left {
            return Err(source).with_context(|| format!("remove the control group {}", folder.display()));
        }
    }
    Ok(())
}

fn groups(home: &Home) -> anyhow::Result<Vec<PathBuf>> {
    let groups = mounts::control_groups()?;
    let groups = groups
        .into_iter()
        .map(|hierarchy| hierarchy.join(home.machine_wide_name()));
    Ok(groups.filter(|group| group.is_dir()).collect())
}

/// Visits the folders below one, and it, children first.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let children = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for child in children.filter(|child| child.path().is_dir()) {
        walk(&child.path(), visit);
    }
    visit(folder);
}

/// One by one: a host may refuse some, and the kubelet says what it misses.
fn offer_controllers(root: &Path) {
    for controller in CONTROLLERS {
        let offered = std::fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
        if let Err(error) = offered {
            tracing::debug!("control group controller {controller}: {error}");
        }
    }
}
