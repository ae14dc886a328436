//! What leaves the worker for addresses that a revision names: which addresses
//! may be connected to, which credentials may go there, and the
//! expansion of `${env.NAME}` in URLs and headers. Makes no request of its own.

pub(crate) mod credentials;
pub(crate) mod policy;
pub(crate) mod request_target;
