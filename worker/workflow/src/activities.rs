//! Our own activities as the workflow sees them: names, inputs, results. The
//! worker implements them; everything here is on the wire of running tasks.

use serde_json::Value;
use steadfast_agent_loop::Segment;
use steadfast_contract::{
    activities::{
        Append, Capabilities, CarriedRequest, CelCheck, CheckVerdict, HttpToolCall, HttpToolOutcome, LogAck,
        McpToolCall, McpToolOutcome, ModelCall, ModelOutcome, Revision, RevisionRequest, StepCall, StepOutcome,
        StopRequest, Summary, WebhookCall, name,
    },
    scheduled::{Delivered, Delivery},
};
use steadfast_payload::Packed;
use temporalio_workflow::common::ActivityDefinition;

/// One model call, streamed to the log while it runs.
pub struct InvokeModel;
/// One call of an `http` tool (a local activity where the tool says so).
pub struct CallHttpTool;
/// Brings what waits in the outbox to the log.
pub struct AppendEvents;
/// Reads the newest revision of the agent (a local activity).
pub struct LoadRevision;

/// One call of a tool of an MCP server.
pub struct CallMcpTool;
/// The HTTP request of one step of a `steps` tool, or of its compensation.
pub struct CallHttpStep;
/// The arguments of one step, from its templates (a local activity).
pub struct RenderStep;
/// The checks of a stage that are CEL expressions (a local activity).
pub struct CheckCel;
/// Tells a webhook of an event.
pub struct CallWebhook;
/// Sums up the transcript.
pub struct Compact;
/// Reads segments of the run before, which were too large to hand over.
pub struct FetchCarried;
/// Stops what runs for the task wherever it runs, without waiting for heartbeats (a local activity).
pub struct StopRunning;
/// What the server this worker is connected to can do (a local activity).
pub struct LoadCapabilities;
/// Sends the message of a delivery to its task, which it begins where there is none.
pub struct Deliver;

macro_rules! definition {
    ($activity:ty, $name:expr, $input:ty => $output:ty) => {
        impl ActivityDefinition for $activity {
            type Input = Packed<$input>;
            type Output = Packed<$output>;

            fn name(&self) -> &str {
                $name
            }
        }
    };
}

definition!(InvokeModel, name::INVOKE_MODEL, ModelCall => ModelOutcome);
definition!(CallHttpTool, name::CALL_HTTP_TOOL, HttpToolCall => HttpToolOutcome);
definition!(AppendEvents, name::APPEND_EVENTS, Append => LogAck);
definition!(LoadRevision, name::LOAD_REVISION, RevisionRequest => Option<Revision>);
definition!(CallMcpTool, name::CALL_MCP_TOOL, McpToolCall => McpToolOutcome);
definition!(CallHttpStep, name::CALL_HTTP_STEP, StepCall => StepOutcome);
definition!(RenderStep, name::RENDER_STEP, StepCall => Value);
definition!(CheckCel, name::CHECK_CEL, CelCheck => Vec<CheckVerdict>);
definition!(CallWebhook, name::CALL_WEBHOOK, WebhookCall => ());
definition!(Compact, name::COMPACT, ModelCall => Summary);
definition!(FetchCarried, name::FETCH_CARRIED, CarriedRequest => Vec<Segment>);
definition!(StopRunning, name::STOP_RUNNING, StopRequest => ());
definition!(LoadCapabilities, name::LOAD_CAPABILITIES, () => Capabilities);
definition!(Deliver, name::DELIVER, Delivery => Delivered);
