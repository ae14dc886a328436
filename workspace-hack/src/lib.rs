//! Nothing. See this crate's manifest.
