//! Definitions of our own activities: their types with inputs and results. The worker implements
//! them; what each does is said at [`ActivityKind`].

use serde_json::Value;
use steadfast_agent_loop::Segment;
use steadfast_contract::{
    activities::{
        Append, CancelRequest, CelCheck, GuardrailResult, HistoryRecord, HttpToolCall, HttpToolOutcome, LoadedRevision,
        LogAck, McpToolCall, McpToolOutcome, ModelCall, ModelOutcome, RevisionRequest, StatePageRequest, StatePart,
        StatePartRequest, StepCall, StepOutcome, Summary, WebhookCall,
    },
    activity_kind::ActivityKind,
    scheduled::{DeliveredTo, ScheduledMessage},
};
use steadfast_payload::Packed;
use temporalio_workflow::common::ActivityDefinition;

pub struct InvokeModel;
pub struct CallHttpTool;
pub struct AppendEvents;
pub struct LoadRevision;

pub struct CallMcpTool;
pub struct CallHttpStep;
pub struct RenderStep;
pub struct CheckCel;
pub struct CallWebhook;
pub struct Compact;
pub struct FetchStatePage;
pub struct FetchStatePart;
pub struct RecordInHistory;
pub struct CancelRunningCalls;
pub struct DeliverScheduledMessage;

macro_rules! definition {
    ($activity:ident, $input:ty => $output:ty) => {
        impl ActivityDefinition for $activity {
            type Input = Packed<$input>;
            type Output = Packed<$output>;

            fn name(&self) -> &str {
                ActivityKind::$activity.type_name()
            }
        }
    };
}

definition!(InvokeModel, ModelCall => ModelOutcome);
definition!(CallHttpTool, HttpToolCall => HttpToolOutcome);
definition!(AppendEvents, Append => LogAck);
definition!(LoadRevision, RevisionRequest => LoadedRevision);
definition!(CallMcpTool, McpToolCall => McpToolOutcome);
definition!(CallHttpStep, StepCall => StepOutcome);
definition!(RenderStep, StepCall => Value);
definition!(CheckCel, CelCheck => Vec<GuardrailResult>);
definition!(CallWebhook, WebhookCall => ());
definition!(Compact, ModelCall => Summary);
definition!(FetchStatePage, StatePageRequest => Vec<Segment>);
definition!(FetchStatePart, StatePartRequest => StatePart);
definition!(RecordInHistory, HistoryRecord => ());
definition!(CancelRunningCalls, CancelRequest => ());
definition!(DeliverScheduledMessage, ScheduledMessage => DeliveredTo);
