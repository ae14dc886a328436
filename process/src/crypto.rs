//! Chooses the one TLS provider of the process: ring. With two providers
//! compiled in, rustls cannot choose and panics at the first connection, so
//! every program and every test that opens TLS calls [`install`] first.

/// Makes ring the process's TLS provider. Calling it again changes nothing.
pub fn install() {
    // An error means that a provider is installed already, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
