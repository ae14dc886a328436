//! URLs that are passed to a model.

use steadfast_egress::names_public_host;
use url::Url;

use crate::{limits::MAX_URL_BYTES, refusal::Refusal};

/// A URL that is passed to the model. A model server of one's own may fetch it from within the network, so it must not
/// name a place there: whoever writes to an agent is not trusted with that.
pub(crate) fn url_for_model(text: &str) -> Result<String, Refusal> {
    let refused = |why: &'static str| Err(Refusal::Malformed(why.into()));
    if text.len() > MAX_URL_BYTES {
        return Err(Refusal::Malformed(
            format!("the URL of an attachment is at most {MAX_URL_BYTES} bytes long").into(),
        ));
    }
    let Ok(url) = Url::parse(text) else {
        return refused("the URL of an attachment must be an https URL, or a data URL with the content");
    };
    if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() {
        return refused(
            "the URL of an attachment must be an https URL without a password, or a data URL with the content",
        );
    }
    if !names_public_host(&url) {
        return refused("the URL of an attachment must name a public host");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        url_for_model(url).unwrap_err().to_string()
    }

    #[test]
    fn a_url_names_a_public_host_by_https() {
        for url in [
            "http://example.com/a.png",
            "file:///etc/passwd",
            "https://user:secret@example.com/a.png",
            "a.png",
        ] {
            assert!(refused(url).contains("data URL"), "{url}");
        }
        for url in [
            "https://localhost/a",
            "https://redis/a",
            "https://api.default.svc/a",
            "https://api.default.svc.cluster.local./a",
            "https://metadata.google.internal/a",
            "https://127.0.0.1/a",
            "https://2130706433/a",
            "https://10.1.2.3/a",
            "https://100.64.0.1/a",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/a",
            "https://[fd00::1]/a",
            "https://[::ffff:10.0.0.1]/a",
        ] {
            assert_eq!(
                refused(url),
                "the URL of an attachment must name a public host",
                "{url}"
            );
        }
        assert!(refused(&format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES))).contains("4096"));
    }
}
