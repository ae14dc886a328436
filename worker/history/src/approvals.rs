//! Approvals as they were requested, from the history of the run that waits.

use steadfast_agent_loop::{Body, SegmentRef, tool_call::arguments};
use steadfast_contract::approvals::place_of_approval;
use steadfast_events::{Approval, ApprovalKind};
use temporalio_common_wasm::protos::temporal::api::history::v1::HistoryEvent;

use crate::{payload::ReadHistoryError, view::HistoryView};

/// A pending approval with its whole arguments; `None` if the history does not have them.
pub fn whole_approval(history: &[HistoryEvent], cut: &Approval) -> Result<Option<Approval>, ReadHistoryError> {
    let view = HistoryView::read(history)?;
    if let Some(requested) = view.approvals.get(&cut.id) {
        return Ok(Some(requested.clone()));
    }
    Ok(arguments_of_call(&view, cut).map(|arguments| Approval {
        arguments,
        arguments_truncated: false,
        ..cut.clone()
    }))
}

/// The arguments of the call in the model's answer, which are those that run.
fn arguments_of_call(view: &HistoryView, cut: &Approval) -> Option<serde_json::Value> {
    match cut.kind {
        ApprovalKind::ToolCall | ApprovalKind::Question => {}
        ApprovalKind::Elicitation => return None,
    }
    let place = place_of_approval(&cut.id)?;
    let segment = view.segments.get(&SegmentRef::Model(place.turn, place.step))?;
    let Body::Model { items, .. } = &segment.body else {
        return None;
    };
    arguments(items.get(usize::try_from(place.index).ok()?)?).ok()
}
