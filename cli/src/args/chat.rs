//! `steadfast chat`.

use clap::Args;

use super::connection::ConnectionArguments;

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
    /// Print without colours.
    #[arg(long, env = "NO_COLOR", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_color: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}
