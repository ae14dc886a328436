//! The programs that the local platform, the tests and the checks run: where
//! they are, and how they get there.
//!
//! A lookup touches nothing: a test that needs Redis needs no Kubernetes
//! program. `install` builds and downloads what is missing, each kind from its
//! own pin in a directory beside this crate's sources (`go.mod`,
//! `package-lock.json`, `requirements.txt`), into cache directories named by the
//! pin's hash. Everything here blocks, and links little: `cargo xtask` stands on it.

pub mod args;
pub mod cache;
pub mod cargo;
pub mod command;
pub mod files;
pub mod hash;
pub mod lock;
pub mod progress;
pub mod workspace;

mod debian;
mod go;
mod mcp_servers;
mod nginx;
mod npm;
mod pins;
mod python;
mod redis;
mod stage;
mod versions;
mod wheel;

use cache::Cache;
use go::Module;
use lock::FileLock;

pub use debian::installed;
pub use go::{GoProgram, go_program, own_go_module, own_go_program};
pub use mcp_servers::{McpReference, mcp_reference};
pub use nginx::nginx;
pub use npm::{FakeModelTool, McpServerTool, NodeClients, fake_model, mcp_server, node_clients};
pub use python::{PythonEnvironment, litellm, python, python_of};
pub use redis::{redis_server, redis_server_with_tls};
pub use stage::{Outcome, Stage};
pub use versions::Versions;
pub use wheel::{WheelProgram, wheel_program};

/// What to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian packages: etcd, containerd, runc, Redis, buildah and more.
    Debian,
    /// The Temporal CLI and server, from a Python wheel.
    Temporal,
    /// Valkey, which speaks the protocol of Redis, from a Python wheel.
    Valkey,
    /// Kubernetes, Helm, CoreDNS, helm-unittest and kubeconform, from Go modules.
    Go,
    /// The fake model API, from npm.
    FakeModel,
    /// An MCP server, from npm; it runs on the fake model's Node.js.
    McpServer,
    /// MCP servers on the SDKs of Python, TypeScript, Go and Rust, in their newest and in an older version.
    McpReferences,
    /// The clients from npm that tests drive the system with; they run on the fake model's Node.js.
    NodeClients,
    /// The Python clients that tests drive the system with.
    Python,
    /// The agents in Python that the bench compares with ours.
    Peers,
    /// LiteLLM's proxy, which tests put between the worker and a model.
    LiteLlm,
    /// Servers of models, and one that speaks S3, which only `cargo xtask test --long` runs.
    ModelServers,
    /// Proxies in front of the gateway: Traefik, from a Python wheel, and Debian's NGINX.
    Proxies,
    /// Programs that check the sources, from Python wheels.
    Checks,
    /// The oldest versions that are supported, beside Debian's Redis: Kubernetes and Helm.
    Oldest,
}

impl Kind {
    /// Everything that the platform and the tests run.
    pub const ALL: [Self; 11] = [
        Self::Debian,
        Self::Temporal,
        Self::Valkey,
        Self::Go,
        Self::FakeModel,
        Self::McpServer,
        Self::McpReferences,
        Self::NodeClients,
        Self::Python,
        Self::LiteLlm,
        Self::Proxies,
    ];
}

/// Installs everything of these kinds that is missing, and says how long each
/// stage took. Two processes never install the same kind at once.
pub fn install(kinds: &[Kind]) -> anyhow::Result<Vec<Stage>> {
    let cache = Cache::open()?;
    let mut stages = Vec::new();
    for kind in kinds {
        let _lock = FileLock::acquire(&cache.tools().join(format!(".{kind:?}.lock")))?;
        match kind {
            Kind::Debian => stages.push(debian::install()?),
            Kind::Temporal => stages.push(wheel::install(&cache, WheelProgram::Temporal)?),
            Kind::Valkey => stages.push(wheel::install(&cache, WheelProgram::Valkey)?),
            Kind::Go => {
                for module in [Module::Kubernetes, Module::Platform] {
                    stages.push(go::install(&cache, module)?);
                }
            }
            Kind::FakeModel => stages.push(npm::install(&cache)?),
            Kind::McpServer => stages.push(npm::install_mcp_server(&cache)?),
            Kind::McpReferences => {
                for server in McpReference::ALL {
                    stages.push(mcp_servers::install(&cache, server)?);
                }
            }
            Kind::NodeClients => stages.push(npm::install_clients(&cache)?),
            Kind::Python => stages.push(python::install(&cache, PythonEnvironment::Clients)?),
            Kind::Peers => {
                for environment in PythonEnvironment::PEERS {
                    stages.push(python::install(&cache, environment)?);
                }
            }
            Kind::LiteLlm => stages.push(python::install(&cache, PythonEnvironment::LiteLlm)?),
            Kind::ModelServers => {
                for environment in [PythonEnvironment::LlamaCpp, PythonEnvironment::S3] {
                    stages.push(python::install(&cache, environment)?);
                }
            }
            Kind::Proxies => {
                stages.push(wheel::install(&cache, WheelProgram::Traefik)?);
                stages.push(nginx::install(&cache)?);
            }
            Kind::Checks => {
                for program in WheelProgram::CHECKS {
                    stages.push(wheel::install(&cache, program)?);
                }
            }
            Kind::Oldest => {
                for module in [Module::KubernetesOldest, Module::HelmOldest] {
                    stages.push(go::install(&cache, module)?);
                }
            }
        }
    }
    Ok(stages)
}
