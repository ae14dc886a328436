//! The activities of Steadfast, by their Temporal types.

/// Our own activities. Exhaustive on purpose: a new one must break every reader of histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActivityKind {
    /// One model call, streamed to the log while it runs.
    InvokeModel,
    /// One call of an `http` tool; a local activity where the tool says so.
    CallHttpTool,
    /// Appends the events of the outbox to the log.
    AppendEvents,
    /// Reads the newest revision of an agent, and whether our search attributes are registered; a local activity for
    /// the task's own agent.
    LoadRevision,
    /// One call of a tool of an MCP server.
    CallMcpTool,
    /// The HTTP request of one step of a `steps` tool, or of its compensation.
    CallHttpStep,
    /// Renders the arguments of one step from its templates; a local activity.
    RenderStep,
    /// Evaluates the guardrails of a stage that are CEL expressions; a local activity.
    CheckCel,
    /// Sends an event to a webhook.
    CallWebhook,
    /// Summarises the transcript.
    Compact,
    /// Reads segments of the run before, which were too large for the input of this run.
    FetchStatePage,
    /// Reads a part of the state that the run before has recorded for this run.
    FetchStatePart,
    /// Does nothing: its input stands in history, where other payloads refer to it.
    RecordInHistory,
    /// Cancels the running calls of a task wherever they run, without waiting for heartbeats; a local activity.
    CancelRunningCalls,
    /// Sends the message of a schedule to its task by signal-with-start.
    DeliverScheduledMessage,
}

impl ActivityKind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::InvokeModel,
        Self::CallHttpTool,
        Self::AppendEvents,
        Self::LoadRevision,
        Self::CallMcpTool,
        Self::CallHttpStep,
        Self::RenderStep,
        Self::CheckCel,
        Self::CallWebhook,
        Self::Compact,
        Self::FetchStatePage,
        Self::FetchStatePart,
        Self::RecordInHistory,
        Self::CancelRunningCalls,
        Self::DeliverScheduledMessage,
    ];

    /// Name of its Temporal activity type.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::InvokeModel => "invoke_model_activity",
            Self::CallHttpTool => "call_http_tool",
            Self::AppendEvents => "append_events",
            Self::LoadRevision => "load_revision",
            Self::CallMcpTool => "call_mcp_tool",
            Self::CallHttpStep => "call_http_step",
            Self::RenderStep => "render_step",
            Self::CheckCel => "check_cel",
            Self::CallWebhook => "call_webhook",
            Self::Compact => "compact_transcript",
            Self::FetchStatePage => "fetch_state_page",
            Self::FetchStatePart => "fetch_state_part",
            Self::RecordInHistory => "record_in_history",
            Self::CancelRunningCalls => "cancel_running_calls",
            Self::DeliverScheduledMessage => "deliver_scheduled_message",
        }
    }

    /// The activity of a type; `None` for activities that are not ours.
    pub fn parse(type_name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_name() == type_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_name_is_read_back_and_foreign_ones_are_not_ours() {
        for kind in ActivityKind::ALL {
            assert_eq!(ActivityKind::parse(kind.type_name()), Some(kind));
        }
        assert_eq!(ActivityKind::parse("get_weather"), None);
    }
}
