//! Test kit: Kubernetes, Temporal, Redis and model servers on one Linux machine,
//! started from pinned programs and driven by verbs.
//!
//! A test takes the least it needs: `Redis::start()`, `Temporal::start(…)`,
//! `FakeModel::start(…)`, `ControlPlane::start()` (an API server without nodes;
//! needs no root), [`stack::Stack`] (gateway and workers as processes), or a whole
//! named [`Platform`]. All but the platform end when their value is dropped, and
//! at the latest with the process. Links no Temporal crate.

pub mod bad_manifests;
pub mod bench;
pub mod certificates;
pub mod control_plane;
pub mod documented_metrics;
pub mod edits;
pub mod fake_model;
pub mod images;
pub mod install;
pub mod litellm;
pub mod local_node;
pub mod mcp_server;
pub mod model_server;
pub mod oidc_issuer;
pub mod platform;
pub mod played_node;
pub mod process;
pub mod redis;
pub mod release;
pub mod reverse_proxy;
pub mod s3_server;
pub mod scripted_mcp;
pub mod scripted_model;
pub mod stack;
pub mod temporal;
pub mod tls_proxy;
pub mod wait;

mod cluster;
mod http_client;
mod install_root;
mod lock;
mod port;
mod temp_dir;

use steadfast_tools::{args, files, hash};

pub use steadfast_tools::{self as tools, cache, workspace};

pub use certificates::{Certificate, CertificateAuthority};
pub use cluster::{AuditLog, AuditMark, NewUser, User, Write};
pub use control_plane::{ControlPlane, ControlPlaneOptions};
pub use fake_model::{FakeModel, FakeModelOptions};
pub use litellm::LiteLlm;
pub use local_node::LocalNode;
pub use mcp_server::McpServer;
pub use model_server::ModelServer;
pub use oidc_issuer::{OidcIssuer, SigningKey};
pub use platform::{NetworkAccess, Platform};
pub use played_node::PlayedNode;
pub use redis::{Redis, RedisData, RedisOptions, RedisTls, Sentinel};
pub use reverse_proxy::{Exposure, ReverseProxy};
pub use s3_server::S3Server;
pub use scripted_mcp::ScriptedMcp;
pub use temporal::{Temporal, TemporalOptions, TemporalStorage, TemporalUi};
pub use tls_proxy::{ClientCertificates, TlsProxy};
