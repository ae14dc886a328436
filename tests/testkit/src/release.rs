//! The container images of Steadfast's programs and of the examples: their names
//! and contents. `images` builds them.

mod binaries;
mod context;
mod debian;
mod example_node;
mod example_python;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use crate::{cache::Cache, hash, images, platform::Platform};

pub use binaries::{Profile, build as build_programs};

/// The images that `examples/` name.
pub const EXAMPLE_PYTHON: &str = "localhost/steadfast/example-python:0.1.0";
pub const EXAMPLE_NODE: &str = "localhost/steadfast/example-node:0.1.0";
pub const EXAMPLE_RUST_TOOL: &str = "localhost/steadfast/example-rust-tool:0.1.0";
/// The registry in the names of images that are in no registry.
pub const REGISTRY: &str = "localhost";
const TAG_LENGTH: usize = 12;
/// How long unused archives stay: another checkout may use them.
const ARCHIVES_KEPT_FOR: Duration = Duration::from_hours(48);

/// A program that runs in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Operator,
    Gateway,
    Worker,
    /// The worker of `examples/rust-tool`.
    ExampleRustTool,
}

impl Program {
    pub const ALL: [Self; 4] = [Self::Operator, Self::Gateway, Self::Worker, Self::ExampleRustTool];

    /// The name of the program in image names and paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Gateway => "gateway",
            Self::Worker => "worker",
            Self::ExampleRustTool => "example-rust-tool",
        }
    }

    /// The reference of the program's image. It contains the digest, except for images that manifests in
    /// `examples/` name.
    fn reference(self, digest: &str) -> String {
        match self {
            Self::ExampleRustTool => EXAMPLE_RUST_TOOL.to_owned(),
            Self::Operator | Self::Gateway | Self::Worker => {
                format!("{REGISTRY}/steadfast/{}:{}", self.name(), &digest[..TAG_LENGTH])
            }
        }
    }

    fn package(self) -> String {
        format!("steadfast-{}", self.name())
    }
}

/// One built image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Name and tag, as a pod names them.
    pub reference: String,
    /// The docker archive.
    pub archive: PathBuf,
}

impl Image {
    /// The part after the colon.
    pub fn tag(&self) -> &str {
        self.reference.rsplit_once(':').map_or("", |(_, tag)| tag)
    }
}

/// All images of one state of the sources.
#[derive(Clone, Debug)]
pub struct Release {
    pub operator: Image,
    pub gateway: Image,
    pub worker: Image,
    pub example_python: Image,
    pub example_node: Image,
    pub example_rust_tool: Image,
    /// The program `steadfast`, for this machine.
    pub cli: PathBuf,
}

impl Release {
    /// Builds everything that is out of date. A program's tag is its digest, so
    /// pods are replaced only if the program has changed. Needs root.
    pub async fn build(profile: Profile) -> anyhow::Result<Self> {
        let mut packages = vec!["steadfast".to_owned()];
        packages.extend(Program::ALL.map(Program::package));
        // The compiler needs the processors, the package managers the network.
        let examples = async { anyhow::Ok((example_python::build().await?, example_node::build().await?)) };
        let (binaries, (example_python, example_node)) =
            tokio::try_join!(binaries::build(profile, &packages), examples)?;
        let image = async |program: Program| build_program(program, &binaries.join(program.package())).await;
        let release = Self {
            operator: image(Program::Operator).await?,
            gateway: image(Program::Gateway).await?,
            worker: image(Program::Worker).await?,
            example_python,
            example_node,
            example_rust_tool: image(Program::ExampleRustTool).await?,
            cli: binaries.join("steadfast"),
        };
        remove_old_archives(&release)?;
        Ok(release)
    }

    /// All images.
    pub fn images(&self) -> [&Image; 6] {
        let Self {
            operator,
            gateway,
            worker,
            example_python,
            example_node,
            example_rust_tool,
            cli: _,
        } = self;
        [
            operator,
            gateway,
            worker,
            example_python,
            example_node,
            example_rust_tool,
        ]
    }

    /// Imports all images into the platform.
    pub async fn load_onto(&self, platform: &Platform) -> anyhow::Result<()> {
        for image in self.images() {
            platform
                .load_image(&image.archive)
                .await
                .with_context(|| format!("load image {}", image.reference))?;
        }
        Ok(())
    }
}

/// Every build of a program adds an archive.
fn remove_old_archives(release: &Release) -> anyhow::Result<()> {
    let wanted = release.images().map(|image| image.archive.as_path());
    let dir = Cache::open()?.images();
    let entries = std::fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map(|modified| modified.elapsed());
        let is_old = matches!(age, Ok(Ok(age)) if age > ARCHIVES_KEPT_FOR);
        if is_old && path.extension().is_some_and(|extension| extension == "tar") && !wanted.contains(&path.as_path()) {
            std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok(())
}

async fn build_program(program: Program, binary: &Path) -> anyhow::Result<Image> {
    let bytes = tokio::fs::read(binary)
        .await
        .with_context(|| format!("read {}", binary.display()))?;
    let digest = hash::sha256_hex([bytes.as_slice()]);
    let reference = program.reference(&digest);
    let context = context::of_program(program, binary).await?;
    let archive = images::build(context.path(), &reference).await?;
    Ok(Image { reference, archive })
}
