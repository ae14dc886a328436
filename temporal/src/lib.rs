//! The one way to Temporal: the flags of the three programs, TLS and the API key,
//! one connection policy, one retry policy, one classification of errors, and the
//! encryption of payloads.
//!
//! A program flattens [`TemporalArgs`] into its `args.rs`, turns them into
//! [`TemporalSettings`] when it starts, and makes either a [`TemporalClient`]
//! (operator and gateway: connects at the first request, every request is
//! bounded) or calls [`connect_until_stopped`] (worker: cannot do anything before
//! it is connected). Requests about workflows, schedules and history stand in the
//! programs. The TLS provider must be installed (`steadfast_process::crypto`).

#![warn(missing_docs)]

mod args;
mod client;
mod connect;
mod encryption;
mod error;
mod send;
mod settings;

pub use self::{
    args::TemporalArgs,
    client::TemporalClient,
    connect::{connect, connect_until_stopped},
    encryption::{CipherError, Codec, KeysError, Message, check_key_id},
    error::TemporalError,
    send::{Method, send},
    settings::{SettingsError, TemporalSettings},
};
