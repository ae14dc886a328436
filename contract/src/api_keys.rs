//! API keys: what a client presents as its bearer token, and the entry of a Secret that the gateway compares it with.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What every API key begins with, so that it is never taken for another token, and so that scanners of repositories
/// find one that was committed.
pub const API_KEY_PREFIX: &str = "sfk_";

/// One entry of a Secret with API keys, as JSON. The name of the entry names the key where the key itself must not be
/// shown. A field that is not listed is refused: a misspelt `expires` would make a key that lasts for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyEntry {
    /// The user as whom the bearer of the key acts, as Kubernetes' RBAC names one.
    pub user: String,
    /// The groups of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// SHA-256 of the whole key, prefix included, in hexadecimal digits.
    pub sha256: String,
    /// When the key stops to be valid; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}
