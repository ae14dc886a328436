//! `steadfast approvals`.

use clap::{Args, Subcommand};

use super::{connection::ConnectionArguments, output::ListFormat};

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List pending approvals, the oldest first.
    List(ListApprovalsArguments),
    /// Approve a tool call, or answer a question.
    Approve(ApproveArguments),
    /// Reject a tool call or a question. The agent is told, and continues.
    Reject(DecideArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListApprovalsArguments {
    /// List only the approvals that this Agent requested.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// List only the approvals of this task.
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,
    /// Format of the output.
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: ListFormat,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveArguments {
    #[command(flatten)]
    pub(crate) decide: DecideArguments,
    /// The answer, if the approval has a form. It must fit the form's JSON Schema.
    #[arg(long, value_name = "JSON")]
    pub(crate) answer: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DecideArguments {
    /// Id of the approval, as `steadfast approvals list` prints it.
    pub(crate) id: String,
    /// The reason of the decision. The agent is told the reason of a rejection.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}
