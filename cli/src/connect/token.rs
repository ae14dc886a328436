//! Gets a bearer token for the gateway from the kubeconfig or from the API server.

use anyhow::{Context as _, anyhow};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::client::{Body, ConfigExt as _};
use kube::{Api, Client, Config};
use tower::{Layer as _, ServiceExt as _};

/// One working day.
const LIFETIME_SECONDS: i64 = 8 * 3600;

/// The token that kube sends to the API server: from the kubeconfig, a file or an
/// exec plugin. `None` when the kubeconfig uses a client certificate.
pub(super) async fn from_kubeconfig(config: &Config) -> anyhow::Result<Option<String>> {
    let Some(layer) = config.auth_layer().context("read the credentials of the kubeconfig")? else {
        return Ok(None);
    };
    // The layer adds the token to a request. This service returns the header of that request.
    let echo = tower::service_fn(async |request: http::Request<Body>| {
        let header = request.headers().get(http::header::AUTHORIZATION).cloned();
        Ok::<_, tower::BoxError>(http::Response::new(header))
    });
    let header = layer
        .layer(echo)
        .oneshot(http::Request::new(Body::empty()))
        .await
        .map_err(|error| anyhow!("get a token with the credentials of the kubeconfig: {error}"))?
        .into_body();
    let value = header.as_ref().and_then(|header| header.to_str().ok());
    Ok(value.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned))
}

/// Requests a token of a service account from the API server.
pub(super) async fn request(
    client: &Client,
    namespace: &str,
    service_account: &str,
    audience: Option<&str>,
) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec {
        expiration_seconds: Some(LIFETIME_SECONDS),
        audiences: audience.map(str::to_owned).into_iter().collect(),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest {
        spec,
        ..TokenRequest::default()
    };
    let response = accounts
        .create_token_request(service_account, &PostParams::default(), &request)
        .await
        .with_context(|| {
            format!(
                "the kubeconfig has no token for the gateway, and the request for a token of the service account \
                 {namespace}/{service_account} failed: pass --token, or pass --service-account with a service account \
                 that you may create tokens for"
            )
        })?;
    Ok(response
        .status
        .context("the response of the API server has no token")?
        .token)
}

#[cfg(test)]
mod tests {
    use kube::config::AuthInfo;

    use super::*;

    fn config(auth_info: AuthInfo) -> Config {
        let mut config = Config::new("https://cluster.example".parse().unwrap());
        config.auth_info = auth_info;
        config
    }

    #[tokio::test]
    async fn the_token_of_a_kubeconfig_is_the_token_that_kube_sends() {
        let auth_info = AuthInfo {
            token: Some("t0ken".to_owned().into()),
            ..AuthInfo::default()
        };
        assert_eq!(
            from_kubeconfig(&config(auth_info)).await.unwrap().as_deref(),
            Some("t0ken")
        );
    }

    #[tokio::test]
    async fn a_kubeconfig_without_a_token_has_none() {
        assert_eq!(from_kubeconfig(&config(AuthInfo::default())).await.unwrap(), None);
    }
}
