//! Which model at which endpoint wrote an answer. Pure.

use sha2::{Digest as _, Sha256};
use steadfast_crds::model::{ModelApi, ModelSpec};
use url::Url;

/// Bytes of the digest of a base URL.
const DIGEST_BYTES: usize = 8;

/// The origin of the answers of a model, as transcripts keep it. Two answers with one origin can be read by the same
/// model. The URL is a digest: a credential may be a part of it. Its query is not: it is often a version of the API.
pub(crate) fn origin(model: &ModelSpec, base_url: &Url) -> String {
    let api = match model.api {
        ModelApi::Responses => "responses",
        ModelApi::ChatCompletions => "chat",
    };
    let host = base_url.host_str().unwrap_or_default();
    let port = base_url.port_or_known_default().unwrap_or_default();
    let path = base_url.path().trim_end_matches('/');
    let endpoint = short_digest(&format!("{host}:{port}{path}"), DIGEST_BYTES);
    format!("{api}/{endpoint}/{}", model.name)
}

/// The first bytes of the SHA-256 of a text, in hexadecimal digits.
pub(crate) fn short_digest(text: &str, bytes: usize) -> String {
    let digest = Sha256::digest(text);
    digest.iter().take(bytes).fold(String::new(), |mut digits, byte| {
        for half in [byte >> 4, byte & 15] {
            digits.extend(char::from_digit(u32::from(half), 16));
        }
        digits
    })
}

#[cfg(test)]
mod tests {
    use steadfast_crds::yaml;

    use super::*;

    fn at(model: &str, url: &str) -> String {
        let model: ModelSpec = yaml::from_str(model).unwrap();
        origin(&model, &Url::parse(url).unwrap())
    }

    #[test]
    fn the_origin_is_the_api_the_endpoint_and_the_name_of_the_model() {
        let here = at("{name: m}", "https://a.test/v1");
        assert!(here.starts_with("responses/") && here.ends_with("/m"), "{here}");
        assert_eq!(here, at("{name: m}", "https://a.test:443/v1/?api-version=2"));
        for other in [
            at("{name: n}", "https://a.test/v1"),
            at("{name: m}", "https://b.test/v1"),
            at("{name: m}", "https://a.test/v2"),
            at("{name: m, api: ChatCompletions}", "https://a.test/v1"),
        ] {
            assert_ne!(here, other);
        }
    }

    #[test]
    fn a_credential_in_the_url_is_not_in_the_origin() {
        let origin = at("{name: m}", "https://a.test/key-12345678/v1");
        assert!(
            !origin.contains("key-12345678") && !origin.contains("a.test"),
            "{origin}"
        );
    }
}
