//! Which versions of other people's software the tests run on.

use clap::ValueEnum;

/// The versions of Kubernetes, Helm, and the server that speaks the protocol of Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Versions {
    /// Those of the demo and of most test runs, with Valkey.
    #[default]
    Current,
    /// The oldest that are supported, with Redis.
    Oldest,
}

impl Versions {
    /// The variable that chooses them.
    pub const VARIABLE: &'static str = "STEADFAST_TEST_VERSIONS";

    /// The value of the variable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Oldest => "oldest",
        }
    }

    pub(crate) fn install_command(self) -> &'static str {
        match self {
            Self::Current => "cargo xtask tools",
            Self::Oldest => "cargo xtask tools --oldest",
        }
    }
}
