//! `steadfast dev` and `steadfast test`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::color::ColorArguments;

#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// Files and directories with manifests (*.yaml, *.yml, *.json).
    #[arg(required = true, value_name = "FILE|DIRECTORY")]
    pub(crate) paths: Vec<PathBuf>,
    /// The Agent to chat with. Default: the first one of the files.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Send this message, print the turn and exit.
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Run the Agents without a chat, until Ctrl-C.
    #[arg(long, conflicts_with = "message")]
    pub(crate) no_chat: bool,
    /// Begin a new conversation instead of continuing the last one.
    #[arg(long)]
    pub(crate) new: bool,
    /// Directory for everything that the next start continues with.
    #[arg(
        long,
        value_name = "DIRECTORY",
        env = "STEADFAST_STATE_DIR",
        default_value = ".steadfast"
    )]
    pub(crate) state_dir: PathBuf,
    /// Remove the content of the state directory first.
    #[arg(long)]
    pub(crate) clean: bool,
    /// Port of the gateway. Default: a free one.
    #[arg(long)]
    pub(crate) port: Option<u16>,
    #[command(flatten)]
    pub(crate) color: ColorArguments,
    #[command(flatten)]
    pub(crate) local: LocalArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// Directories with manifests, and with scripts in `tests/`.
    #[arg(required = true, value_name = "DIRECTORY")]
    pub(crate) directories: Vec<PathBuf>,
    /// Run only the scripts whose names contain this text.
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Format of the output.
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: TestFormat,
    #[command(flatten)]
    pub(crate) local: LocalArguments,
}

/// The format of the result of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For CI servers: the XML of JUnit.
    Junit,
}

/// What is needed to run Agents on this machine.
#[derive(Debug, Args)]
pub(crate) struct LocalArguments {
    /// Namespace of the Agents.
    #[arg(long, short, default_value = "default")]
    pub(crate) namespace: String,
    /// File with the values of credentials, one NAME=value per line. The environment has precedence.
    #[arg(long, value_name = "FILE", default_value = ".env")]
    pub(crate) env_file: PathBuf,
    /// Let the stand-in answer in place of every model, also where the key is set.
    #[arg(long)]
    pub(crate) stand_in: bool,
    /// The program temporal. Default: the one on PATH, or else a download.
    #[arg(long, value_name = "FILE")]
    pub(crate) temporal: Option<PathBuf>,
    /// The program valkey-server or redis-server. Default: the one on PATH, or else a download.
    #[arg(long, value_name = "FILE")]
    pub(crate) valkey: Option<PathBuf>,
    /// Directory for downloads. Default: steadfast in the cache directory of the user.
    #[arg(long, value_name = "DIRECTORY", env = "STEADFAST_CACHE")]
    pub(crate) cache: Option<PathBuf>,
    #[arg(long, env = "PATH", hide = true)]
    pub(crate) path: Option<String>,
    #[arg(long, env = "XDG_CACHE_HOME", hide = true)]
    pub(crate) xdg_cache_home: Option<PathBuf>,
    #[arg(long, env = "HOME", hide = true)]
    pub(crate) home: Option<PathBuf>,
}

impl LocalArguments {
    /// `--cache`, or else `$XDG_CACHE_HOME/steadfast`, or else `~/.cache/steadfast`.
    pub(crate) fn cache_dir(&self) -> anyhow::Result<PathBuf> {
        let of_user = || {
            let cache = self
                .xdg_cache_home
                .clone()
                .or_else(|| Some(self.home.as_ref()?.join(".cache")))?;
            Some(cache.join("steadfast"))
        };
        self.cache
            .clone()
            .or_else(of_user)
            .context("there is no cache directory: set HOME, or pass --cache")
    }
}
