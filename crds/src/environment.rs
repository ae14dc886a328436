//! Which environment variables a resource may set, and which ones it names in
//! text as `${env.NAME}`. Pure; nothing here reads an environment.

use std::collections::BTreeSet;

const REFERENCE_START: &str = "${env.";

/// Prefixes that belong to the worker's own wiring or would change how a
/// process starts or connects.
const RESERVED_PREFIXES: [&str; 6] = ["TEMPORAL_", "REDIS_", "STEADFAST_", "KUBERNETES_", "LD_", "SSL_"];

/// The same rule as [`is_reserved`], for admission; `self` is the name.
pub(crate) const NOT_RESERVED_RULE: &str =
    "!self.matches('^(?i)((TEMPORAL_|REDIS_|STEADFAST_|KUBERNETES_|LD_|SSL_).*|PATH|.*_PROXY)$')";
pub(crate) const NOT_RESERVED_MESSAGE: &str = "is reserved: TEMPORAL_*, REDIS_*, STEADFAST_*, KUBERNETES_*, LD_*, SSL_*, PATH and *_PROXY belong to the worker itself";

/// True for a variable that no credential may set.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name == "PATH" || name.ends_with("_PROXY") || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The names in every `${env.NAME}` of `text`.
#[must_use]
pub fn referenced_variables(text: &str) -> BTreeSet<String> {
    text.split(REFERENCE_START)
        .skip(1)
        .filter_map(|tail| tail.split_once('}'))
        .map(|(name, _)| name.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_workers_own_wiring_are_reserved() {
        for name in [
            "TEMPORAL_ADDRESS",
            "REDIS_URL",
            "STEADFAST_AGENT",
            "KUBERNETES_SERVICE_HOST",
            "LD_PRELOAD",
            "SSL_CERT_FILE",
            "PATH",
            "https_proxy",
            "NO_PROXY",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["OPENAI_API_KEY", "PATHS", "MY_TEMPORAL_KEY", "PROXY_TOKEN"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn every_reference_in_a_text_is_found_once() {
        let found = referenced_variables("Bearer ${env.TOKEN} ${env.REGION}/${env.TOKEN} $env.NO ${env.OPEN");
        assert_eq!(found, BTreeSet::from(["TOKEN".to_owned(), "REGION".to_owned()]));
    }
}
