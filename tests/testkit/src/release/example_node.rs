//! The Node.js image of the examples: an MCP server with the packages it needs,
//! the Node.js that npm has brought, and Debian's C++ library beneath.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

use super::context::USER;
use super::debian::Debian;
use super::{EXAMPLE_NODE, Image};
use crate::cache::Cache;
use crate::process::output;
use crate::{files, images, tools};

/// What the program `node` is linked to; the rest follows.
const PACKAGES: &str = "libstdc++6,ca-certificates";
const DOCKERFILE: &str = r#"FROM scratch
COPY root/ /
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER {USER}
CMD ["node", "--version"]
"#;

/// Builds the image, or finds it built.
pub async fn build() -> anyhow::Result<Image> {
    let server = tools::mcp_server()?;
    let modules = modules_of(&server.script)?;
    let debian = Debian::of_this_machine(PACKAGES)?;
    // The folders of both are named by their pins.
    let key = debian.key(&[
        DOCKERFILE.as_bytes(),
        server.node.as_os_str().as_encoded_bytes(),
        modules.as_os_str().as_encoded_bytes(),
    ]);
    let folder = Cache::open()?.images().join(format!("example-node-{key}"));
    // Written last: a folder without it was not finished.
    let dockerfile = folder.join("Dockerfile");
    if !dockerfile.is_file() {
        tracing::info!("making the Node.js image of the examples");
        files::remove_folder(&folder)?;
        let root = folder.join("root");
        files::make_folder(&root)?;
        fill(&root, &debian, &server.node, &modules).await?;
        files::write(&dockerfile, &DOCKERFILE.replace("{USER}", USER))?;
    }
    let archive = images::build(&folder, EXAMPLE_NODE).await?;
    Ok(Image {
        reference: EXAMPLE_NODE.to_owned(),
        archive,
    })
}

/// The `node_modules` that a program of npm is in.
fn modules_of(script: &Path) -> anyhow::Result<PathBuf> {
    let found = script.ancestors().find(|folder| folder.ends_with("node_modules"));
    found
        .map(Path::to_path_buf)
        .with_context(|| format!("{} is in no node_modules", script.display()))
}

async fn fill(root: &Path, debian: &Debian, node: &Path, modules: &Path) -> anyhow::Result<()> {
    debian.extract(root).await.context("extract Debian's C++ library")?;
    for folder in ["usr/local/bin", "app"] {
        files::make_folder(&root.join(folder))?;
    }
    let program = root.join("usr/local/bin/node");
    fs::copy(node, &program).with_context(|| format!("write {}", program.display()))?;
    // With the links in it as they are.
    let mut copy = Command::new("cp");
    copy.arg("--archive").arg(modules).arg(root.join("app"));
    output(&mut copy).await.context("copy the MCP server").map(drop)
}
