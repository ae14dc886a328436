//! The local platform as a library of verbs: Kubernetes, Temporal, Redis and a
//! fake model API on one Linux machine, started from pinned programs.
//!
//! Tests take the least they need: `Redis::start()`, `Temporal::start(…)`,
//! `FakeModel::start(…)`, `ControlPlane::start()` (API server without nodes, no
//! root), or the whole named `Platform`. All but the last live and die with the
//! value that holds them, and with the process. Of Steadfast's own programs only
//! `release` and `install` know; no Temporal crate is linked.

pub mod bench;
pub mod control_plane;
pub mod fake_model;
pub mod images;
pub mod install;
pub mod mcp_server;
pub mod platform;
pub mod port;
pub mod process;
pub mod redis;
pub mod release;
pub mod scripted_model;
pub mod site;
pub mod stack;
pub mod temporal;
pub mod wait;

mod cluster;
mod http_client;
mod lock;
mod scratch;

pub use steadfast_tools::{self as tools, cache, workspace};
use steadfast_tools::{args, files, hash};

pub use cluster::{NewUser, User};
pub use control_plane::{ControlPlane, ControlPlaneOptions};
pub use fake_model::{FakeModel, FakeModelOptions};
pub use mcp_server::McpServer;
pub use platform::{Platform, Reach};
pub use redis::{Redis, RedisData};
pub use temporal::{Temporal, TemporalOptions, TemporalStorage, TemporalUi};
