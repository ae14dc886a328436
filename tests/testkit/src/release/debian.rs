//! A file system with a few of Debian's packages and what they depend on, and no
//! base image: extracted, not installed, from the mirrors this machine uses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::process::output;
use crate::{files, hash, tools};

const KEY_LENGTH: usize = 16;
/// Where apt's own sources are, newest spelling first.
const APT_SOURCES: [&str; 2] = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
/// Makes the new system's `/bin`, `/lib` … links into `/usr`, as Debian's are.
const MERGE_USR: &str = r#"for d in bin lib lib64 sbin; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done"#;
/// What a container has no use for.
const SUPERFLUOUS: [&str; 7] = [
    "dev",
    "var",
    "etc/apt",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
];

/// Which packages, from where.
pub struct Debian {
    packages: &'static str,
    suite: String,
    apt_sources: PathBuf,
}

impl Debian {
    /// These packages, of the release that runs here.
    pub fn of_this_machine(packages: &'static str) -> anyhow::Result<Self> {
        let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
        let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let suite = suite
            .context("/etc/os-release names no Debian suite")?
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

    /// Names an image of these packages and this content besides.
    pub fn key(&self, contents: &[&[u8]]) -> String {
        let sources = fs::read(&self.apt_sources).unwrap_or_default();
        let own = [self.suite.as_bytes(), self.packages.as_bytes(), &sources];
        hash::sha256_hex(own.into_iter().chain(contents.iter().copied()))[..KEY_LENGTH].to_owned()
    }

    /// Fills a folder that is empty.
    pub async fn extract(&self, root: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(tools::installed("mmdebstrap")?);
        command
            .args(["--quiet", "--variant=extract", "--mode=root", "--format=directory"])
            .arg(format!("--include={}", self.packages))
            .arg(format!("--setup-hook={MERGE_USR}"))
            .arg(&self.suite)
            .arg(root)
            .arg(&self.apt_sources);
        output(&mut command).await?;
        for path in SUPERFLUOUS {
            files::remove_folder(&root.join(path))?;
        }
        let temporary = root.join("tmp");
        files::make_folder(&temporary)?;
        // Everybody may write to it, as programs expect.
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777))
            .with_context(|| format!("open {}", temporary.display()))
    }
}
