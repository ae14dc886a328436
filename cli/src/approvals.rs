//! `steadfast approvals`: what agents ask people, and the answer to it.

mod table;

use std::io::Write as _;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::args::{ApprovalsCommand, DecideArguments, ListApprovalsArguments};
use crate::connect;
use crate::gateway::{Outcome, Ruling, Verdict, Wanted};

pub async fn run(command: ApprovalsCommand) -> anyhow::Result<()> {
    match command {
        ApprovalsCommand::List(arguments) => list(arguments).await,
        ApprovalsCommand::Approve(arguments) => {
            let answer = match &arguments.answer {
                Some(text) => serde_json::from_str(text)
                    .with_context(|| format!("--answer must be JSON; a text needs quotes: '\"{text}\"'"))?,
                None => Value::Null,
            };
            decide(&arguments.decide, Verdict::Approve, answer).await
        }
        ApprovalsCommand::Reject(arguments) => decide(&arguments, Verdict::Reject, Value::Null).await,
    }
}

async fn list(arguments: ListApprovalsArguments) -> anyhow::Result<()> {
    let connection = connect::connect(&arguments.connection, arguments.namespace.as_deref()).await?;
    let wanted = Wanted {
        agent: arguments.agent.map(|agent| connection.agent_name(&agent)),
        task: arguments.task,
    };
    let waiting = connection.gateway.approvals(&wanted).await?;
    print(&table::table(&waiting, jiff::Timestamp::now()))
}

async fn decide(arguments: &DecideArguments, verdict: Verdict, answer: Value) -> anyhow::Result<()> {
    let connection = connect::connect(&arguments.connection, arguments.namespace.as_deref()).await?;
    let ruling = Ruling {
        verdict,
        reason: arguments.reason.clone().unwrap_or_default(),
        answer,
    };
    match connection.gateway.decide(&arguments.id, &ruling).await? {
        Outcome::Decided => print(match verdict {
            Verdict::Approve => "approved\n",
            Verdict::Reject => "rejected\n",
        }),
        Outcome::OnItsWay => print("the decision is on its way: the task takes it up as soon as a worker runs\n"),
        Outcome::Unfit(text) => bail!("{text}\ngive it with --answer JSON"),
        Outcome::TooLate { text, .. } => bail!("{text}"),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}
