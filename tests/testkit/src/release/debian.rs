//! A root file system with a few Debian packages and their dependencies, without a
//! base image. The packages are extracted, not installed, from this machine's mirrors.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::{files, hash, process::output, tools};

const KEY_LENGTH: usize = 16;
/// The files with apt's sources, the newest format first.
const APT_SOURCES: [&str; 2] = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
/// Creates `/bin`, `/lib` … as links into `/usr`, as Debian does.
const MERGE_USR: &str = r#"for d in bin lib lib64 sbin; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done"#;
/// Directories that a container does not need.
const REMOVED_DIRS: [&str; 7] = [
    "dev",
    "var",
    "etc/apt",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
];

/// A set of packages and their source.
pub(super) struct Debian {
    packages: &'static str,
    suite: String,
    apt_sources: PathBuf,
}

impl Debian {
    /// These packages, from the Debian release of this machine.
    pub(super) fn of_this_machine(packages: &'static str) -> anyhow::Result<Self> {
        let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
        let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let suite = suite
            .context("find VERSION_CODENAME in /etc/os-release")?
            .trim_matches('"')
            .to_owned();
        let found = APT_SOURCES.iter().map(PathBuf::from).find(|path| path.is_file());
        let Some(apt_sources) = found else {
            bail!("none of {} exists", APT_SOURCES.join(", "))
        };
        Ok(Self {
            packages,
            suite,
            apt_sources,
        })
    }

    /// The key of an image with these packages and this other content.
    pub(super) fn key(&self, contents: &[&[u8]]) -> String {
        let sources = fs::read(&self.apt_sources).unwrap_or_default();
        let own = [self.suite.as_bytes(), self.packages.as_bytes(), &sources];
        hash::sha256_hex(own.into_iter().chain(contents.iter().copied()))[..KEY_LENGTH].to_owned()
    }

    /// Extracts the packages into an empty directory.
    pub(super) async fn extract(&self, root: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(tools::installed("mmdebstrap")?);
        command
            .args(["--quiet", "--variant=extract", "--mode=root", "--format=directory"])
            .arg(format!("--include={}", self.packages))
            .arg(format!("--setup-hook={MERGE_USR}"))
            .arg(&self.suite)
            .arg(root)
            .arg(&self.apt_sources);
        output(&mut command).await?;
        for path in REMOVED_DIRS {
            files::remove_dir(&root.join(path))?;
        }
        let temporary = root.join("tmp");
        files::create_dir(&temporary)?;
        // World-writable, as programs expect.
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777))
            .with_context(|| format!("open {}", temporary.display()))
    }
}
