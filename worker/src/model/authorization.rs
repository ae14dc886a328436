//! The header that authenticates a model call: an API key from the environment, or a token from a file that something
//! else renews, for example the kubelet or a workload identity webhook.

use std::path::{Component, Path};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use steadfast_crds::model::ModelSpec;

/// Tokens are mounted below this directory.
const TOKENS: &str = "/var/run/secrets";
/// The worker's own identity in Kubernetes.
const OWN_TOKENS: &str = "/var/run/secrets/kubernetes.io";
/// The longest token that is read, in bytes.
const LONGEST_TOKEN: usize = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub(super) enum AuthorizationError {
    #[error("model.auth.tokenFile {path} is not below {TOKENS}/, or is the worker's own identity in Kubernetes")]
    TokenNotAllowed { path: String },
    #[error("read model.auth.tokenFile {path}; worker.podTemplate must mount it")]
    ReadToken {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("model.auth.tokenFile {path} is empty, longer than {LONGEST_TOKEN} bytes, or no text of one line")]
    NoToken { path: String },
    #[error("model.auth.header {name:?} is no name of a header")]
    NoHeader { name: String },
}

/// The header of one call.
#[derive(Clone, Debug)]
pub(super) struct Authorization(Option<(HeaderName, HeaderValue)>);

impl Authorization {
    /// From the key or the token of a model, as `model.auth` wants it. An empty key sends no header.
    pub(super) fn new(model: &ModelSpec, key: &str) -> Result<Self, AuthorizationError> {
        if key.is_empty() {
            return Ok(Self(None));
        }
        let auth = model.auth.clone().unwrap_or_default();
        let name = HeaderName::try_from(auth.header.as_str());
        let Ok(name) = name else {
            return Err(AuthorizationError::NoHeader { name: auth.header });
        };
        let default = if name == AUTHORIZATION { "Bearer" } else { "" };
        let scheme = auth.scheme.as_deref().unwrap_or(default);
        let text = format!("{scheme} {key}");
        // The key has been checked.
        let mut value = HeaderValue::try_from(text.trim_start()).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        Ok(Self(Some((name, value))))
    }

    /// Puts the header on a request, in the place of what the library sends.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        headers.remove(AUTHORIZATION);
        if let Some((name, value)) = &self.0 {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// The token in a file. It is read for each call: whoever renews it replaces the file.
pub(super) async fn read_token(path: &str) -> Result<String, AuthorizationError> {
    if !may_be_sent(Path::new(path)) {
        return Err(AuthorizationError::TokenNotAllowed { path: path.to_owned() });
    }
    read_token_file(path).await
}

async fn read_token_file(path: &str) -> Result<String, AuthorizationError> {
    let read = tokio::fs::read(path).await;
    let bytes = read.map_err(|source| AuthorizationError::ReadToken {
        path: path.to_owned(),
        source,
    })?;
    let token = String::from_utf8(bytes).unwrap_or_default().trim().to_owned();
    let is_token = !token.is_empty() && token.len() <= LONGEST_TOKEN && HeaderValue::from_str(&token).is_ok();
    is_token
        .then_some(token)
        .ok_or_else(|| AuthorizationError::NoToken { path: path.to_owned() })
}

/// The admission rule of `tokenFile` says the same; a revision may be older than the rule.
fn may_be_sent(path: &Path) -> bool {
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    is_plain && path.starts_with(TOKENS) && path != Path::new(TOKENS) && !path.starts_with(OWN_TOKENS)
}

#[cfg(test)]
mod tests {
    use steadfast_crds::yaml;

    use super::*;

    fn header(auth: &str, key: &str) -> Vec<(String, String)> {
        let model: ModelSpec = yaml::from_str(&format!("{{name: m, auth: {auth}}}")).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer of the library"));
        Authorization::new(&model, key).unwrap().apply(&mut headers);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect()
    }

    #[test]
    fn a_key_is_sent_in_the_header_that_the_server_reads() {
        let sent = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(header("null", "key"), sent("authorization", "Bearer key"));
        assert_eq!(header("{}", "key"), sent("authorization", "Bearer key"));
        assert_eq!(header("{header: api-key}", "key"), sent("api-key", "key"));
        assert_eq!(
            header("{header: X-Api-Key, scheme: Key}", "key"),
            sent("x-api-key", "Key key")
        );
        assert_eq!(header("{scheme: ''}", "key"), sent("authorization", "key"));
        assert_eq!(header("{header: api-key}", ""), []);
    }

    #[tokio::test]
    async fn a_token_that_changed_is_read_again() {
        let file = std::env::temp_dir().join(format!("steadfast-token-{}", std::process::id()));
        let path = file.to_str().unwrap();
        for token in ["first-token", "second-token"] {
            std::fs::write(path, format!("{token}\n")).unwrap();
            assert_eq!(read_token_file(path).await.unwrap(), token);
        }
        for none in ["", "\n", "two\nlines"] {
            std::fs::write(path, none).unwrap();
            let error = read_token_file(path).await.unwrap_err();
            assert!(matches!(error, AuthorizationError::NoToken { .. }), "{none:?}: {error}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn only_mounted_tokens_are_read_and_never_the_workers_own() {
        for path in [
            "/etc/steadfast/encryption-keys/1",
            "/var/run/secrets",
            "/var/run/secrets/../../etc/passwd",
            "/var/run/secrets/kubernetes.io/serviceaccount/token",
            "token",
        ] {
            let error = read_token(path).await.unwrap_err();
            assert!(
                matches!(error, AuthorizationError::TokenNotAllowed { .. }),
                "{path}: {error}"
            );
        }
        let missing = read_token("/var/run/secrets/azure/tokens/none").await.unwrap_err();
        assert!(matches!(missing, AuthorizationError::ReadToken { .. }), "{missing}");
    }
}
