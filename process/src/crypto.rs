//! Chooses the one TLS provider of the process: ring. With two providers
//! compiled in, rustls cannot choose and panics at the first connection, so
//! every program and every test that opens TLS calls [`install`] first.

use std::{error::Error, io};

use crate::error_chain::causes;

/// Makes ring the process's TLS provider. Calling it again changes nothing.
pub fn install() {
    // An error means that a provider is installed already, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Whether an error says that TLS failed: a certificate that is not trusted, or a server that speaks no TLS.
#[must_use]
pub fn is_tls_error(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let mut inner = Some(cause);
        // The source of an I/O error is that of the error inside of it, and not this error.
        while let Some(cause) = inner {
            if cause.is::<rustls::Error>() {
                return true;
            }
            inner = cause
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
                .map(|cause| cause as _);
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_tls_is_found_within_errors_of_the_connection() {
        let tls = rustls::Error::General("no".to_owned());
        assert!(is_tls_error(&io::Error::other(io::Error::other(tls))));
        assert!(!is_tls_error(&io::Error::from(io::ErrorKind::ConnectionRefused)));
        assert!(!is_tls_error(&io::Error::other("no")));
    }
}
