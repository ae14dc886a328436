//! The Python image of the examples: Debian's Python, the programs of all
//! examples, each at its path below `/app`, and the pinned requirements beside them.

use std::{fs, path::Path};

use anyhow::Context as _;
use steadfast_tools::cargo::Cargo;
use tokio::process::Command;

use super::{EXAMPLE_PYTHON, Image, context::USER, debian::Debian};
use crate::{cache::Cache, files, images, process::output, tools, workspace};

const PACKAGES: &str = "python3,ca-certificates";
/// The pinned requirements of all programs.
const REQUIREMENTS: &str = "weather/worker/requirements.txt";
/// Paths below `examples/` and, in the image, below `/app`.
const PROGRAMS: [&str; 4] = [
    "weather/worker/worker.py",
    "move-money/worker/worker.py",
    "move-money/worker/ledger.py",
    "human-in-the-loop/worker/worker.py",
];
const DOCKERFILE: &str = r#"FROM scratch
COPY root/ /
ENV PATH=/usr/local/bin:/usr/bin:/bin PYTHONPATH=/app/packages PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER {USER}
CMD ["python3", "--version"]
"#;

/// Builds the image, unless it exists.
pub(super) async fn build() -> anyhow::Result<Image> {
    let examples = workspace::root().join("examples");
    let debian = Debian::of_this_machine(PACKAGES)?;
    let mut contents = vec![DOCKERFILE.into()];
    for path in PROGRAMS.iter().chain([&REQUIREMENTS]) {
        let path = examples.join(path);
        contents.push(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
    }
    let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    let dir = Cache::open()?
        .images()
        .join(format!("example-python-{}", debian.key(&contents)));
    // Written last: a directory without it is incomplete.
    let dockerfile = dir.join("Dockerfile");
    if !dockerfile.is_file() {
        tracing::info!("building the Python image of the examples");
        files::remove_dir(&dir)?;
        let root = dir.join("root");
        files::create_dir(&root)?;
        fill(&root, &debian, &examples).await?;
        files::write(&dockerfile, &DOCKERFILE.replace("{USER}", USER))?;
    }
    let archive = images::build(&dir, EXAMPLE_PYTHON).await?;
    Ok(Image {
        reference: EXAMPLE_PYTHON.to_owned(),
        archive,
    })
}

async fn fill(root: &Path, debian: &Debian, examples: &Path) -> anyhow::Result<()> {
    debian.extract(root).await.context("extract Debian's Python")?;
    files::create_dir(&root.join("app/packages"))?;
    install_requirements(root, &examples.join(REQUIREMENTS))
        .await
        .context("install the examples' requirements with pip")?;
    for path in PROGRAMS {
        let program = root.join("app").join(path);
        files::create_dir(program.parent().context("find the directory of a program")?)?;
        fs::copy(examples.join(path), &program).with_context(|| format!("write {}", program.display()))?;
    }
    Ok(())
}

/// Installs wheels for the image's Python, which differs from the Python that runs pip.
async fn install_requirements(root: &Path, requirements: &Path) -> anyhow::Result<()> {
    let cargo = Cargo::of_this_machine()?;
    let architecture = cargo.host().split('-').next().unwrap_or_default();
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
        .arg(requirements);
    output(&mut command).await.map(drop)
}

/// For instance `3.11`, from the directory of the standard library.
fn python_version(root: &Path) -> anyhow::Result<String> {
    let libraries = root.join("usr/lib");
    let entries = fs::read_dir(&libraries).with_context(|| format!("list {}", libraries.display()))?;
    let version = entries.flatten().find_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.strip_prefix("python")
            .filter(|version| version.starts_with("3."))
            .map(str::to_owned)
    });
    version.with_context(|| format!("find the Python version in {}", root.display()))
}
