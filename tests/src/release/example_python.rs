//! The Python image of the examples, with no base image: Debian's Python,
//! extracted from its packages, and the worker's pinned requirements beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::binaries::{host_triple, workspace};
use super::context::USER;
use super::{EXAMPLE_PYTHON, Image};
use crate::cache::Cache;
use crate::process::output;
use crate::{files, hash, images, tools};

const KEY_LENGTH: usize = 16;
/// Where apt's own sources are, newest spelling first.
const APT_SOURCES: [&str; 2] = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
const PACKAGES: &str = "python3,ca-certificates";
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

/// Builds the image, or finds it built.
pub async fn build() -> anyhow::Result<Image> {
    let source = workspace().join("examples/weather/worker");
    let recipe = Recipe::read(&source)?;
    let folder = Cache::open()?.images().join(format!("example-python-{}", recipe.key()));
    // Written last: a folder without it was not finished.
    let dockerfile = folder.join("Dockerfile");
    if !dockerfile.is_file() {
        files::remove_folder(&folder)?;
        let root = folder.join("root");
        files::make_folder(&root)?;
        recipe.fill(&root, &source).await?;
        files::write(&dockerfile, &DOCKERFILE.replace("{USER}", USER))?;
    }
    let archive = images::build(&folder, EXAMPLE_PYTHON).await?;
    Ok(Image {
        reference: EXAMPLE_PYTHON.to_owned(),
        archive,
    })
}

const DOCKERFILE: &str = r#"FROM scratch
COPY root/ /
ENV PATH=/usr/local/bin:/usr/bin:/bin PYTHONPATH=/app/packages PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER {USER}
CMD ["python3", "/app/worker.py"]
"#;

/// Everything the content of the image depends on.
struct Recipe {
    suite: String,
    apt_sources: PathBuf,
    contents: Vec<Vec<u8>>,
}

impl Recipe {
    fn read(source: &Path) -> anyhow::Result<Self> {
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
        let mut contents = vec![suite.clone().into_bytes(), PACKAGES.into(), DOCKERFILE.into()];
        for path in [
            &source.join("requirements.txt"),
            &source.join("worker.py"),
            &apt_sources,
        ] {
            contents.push(fs::read(path).with_context(|| format!("read {}", path.display()))?);
        }
        Ok(Self {
            suite,
            apt_sources,
            contents,
        })
    }

    fn key(&self) -> String {
        hash::sha256_hex(self.contents.iter().map(Vec::as_slice))[..KEY_LENGTH].to_owned()
    }

    async fn fill(&self, root: &Path, source: &Path) -> anyhow::Result<()> {
        tracing::info!("making the Python image of the examples");
        self.extract_python(root).await.context("extract Debian's Python")?;
        install_requirements(root, source)
            .await
            .context("install the worker's requirements with pip")?;
        let worker = root.join("app/worker.py");
        fs::copy(source.join("worker.py"), &worker).with_context(|| format!("write {}", worker.display()))?;
        let temporary = root.join("tmp");
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777))
            .with_context(|| format!("open {}", temporary.display()))
    }

    async fn extract_python(&self, root: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(tools::installed("mmdebstrap")?);
        command
            .args(["--quiet", "--variant=extract", "--mode=root", "--format=directory"])
            .arg(format!("--include={PACKAGES}"))
            .arg(format!("--setup-hook={MERGE_USR}"))
            .arg(&self.suite)
            .arg(root)
            .arg(&self.apt_sources);
        output(&mut command).await?;
        for path in SUPERFLUOUS {
            files::remove_folder(&root.join(path))?;
        }
        for path in ["tmp", "app/packages"] {
            files::make_folder(&root.join(path))?;
        }
        Ok(())
    }
}

/// Wheels for the Python in the image, whatever Python runs pip here.
async fn install_requirements(root: &Path, source: &Path) -> anyhow::Result<()> {
    let host = host_triple().await?;
    let architecture = host.split('-').next().unwrap_or_default();
    let mut command = Command::new(tools::python()?);
    command
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--implementation=cp",
        ])
        .arg(format!("--python-version={}", python_version(root)?))
        .arg(format!("--platform=manylinux2014_{architecture}"))
        .arg(format!("--platform=manylinux_2_17_{architecture}"))
        .arg("--target")
        .arg(root.join("app/packages"))
        .arg("--requirement")
        .arg(source.join("requirements.txt"));
    output(&mut command).await.map(drop)
}

/// `3.11`, from the folder of its standard library.
fn python_version(root: &Path) -> anyhow::Result<String> {
    let libraries = root.join("usr/lib");
    let entries = fs::read_dir(&libraries).with_context(|| format!("list {}", libraries.display()))?;
    let version = entries.flatten().find_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.strip_prefix("python")
            .filter(|version| version.starts_with("3."))
            .map(str::to_owned)
    });
    version.with_context(|| format!("there is no Python in {}", root.display()))
}
