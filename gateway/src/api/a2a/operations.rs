//! The operations of A2A, whatever the binding: send a message or an answer, read a task, follow it, cancel it.

use std::sync::Arc;

use a2a_types::{CancelTaskRequest, GetTaskRequest, SendMessageRequest, SubscribeToTaskRequest, Task, TaskState};
use axum::http::{HeaderMap, StatusCode};
use futures::{StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use steadfast_eventlog::reader::From;
use steadfast_events::{Author, Content, Message, TurnStatus};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{push_not_supported, refusal, task_not_found};
use crate::{
    a2a::{
        errors,
        ids::TaskId,
        input::{Answer, Incoming, InputError},
        turn::{Artifacts, Head, Turn},
    },
    access::{Action, Session},
    acknowledgement,
    agents::AgentEntry,
    api::{
        approvals::decide::decide_approval,
        tasks::interrupt_task,
        turn::{self, Thread, beginning, messages_of, take_in, turn_status, updates_of},
    },
    app::Gateway,
    attachments::MessageAttachments,
    error::ApiError,
    follow::Update,
    task::TaskRecord,
    turn_writer::TurnWriter as _,
};

const CANCELED: &str = "canceled by a client";

/// A request to an agent.
pub(super) struct Call {
    pub(super) gateway: Arc<Gateway>,
    pub(super) session: Session,
    pub(super) agent: Arc<AgentEntry>,
    pub(super) headers: HeaderMap,
}

/// A task, and what follows.
pub(super) struct Following {
    pub(super) turn: Turn,
    pub(super) updates: BoxStream<'static, Update>,
    /// The approval that was decided: the task waits for it no more, even if it does not say so yet.
    answered: Option<String>,
}

/// What became of a message.
pub(super) enum Sent {
    /// The task as it is.
    AsItIs(Turn),
    Followed(Following),
}

/// Whether the sender of a message waits for what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// As the request says.
    IfAsked,
    Always,
}

impl Following {
    /// Whether the task has ended, or waits for a person.
    pub(super) fn is_settled(&self) -> bool {
        let is_answered = self.answered.as_deref().is_some_and(|id| self.turn.asks(id));
        self.turn.has_ended() || (self.turn.is_interrupted() && !is_answered)
    }

    /// Waits for that. Nothing is lost when it is dropped and called again.
    pub(super) async fn wait(&mut self) -> Result<(), ApiError> {
        while !self.is_settled() {
            match self.updates.next().await {
                Some(Update::Error(reason)) => {
                    return Err(ApiError::new(StatusCode::FAILED_DEPENDENCY, reason).retryable(false));
                }
                Some(update) => drop(take_in(&mut self.turn, update)),
                None => {
                    return Err(ApiError::overloaded("the gateway stops; the task goes on").retryable(false));
                }
            }
        }
        Ok(())
    }
}

impl Call {
    /// Sends a message: to the task that waits for it, or as a task of its own.
    pub(super) async fn send(&self, request: SendMessageRequest, wait: Wait) -> Result<Sent, ApiError> {
        let configuration = request.configuration;
        let configured = configuration.as_ref();
        if configured.is_some_and(|configuration| configuration.task_push_notification_config.is_some()) {
            return Err(push_not_supported());
        }
        let returns = wait == Wait::IfAsked
            && configured.and_then(|configuration| configuration.return_immediately) == Some(true);
        let incoming = Incoming::read(request.message).map_err(malformed)?;
        if let Some(id) = incoming.task_id.clone() {
            return self.answer(&id, &incoming, returns).await;
        }
        let caller = &self.session.caller;
        let agent = self.gateway.agents.by_name(&self.agent.name);
        let agent = self.gateway.agent(caller, Action::WriteTasks, agent).await?;
        let thread = self.thread(&incoming).await?;
        let content = turn::text(incoming.text.clone());
        let sender = turn::Turn {
            gateway: &self.gateway,
            session: &self.session,
            headers: &self.headers,
            agent: &agent,
            message: content.clone(),
            opening: content,
            attachments: MessageAttachments {
                given: &incoming.files,
                param: "message.parts",
            },
            params: None,
            metadata: None,
            key: None,
            resent: Some(incoming.seed()),
        };
        let sent = sender.send(thread).await.map_err(unsupported_file)?;
        let id = TaskId {
            task: uuid(&sent.task.id)?,
            message: sent.message_id,
        };
        if returns {
            let (turn, _) = self.read(&sent.task, id).await?;
            return Ok(Sent::AsItIs(turn));
        }
        let turn = Turn::new(head_of(&sent.task, id));
        let updates = sent.updates(&self.gateway, &self.session).await;
        Ok(Sent::Followed(Following {
            turn,
            updates: updates.map_err(|error| error.retryable(false))?,
            answered: None,
        }))
    }

    /// The task of ours that a context is; a new one without a context.
    async fn thread(&self, incoming: &Incoming) -> Result<Thread, ApiError> {
        let (agent, caller) = (&self.agent, &self.session.caller);
        let (id, name) = match &incoming.context_id {
            None => (agent.keyed_task_id(caller.name(), &incoming.seed()), None),
            Some(context) => match self.context(Action::WriteTasks, context).await? {
                Some(task) => return Ok(Thread::Of(Box::new(task))),
                // A context that the client has made is a task with this name.
                None => (agent.named_task_id(caller.name(), context), Some(context.clone())),
            },
        };
        Ok(Thread::New {
            id,
            name,
            may_be_repeated: true,
        })
    }

    /// The task of ours that a context is: the one with this id, or the caller's with this name.
    pub(super) async fn context(&self, action: Action, context: &str) -> Result<Option<TaskRecord>, ApiError> {
        let (agent, caller) = (&self.agent, &self.session.caller);
        let mut ids = vec![agent.named_task_id(caller.name(), context).to_string()];
        if Uuid::parse_str(context).is_ok() {
            ids.insert(0, context.to_owned());
        }
        for id in ids {
            match self.gateway.task(caller, action, &id).await {
                Ok(task) if task.agent == agent.name && !task.is_nested() => return Ok(Some(task)),
                Ok(_) => {
                    return Err(ApiError::bad_request(
                        "the context is a conversation with another agent: a conversation stays with the agent it \
                         began with",
                    )
                    .param("message.contextId"));
                }
                Err(error) if error.status == StatusCode::NOT_FOUND => {}
                Err(error) => return Err(error.param("message.contextId")),
            }
        }
        Ok(None)
    }

    /// A message to a task: the answer to what it asks, and nothing else.
    async fn answer(&self, task_id: &str, incoming: &Incoming, returns: bool) -> Result<Sent, ApiError> {
        let (task, id) = self.task(Action::ReadTasks, task_id).await?;
        let head = head_of(&task, id);
        if let Some(context) = &incoming.context_id
            && *context != head.context_id
            && *context != task.id
        {
            return Err(ApiError::bad_request("contextId is not the context of the task").param("message.contextId"));
        }
        let (turn, start) = self.read(&task, id).await?;
        if turn.has_ended() {
            return Err(refusal(
                errors::UNSUPPORTED_OPERATION,
                "the task has ended: a message with its contextId alone begins the next one",
            ));
        }
        if !incoming.files.is_empty() {
            return Err(ApiError::bad_request(
                "an answer has no files: send them with a message that has the contextId alone",
            )
            .param("message.parts"));
        }
        let answer = match incoming.explicit_answer().map_err(malformed)? {
            Some(answer) => answer,
            None if turn.is_interrupted() => incoming.answer(turn.asked()).map_err(malformed)?,
            None => {
                return Err(refusal(
                    errors::UNSUPPORTED_OPERATION,
                    "the task works and waits for nothing: a message with its contextId alone is the next task, which \
                     begins when this one has ended",
                ));
            }
        };
        let updates = updates_of(&self.gateway, &self.session, task.clone(), start).await?;
        let answered = answer.approval_id.clone();
        self.decide(answer, &turn).await?;
        let mut following = Following {
            turn,
            updates,
            answered: Some(answered.clone()),
        };
        following.take_in_decision(&answered).await;
        Ok(if returns {
            Sent::AsItIs(following.turn)
        } else {
            Sent::Followed(following)
        })
    }

    async fn decide(&self, answer: Answer, turn: &Turn) -> Result<(), ApiError> {
        let unknown = || ApiError::bad_request("the task asks for no such approval").param("message.parts");
        if !turn.has_asked(&answer.approval_id) {
            return Err(unknown());
        }
        let asks = turn.asks(&answer.approval_id);
        let decided = decide_approval(
            &self.gateway,
            &self.session.caller,
            answer.approval_id,
            answer.verdict,
            answer.reason,
            answer.content,
        );
        decided.await.map_err(|error| match error.status {
            StatusCode::UNPROCESSABLE_ENTITY => ApiError::bad_request(error.message).param("message.parts"),
            // Who sees the task knows that it asks.
            StatusCode::NOT_FOUND if asks => ApiError::new(
                StatusCode::FORBIDDEN,
                "you may not decide the approvals of this agent: it needs update on agents/approvals",
            ),
            StatusCode::NOT_FOUND => unknown(),
            _ => error,
        })
    }

    pub(super) async fn get(&self, request: &GetTaskRequest) -> Result<Task, ApiError> {
        let history_length = history_length(request.history_length)?;
        let (task, id) = self.task(Action::ReadTasks, &request.id).await?;
        let (turn, _) = self.read(&task, id).await?;
        Ok(turn.task(history_length, Artifacts::Shown))
    }

    pub(super) async fn subscribe(&self, request: &SubscribeToTaskRequest) -> Result<Following, ApiError> {
        let (task, id) = self.task(Action::ReadTasks, &request.id).await?;
        let (turn, start) = self.read(&task, id).await?;
        if turn.has_ended() {
            return Err(refusal(
                errors::UNSUPPORTED_OPERATION,
                "the task has ended, nothing follows: GetTask has all of it",
            ));
        }
        let updates = updates_of(&self.gateway, &self.session, task, start).await?;
        Ok(Following {
            turn,
            updates,
            answered: None,
        })
    }

    /// Interrupts the turn; the conversation goes on.
    pub(super) async fn cancel(&self, request: &CancelTaskRequest) -> Result<Task, ApiError> {
        let (task, id) = self.task(Action::WriteTasks, &request.id).await?;
        let (turn, start) = self.read(&task, id).await?;
        if turn.has_ended() {
            return Err(refusal(errors::TASK_NOT_CANCELABLE, "the task has ended"));
        }
        if *turn.state() == TaskState::Submitted {
            // An interrupt stops the turn that runs, whose ever it is.
            return Err(refusal(
                errors::TASK_NOT_CANCELABLE,
                "the task waits for its turn: cancel it when it works",
            ));
        }
        let updates = updates_of(&self.gateway, &self.session, task.clone(), start).await?;
        interrupt_task(&self.gateway, &task, Some(CANCELED.to_owned())).await?;
        let mut following = Following {
            turn,
            updates,
            answered: None,
        };
        following.take_in_until(Turn::has_ended).await;
        Ok(following.turn.task(None, Artifacts::Shown))
    }

    /// The task of ours in which a task of A2A is a turn.
    async fn task(&self, action: Action, id: &str) -> Result<(TaskRecord, TaskId), ApiError> {
        let id: TaskId = id.parse().map_err(|_| task_not_found())?;
        match self.gateway.task(&self.session.caller, action, &id.task_id()).await {
            Ok(task) if task.agent == self.agent.name => Ok((task, id)),
            Ok(_) => Err(task_not_found()),
            Err(error) if error.status == StatusCode::NOT_FOUND => Err(task_not_found()),
            Err(error) if error.status == StatusCode::GONE => {
                Err(ApiError::new(StatusCode::NOT_FOUND, error.message).code(errors::TASK_NOT_FOUND))
            }
            Err(error) => Err(error),
        }
    }

    /// A task as the log has it now, or Temporal where the log lost it; and where what follows begins.
    async fn read(&self, task: &TaskRecord, id: TaskId) -> Result<(Turn, From), ApiError> {
        let gateway = &self.gateway;
        let _turn = gateway.load.heavy_request(&self.session.caller).await?;
        let log = task.own_log();
        let mut turn = Turn::new(head_of(task, id));
        let mut start = From::Start;
        if let Some(From::After(mut last)) = beginning(gateway, &log, &id.message_id()).await? {
            while !turn.has_ended() {
                let page = gateway.log.page_after(&log, Some(last)).await?;
                let Some(end) = page.last() else { break };
                last = end.id;
                for entry in &page {
                    turn.apply(&entry.event);
                }
            }
            start = From::After(last);
        } else {
            let messages = messages_of(gateway, task, &id.message_id()).await?;
            let messages = messages.ok_or_else(task_not_found)?;
            let has_log = gateway.log.tail(&log).await?.is_some();
            of_messages(&mut turn, task, &messages, has_log);
        }
        if task.status.is_terminal() {
            turn.end_unseen(turn_status(task.status));
        }
        Ok((turn, start))
    }
}

impl Following {
    /// Takes in updates up to the one that shows the decision, for a moment: a worker may be away.
    async fn take_in_decision(&mut self, approval_id: &str) {
        self.take_in_until(|turn| !turn.asks(approval_id)).await;
    }

    async fn take_in_until(&mut self, is_done: impl Fn(&Turn) -> bool) {
        let deadline = Instant::now() + acknowledgement::TIMEOUT;
        while !is_done(&self.turn) {
            let Ok(Some(update)) = timeout_at(deadline, self.updates.next()).await else {
                return;
            };
            take_in(&mut self.turn, update);
        }
    }
}

/// Takes in all that is known of a task whose log lost its beginning.
pub(super) fn of_messages(turn: &mut Turn, task: &TaskRecord, messages: &[Message], has_log: bool) {
    turn.catch_up(messages, None);
    turn.wait_for(&task.approvals);
    // A log lasts for days after its last entry: without one nothing has happened for so long. The turn whose last
    // word is a whole text of the agent, and that asks nobody, has ended.
    let number = messages
        .iter()
        .find(|message| is_of(message, turn))
        .map(|message| message.turn);
    let last = messages.iter().rfind(|message| Some(message.turn) == number);
    let is_answered = last.is_some_and(|message| {
        message.author == Author::Agent && message.status.is_final() && matches!(message.content, Content::Text { .. })
    });
    if !has_log && is_answered && !turn.is_interrupted() {
        turn.end_unseen(TurnStatus::Completed);
    }
}

fn is_of(message: &Message, turn: &Turn) -> bool {
    message.author == Author::User && message.id == turn.id().message_id()
}

/// What the turn of a task of ours has whatever it does. Its context is the task, by the name that a client gave it.
pub(super) fn head_of(task: &TaskRecord, id: TaskId) -> Head {
    let made = id.message.get_timestamp().map(|time| time.to_unix());
    let made =
        made.and_then(|(seconds, nanos)| Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok());
    Head {
        id,
        context_id: task.name.clone().unwrap_or_else(|| task.id.clone()),
        created_at: made.unwrap_or(task.created_at),
    }
}

/// How many of the latest messages a history has; all without a number.
pub(super) fn history_length(length: Option<i32>) -> Result<Option<usize>, ApiError> {
    length
        .map(usize::try_from)
        .transpose()
        .map_err(|_| ApiError::bad_request("historyLength must not be negative").param("historyLength"))
}

fn malformed(error: InputError) -> ApiError {
    let refused = ApiError::bad_request(error.message).param(error.field);
    match error.reason {
        Some(reason) => refused.code(reason),
        None => refused,
    }
}

/// A refused file under the name that A2A has for it.
fn unsupported_file(error: ApiError) -> ApiError {
    if error.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        error.code(errors::CONTENT_TYPE_NOT_SUPPORTED)
    } else {
        error
    }
}

fn uuid(id: &str) -> Result<Uuid, ApiError> {
    id.parse()
        .map_err(|error: uuid::Error| ApiError::internal("the id of the task is no UUID", error))
}
