//! Fetches the pages of a state that was too large for the input of this run, before anything else:
//! the server deletes the run before after the retention time.

use steadfast_contract::{activities::StatePageRequest, failures::STATE_LOST};
use steadfast_payload::Packed;
use temporalio_workflow::WorkflowTermination;

use super::{Context, failed, read, update};
use crate::{activities::FetchStatePage, activity_options, failure, task::Task};

pub(super) async fn fetch(ctx: &Context) -> Result<(), WorkflowTermination> {
    let Some(pages) = read(ctx, |task| task.state.pages.clone()) else {
        return Ok(());
    };
    ctx.set_current_details("takes over from the run before");
    let mut first = 0;
    for page in pages.pages {
        let count = u32::try_from(page.len()).unwrap_or(u32::MAX);
        let request = StatePageRequest {
            run_id: pages.run_id.clone(),
            first,
            segments: page,
        };
        first += count;
        match ctx
            .execute_activity(FetchStatePage, Packed(request), activity_options::fetch_state_page())
            .await
        {
            Ok(Packed(segments)) => update(ctx, |task| task.take_page(segments)),
            Err(error) => {
                let (category, message) = failure::describe(&error);
                return Err(failed(STATE_LOST, &format!("{category}: {message}")));
            }
        }
    }
    update(ctx, Task::restore_pages);
    Ok(())
}
