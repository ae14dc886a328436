//! The HTTP surfaces of Steadfast: Agentex's REST, JSON-RPC and streams, OpenAI's Responses and Chat
//! Completions, A2A, and approvals.
//! Authenticates and authorises callers, turns requests into starts and signals of workflows,
//! and logs into messages and streams. Stores nothing: any number of replicas may run.

mod a2a;
mod access;
mod acknowledgement;
mod activity;
mod admission;
mod agentex;
mod agents;
mod api;
mod api_docs;
mod app;
mod approvals;
mod attachments;
mod audit;
mod console;
mod edge;
mod erasure;
mod error;
mod fleet;
mod follow;
mod links;
mod load;
mod messages;
mod metrics;
mod openai;
mod prices;
mod send;
mod server;
mod simple_uuid;
mod start;
mod static_files;
mod task;
mod temporal;
mod turn_writer;
mod wake;

pub use access::{
    Access, ApiKeys, CacheAges, KubernetesAccess, Oidc, OidcError, OidcLogin, OidcSettings, ProxySettings, SelfApproval,
};
pub use activity::count_tasks;
pub use admission::HistoryLimits;
pub use agents::{AgentDirectory, Naming};
pub use api::{codec_routes, router};
pub use app::Gateway;
pub use console::console_routes;
pub use edge::{CorsOrigins, Edge, PathPrefix};
pub use fleet::Fleet;
pub use links::{LinkTemplate, LinkTemplateError, Links};
pub use load::{Load, RateLimits, Times};
pub use metrics::Metrics;
pub use prices::Prices;
pub use server::Server;
pub use temporal::{StartRequest, Started, Temporal};
pub use wake::Waker;
