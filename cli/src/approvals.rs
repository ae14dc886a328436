//! `steadfast approvals`: lists pending approvals and decides them.

mod table;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::api::{Action, DecisionOutcome, DecisionRequest, Filter};
use crate::args::{ApprovalsCommand, DecideArguments, ListApprovalsArguments};
use crate::columns::Width;
use crate::connect;
use crate::progress::during;
use crate::stdout::{print, print_structured};

pub(crate) async fn run(command: ApprovalsCommand) -> anyhow::Result<()> {
    match command {
        ApprovalsCommand::List(arguments) => list(arguments).await,
        ApprovalsCommand::Approve(arguments) => {
            let answer = match &arguments.answer {
                Some(text) => serde_json::from_str(text)
                    .with_context(|| format!("--answer must be JSON; a text needs quotes: '\"{text}\"'"))?,
                None => Value::Null,
            };
            decide(&arguments.decide, Action::Approve, answer).await
        }
        ApprovalsCommand::Reject(arguments) => decide(&arguments, Action::Reject, Value::Null).await,
    }
}

async fn list(arguments: ListApprovalsArguments) -> anyhow::Result<()> {
    let connection = connect::connect(&arguments.connection).await?;
    let filter = Filter {
        agent: arguments.agent.map(|agent| connection.agent_name(&agent)),
        task: arguments.task,
    };
    let pending = during("list the approvals", connection.client.list_approvals(&filter)).await?;
    if let Some(format) = arguments.output.structured() {
        return print_structured(format, &pending);
    }
    let width = if arguments.output.is_wide() {
        Width::Wide
    } else {
        Width::Narrow
    };
    print(&table::table(&pending, width, jiff::Timestamp::now()))
}

async fn decide(arguments: &DecideArguments, action: Action, answer: Value) -> anyhow::Result<()> {
    let connection = connect::connect(&arguments.connection).await?;
    let request = DecisionRequest {
        action,
        reason: arguments.reason.clone().unwrap_or_default(),
        answer,
    };
    match during("decide", connection.client.decide(&arguments.id, &request)).await? {
        DecisionOutcome::Recorded => print(match action {
            Action::Approve => "approved\n",
            Action::Reject => "rejected\n",
        }),
        DecisionOutcome::Pending => {
            print("the decision is saved; the task continues as soon as a worker of the agent runs\n")
        }
        DecisionOutcome::InvalidAnswer(message) => bail!("{message}\npass the answer with --answer JSON"),
        DecisionOutcome::AlreadyClosed { message, .. } => bail!("{message}"),
    }
}
