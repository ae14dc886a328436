//! Why there is no connection to a server, as far as that says whether the next
//! attempt can have one: an outage passes, a name that does not exist and a
//! certificate that is not trusted mostly do not. Pure.

use std::{error::Error, io};

use steadfast_egress::EgressDenied;
use steadfast_process::{crypto::is_tls_error, error_chain::causes};

/// Why a connection was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionFault {
    /// The name server says that there is no such name.
    UnknownHost,
    /// There is a server, and no TLS with it.
    Tls,
    /// Refused, not reachable, too slow: whatever an outage looks like.
    Other,
}

/// The name server knows no address of a name.
#[derive(Debug, thiserror::Error)]
#[error("the name {name} does not exist")]
pub(super) struct UnknownHost {
    name: String,
    source: io::Error,
}

/// What the C libraries say (glibc, musl, macOS); the standard library has no kind for it. Not among them: a name server
/// that does not answer.
const NO_SUCH_NAME: [&str; 5] = [
    "name or service not known",
    "no address associated with hostname",
    "name does not resolve",
    "name has no usable address",
    "nodename nor servname provided",
];

/// The error of a lookup, with its kind.
pub(super) fn lookup_error(name: &str, error: io::Error) -> Box<dyn Error + Send + Sync> {
    let text = error.to_string().to_ascii_lowercase();
    if NO_SUCH_NAME.iter().any(|words| text.contains(words)) {
        let name = name.to_owned();
        return Box::new(UnknownHost { name, source: error });
    }
    Box::new(error)
}

impl ConnectionFault {
    /// The fault that an error of the HTTP client tells.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        if causes(error).any(<dyn Error>::is::<UnknownHost>) {
            Self::UnknownHost
        } else if is_tls_error(error) {
            Self::Tls
        } else {
            Self::Other
        }
    }
}

/// The denial among the causes of an error, if the egress policy is why a request failed.
pub(crate) fn find_denial<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a EgressDenied> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_is_told_apart_from_a_name_server_that_is_away() {
        let fault = |words: &str| {
            let error = io::Error::other(format!("failed to lookup address information: {words}"));
            let error = lookup_error("models.test", error);
            ConnectionFault::of(error.as_ref())
        };
        for words in [
            "Name or service not known",
            "No address associated with hostname",
            "Name does not resolve",
            "Name has no usable address",
            "nodename nor servname provided, or not known",
        ] {
            assert_eq!(fault(words), ConnectionFault::UnknownHost, "{words}");
        }
        for words in [
            "Temporary failure in name resolution",
            "Try again",
            "Non-recoverable failure in name resolution",
        ] {
            assert_eq!(fault(words), ConnectionFault::Other, "{words}");
        }
    }
}
