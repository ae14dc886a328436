//! The hidden commands that run one program for `steadfast dev`.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct SuperviseArguments {
    /// File for the output of the program.
    #[arg(long)]
    pub(crate) log: PathBuf,
    /// File that is locked, shared, while the program runs.
    #[arg(long)]
    pub(crate) lock: PathBuf,
    /// The program and its arguments.
    #[arg(required = true, last = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct SupervisedArguments {
    /// The process id of the supervisor.
    #[arg(long)]
    pub(crate) supervisor: i32,
    /// The program and its arguments.
    #[arg(required = true, last = true)]
    pub(crate) command: Vec<OsString>,
}
