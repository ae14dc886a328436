//! Bearer tokens for the gateway, from the kubeconfig or from the API server.

use anyhow::{Context as _, anyhow};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::client::{Body, ConfigExt as _};
use kube::{Api, Client, Config};
use tower::{Layer as _, ServiceExt as _};

/// Long enough for a sitting.
const LIFETIME_SECONDS: i64 = 8 * 3600;

/// The token kube itself would send: a fixed one, one from a file, or one that
/// an exec plugin hands out. None when the kubeconfig uses a client certificate.
pub async fn of_kubeconfig(config: &Config) -> anyhow::Result<Option<String>> {
    let Some(layer) = config.auth_layer().context("read the kubeconfig's credentials")? else {
        return Ok(None);
    };
    // The layer adds the header to a request; a service that answers with that header tells the token.
    let echo = tower::service_fn(async |request: http::Request<Body>| {
        let header = request.headers().get(http::header::AUTHORIZATION).cloned();
        Ok::<_, tower::BoxError>(http::Response::new(header))
    });
    let header = layer
        .layer(echo)
        .oneshot(http::Request::new(Body::empty()))
        .await
        .map_err(|error| anyhow!("get a token by the kubeconfig's credentials: {error}"))?
        .into_body();
    let value = header.as_ref().and_then(|header| header.to_str().ok());
    Ok(value.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned))
}

/// Asks the API server for a token of a service account.
pub async fn request(client: &Client, namespace: &str, service_account: &str) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec {
        expiration_seconds: Some(LIFETIME_SECONDS),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest {
        spec,
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(service_account, &PostParams::default(), &request)
        .await
        .with_context(|| {
            format!(
                "the kubeconfig holds no token, and requesting one for service account {namespace}/{service_account} \
                 failed: pass --token, or --service-account with one you may create tokens for"
            )
        })?;
    Ok(answer
        .status
        .context("the API server answered a token request without a token")?
        .token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kube::config::AuthInfo;

    use super::*;

    fn config(auth_info: AuthInfo) -> Config {
        let mut config = Config::new("https://cluster.example".parse().unwrap());
        config.auth_info = auth_info;
        config
    }

    #[tokio::test]
    async fn the_token_of_a_kubeconfig_is_the_one_kube_would_send() {
        let auth_info = AuthInfo {
            token: Some("t0ken".to_owned().into()),
            ..AuthInfo::default()
        };
        assert_eq!(
            of_kubeconfig(&config(auth_info)).await.unwrap().as_deref(),
            Some("t0ken")
        );
    }

    #[tokio::test]
    async fn a_kubeconfig_without_a_token_has_none() {
        assert_eq!(of_kubeconfig(&config(AuthInfo::default())).await.unwrap(), None);
    }
}
