//! What travels in histories apart from the commands that need it. A run records what is too large for
//! its commands, and fetches what was too large for its input, before anything else: the server deletes
//! the run before after the retention time.

use steadfast_agent_loop::{Segment, Step, StepId};
use steadfast_contract::{
    activities::{HistoryRecord, StatePageRequest, StatePart, StatePartRequest},
    failures::STATE_LOST,
    start::StartTask,
    state::whole_page,
    text_parts::TextParts,
};
use steadfast_payload::Packed;
use temporalio_workflow::WorkflowTermination;

use super::{Context, commands, failed, now, read, receive_early, update};
use crate::{
    activities::{FetchStatePage, FetchStatePart, RecordInHistory},
    activity_options,
    failure::CallError,
    state_pages::paginate_owned,
    task::Task,
};

/// Puts the state of the run before together.
pub(super) async fn fetch(ctx: &Context) -> Result<(), WorkflowTermination> {
    ctx.set_current_details("takes over from the run before");
    fetch_parts(ctx).await?;
    fetch_pages(ctx).await?;
    update(ctx, Task::restore_pages);
    Ok(())
}

async fn fetch_parts(ctx: &Context) -> Result<(), WorkflowTermination> {
    let Some(parts) = read(ctx, |task| task.state.parts.clone()) else {
        return Ok(());
    };
    let mut text = TextParts::default();
    for number in 0..parts.count {
        let request = StatePartRequest {
            run_id: parts.run_id.clone(),
            number,
        };
        let fetched = ctx
            .execute_activity(FetchStatePart, Packed(request), activity_options::fetch_state_page())
            .await;
        let Packed(StatePart { number, text: part }) = fetched.map_err(|error| lost(&CallError::from(error)))?;
        text.add(number, part);
    }
    let whole = text.join(parts.count).unwrap_or_default();
    update(ctx, |task| task.restore_parts(&whole)).map_err(|error| failed(STATE_LOST, &error.to_string()))?;
    receive_early(ctx);
    Ok(())
}

async fn fetch_pages(ctx: &Context) -> Result<(), WorkflowTermination> {
    let Some(pages) = read(ctx, |task| task.state.pages.clone()) else {
        return Ok(());
    };
    let mut first = 0;
    for page in pages.pages {
        let count = u32::try_from(page.len()).unwrap_or(u32::MAX);
        if let Some(segment) = whole_page(&page) {
            first += count;
            update(ctx, |task| task.take_page(vec![segment.clone()]));
            continue;
        }
        let request = StatePageRequest {
            run_id: pages.run_id.clone(),
            first,
            segments: page,
        };
        first += count;
        let fetched = ctx
            .execute_activity(FetchStatePage, Packed(request), activity_options::fetch_state_page())
            .await;
        let Packed(segments) = fetched.map_err(|error| lost(&CallError::from(error)))?;
        update(ctx, |task| task.take_page(segments));
    }
    Ok(())
}

fn lost(error: &CallError) -> WorkflowTermination {
    let (category, message) = error.describe();
    failed(STATE_LOST, &format!("{category}: {message}"))
}

/// What the next run is left. What is too large for its input is recorded in the history of this run first.
pub(super) async fn next_input(ctx: &Context) -> Result<StartTask, WorkflowTermination> {
    if let Step::CallTools(id, _) = read(ctx, |task| task.state.agent_run.next_step()) {
        record_outputs(ctx, id).await?;
    }
    let mut recorded = Vec::new();
    loop {
        let next_run = read(ctx, Task::continue_as_new);
        // Nothing may come between the state and the end of the run.
        if next_run.parts == recorded {
            return Ok(next_run.start);
        }
        recorded = next_run.parts;
        for (number, text) in (0..).zip(recorded.clone()) {
            record(ctx, HistoryRecord::StatePart(StatePart { number, text })).await?;
        }
    }
}

/// Records the outputs of a step that the task itself made and that are too large to travel whole.
pub(super) async fn record_outputs(ctx: &Context, id: StepId) -> Result<(), WorkflowTermination> {
    let now = now(ctx);
    let outputs: Vec<Segment> = read(ctx, |task| task.unrecorded_outputs(id, now));
    for page in paginate_owned(outputs) {
        record(ctx, HistoryRecord::Segments(page.clone())).await?;
        update(ctx, |task| {
            for output in &page {
                task.output_is_recorded(output);
            }
        });
    }
    Ok(())
}

async fn record(ctx: &Context, record: HistoryRecord) -> Result<(), WorkflowTermination> {
    let recorded = async {
        let record = commands::admit(ctx, "a record in history", record).await?;
        let running = ctx.execute_activity(RecordInHistory, record, activity_options::record_in_history());
        running.await.map_err(CallError::from)
    };
    match recorded.await {
        Ok(Packed(())) => Ok(()),
        Err(error) => Err(lost(&error)),
    }
}
