//! The mounts of this machine, from `/proc/self/mountinfo`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::mount::{MntFlags, umount2};

/// The roots of the host's control group hierarchies.
pub(super) fn control_groups() -> anyhow::Result<Vec<PathBuf>> {
    let text = read()?;
    let roots = text
        .lines()
        .filter_map(parse)
        .filter(|mount| mount.kind.starts_with("cgroup"));
    let mut roots: Vec<PathBuf> = roots.map(|mount| mount.point).collect();
    roots.sort();
    roots.dedup();
    Ok(roots)
}

/// Unmounts every mount below a directory, the innermost first.
pub(super) fn unmount_below(dir: &Path) -> anyhow::Result<()> {
    let text = read()?;
    let below = text.lines().filter_map(parse).map(|mount| mount.point);
    let below: Vec<PathBuf> = below.filter(|point| point.starts_with(dir)).collect();
    // A later line may be mounted on top of an earlier one.
    for point in below.iter().rev() {
        umount2(point, MntFlags::MNT_DETACH).with_context(|| format!("unmount {}", point.display()))?;
    }
    Ok(())
}

struct Mount {
    point: PathBuf,
    kind: String,
}

fn read() -> anyhow::Result<String> {
    std::fs::read_to_string("/proc/self/mountinfo").context("read the list of mounts")
}

/// `36 35 98:0 /root /point options optional… - kind source options`
fn parse(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let point = unescape(left.split(' ').nth(4)?);
    Some(Mount {
        point: point.into(),
        kind: right.split(' ').next()?.to_owned(),
    })
}

/// The kernel writes white space and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_space_is_unescaped() {
        let line = "36 35 98:0 / /a\\040b rw,noatime shared:1 - cgroup2 cgroup2 rw";
        let mount = parse(line).unwrap();
        assert_eq!((mount.point, mount.kind.as_str()), (PathBuf::from("/a b"), "cgroup2"));
    }
}
