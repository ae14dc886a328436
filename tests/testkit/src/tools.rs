//! The programs the platform is made of: where they are, and how they get there.
//!
//! A lookup is lazy and touches nothing: a test that needs Redis needs no
//! Kubernetes program. `install` builds and downloads what is missing, each kind
//! from its own pin beside this crate (`tools/*/go.mod`, `package-lock.json`,
//! `requirements.txt`), into cache folders named by the pin's hash. Two
//! processes never install at once.

mod debian;
mod go;
mod npm;
mod pins;
mod python;
mod stage;
mod wheel;

use crate::cache::Cache;
use crate::lock::FileLock;

pub use debian::installed;
pub use go::{GoProgram, go_program};
pub use npm::{FakeModelTool, McpServerTool, fake_model, mcp_server};
pub use python::python;
pub use stage::{Outcome, Stage};
pub use wheel::{WheelProgram, wheel_program};

/// What to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian packages: etcd, containerd, runc, Redis, buildah and more.
    Debian,
    /// The Temporal CLI and server, from a Python wheel.
    Temporal,
    /// Kubernetes, Helm and CoreDNS, from Go modules.
    Go,
    /// The fake model API, from npm.
    FakeModel,
    /// An MCP server, from npm; it runs on the fake model's Node.js.
    McpServer,
    /// The Python clients that tests drive the system with.
    Python,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Debian,
        Self::Temporal,
        Self::Go,
        Self::FakeModel,
        Self::McpServer,
        Self::Python,
    ];
}

/// Makes sure that everything of these kinds is there, and says how long each
/// stage took.
pub async fn install(kinds: &[Kind]) -> anyhow::Result<Vec<Stage>> {
    let cache = Cache::open()?;
    let _lock = FileLock::acquire(cache.tools().join(".lock")).await?;
    let mut stages = Vec::new();
    for kind in kinds {
        match kind {
            Kind::Debian => stages.push(debian::install().await?),
            Kind::Temporal => stages.push(wheel::install(&cache, WheelProgram::Temporal).await?),
            Kind::Go => {
                for program in GoProgram::ALL {
                    stages.push(go::install(&cache, program).await?);
                }
            }
            Kind::FakeModel => stages.push(npm::install(&cache).await?),
            Kind::McpServer => stages.push(npm::install_mcp_server(&cache).await?),
            Kind::Python => stages.push(python::install(&cache).await?),
        }
    }
    Ok(stages)
}
