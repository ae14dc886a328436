//! A model that answers from fixtures, so that an agent can be tried without a
//! key. It serves the Responses API and the Chat Completions API, as streams.
//!
//! Fixtures are those of the package `@copilotkit/aimock`: a list of matches and
//! responses, of which the first match counts. Without a match, the answer repeats
//! the user's message and says that it comes from a stand-in.

#![warn(missing_docs)]

mod conversation;
mod fixtures;
mod render;
mod server;

pub use self::{
    fixtures::{Fixture, FixtureError, Fixtures},
    server::router,
};
