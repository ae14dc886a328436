//! `steadfast chat`.

use clap::Args;

use super::{color::ColorArguments, connection::ConnectionArguments};

#[derive(Debug, Args)]
pub(crate) struct ChatArguments {
    /// Name of the Agent.
    pub(crate) agent: String,
    /// Continue this task instead of creating a new one.
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,
    /// Send this message, print the turn and exit. Without it, each line of standard input is a message.
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) color: ColorArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}
