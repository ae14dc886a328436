//! The names of the environment variables by which a worker knows whose it is. The manifest sets them, and no pod template
//! of a user may.

/// The install id.
pub(crate) const INSTALL: &str = "STEADFAST_INSTALL";
/// The namespace.
pub(crate) const NAMESPACE: &str = "STEADFAST_NAMESPACE";
/// The Agent, of workers of its own.
pub(crate) const AGENT: &str = "STEADFAST_AGENT";
/// The WorkerPool.
pub(crate) const WORKER_POOL: &str = "STEADFAST_WORKER_POOL";
/// The Temporal task queue.
pub(crate) const TASK_QUEUE: &str = "STEADFAST_TASK_QUEUE";
/// The address of probes and metrics.
pub(crate) const ADMIN_ADDRESS: &str = "STEADFAST_ADMIN_ADDRESS";
/// How long a worker may finish its work.
pub(crate) const DRAIN_TIMEOUT_SECONDS: &str = "STEADFAST_DRAIN_TIMEOUT_SECONDS";
/// The Temporal Worker Deployment.
pub(crate) const DEPLOYMENT_NAME: &str = "TEMPORAL_DEPLOYMENT_NAME";
/// The version in it.
pub(crate) const BUILD_ID: &str = "TEMPORAL_WORKER_BUILD_ID";
/// The directory of the encryption keys.
pub(crate) const ENCRYPTION_KEYS_PATH: &str = "STEADFAST_ENCRYPTION_KEYS_PATH";
/// The key that encrypts.
pub(crate) const ENCRYPTION_KEY_ID: &str = "STEADFAST_ENCRYPTION_KEY_ID";

/// All of them.
pub(crate) const ALL: [&str; 11] = [
    INSTALL,
    NAMESPACE,
    AGENT,
    WORKER_POOL,
    TASK_QUEUE,
    ADMIN_ADDRESS,
    DRAIN_TIMEOUT_SECONDS,
    DEPLOYMENT_NAME,
    BUILD_ID,
    ENCRYPTION_KEYS_PATH,
    ENCRYPTION_KEY_ID,
];
