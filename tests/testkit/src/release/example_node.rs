//! The Node.js image of the examples: an MCP server with its npm packages, Node.js
//! from npm, and Debian's C++ library.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tokio::process::Command;

use super::{EXAMPLE_NODE, Image, context::USER, debian::Debian};
use crate::{cache::Cache, files, images, process::output, tools};

/// The libraries of the program `node`. Dependencies are added.
const PACKAGES: &str = "libstdc++6,ca-certificates";
const DOCKERFILE: &str = r#"FROM scratch
COPY root/ /
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER {USER}
CMD ["node", "--version"]
"#;

/// Builds the image, unless it exists.
pub(super) async fn build() -> anyhow::Result<Image> {
    let server = tools::mcp_server()?;
    let modules = modules_of(&server.script)?;
    let debian = Debian::of_this_machine(PACKAGES)?;
    // The paths contain the hashes of the pins.
    let key = debian.key(&[
        DOCKERFILE.as_bytes(),
        server.node.as_os_str().as_encoded_bytes(),
        modules.as_os_str().as_encoded_bytes(),
    ]);
    let dir = Cache::open()?.images().join(format!("example-node-{key}"));
    // Written last: a directory without it is incomplete.
    let dockerfile = dir.join("Dockerfile");
    if !dockerfile.is_file() {
        tracing::info!("building the Node.js image of the examples");
        files::remove_dir(&dir)?;
        let root = dir.join("root");
        files::create_dir(&root)?;
        fill(&root, &debian, &server.node, &modules).await?;
        files::write(&dockerfile, &DOCKERFILE.replace("{USER}", USER))?;
    }
    let archive = images::build(&dir, EXAMPLE_NODE).await?;
    Ok(Image {
        reference: EXAMPLE_NODE.to_owned(),
        archive,
    })
}

/// The `node_modules` directory of an npm program.
fn modules_of(script: &Path) -> anyhow::Result<PathBuf> {
    let found = script.ancestors().find(|dir| dir.ends_with("node_modules"));
    found
        .map(Path::to_path_buf)
        .with_context(|| format!("find the node_modules directory of {}", script.display()))
}

async fn fill(root: &Path, debian: &Debian, node: &Path, modules: &Path) -> anyhow::Result<()> {
    debian.extract(root).await.context("extract Debian's C++ library")?;
    for dir in ["usr/local/bin", "app"] {
        files::create_dir(&root.join(dir))?;
    }
    let program = root.join("usr/local/bin/node");
    fs::copy(node, &program).with_context(|| format!("write {}", program.display()))?;
    // Keeps symbolic links.
    let mut copy = Command::new("cp");
    copy.arg("--archive").arg(modules).arg(root.join("app"));
    output(&mut copy).await.context("copy the MCP server").map(drop)
}
