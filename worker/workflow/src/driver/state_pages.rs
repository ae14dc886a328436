//! Fetches what the run before could not hand over in one piece, before anything
//! else happens: closed runs are deleted after the retention time.

use steadfast_contract::activities::CarriedRequest;
use steadfast_payload::Packed;
use temporalio_workflow::WorkflowTermination;

use super::{Context, failed, read, update};
use crate::{activities::FetchCarried, failure, options, task::Task};

pub(super) async fn fetch(ctx: &Context) -> Result<(), WorkflowTermination> {
    let Some(paged) = read(ctx, |task| task.state.paged.clone()) else {
        return Ok(());
    };
    ctx.set_current_details("takes over from the run before");
    let mut first = 0;
    for page in paged.pages {
        let count = u32::try_from(page.len()).unwrap_or(u32::MAX);
        let request = CarriedRequest {
            run_id: paged.run_id.clone(),
            first,
            segments: page,
        };
        first += count;
        match ctx
            .execute_activity(FetchCarried, Packed(request), options::fetch_carried())
            .await
        {
            Ok(Packed(segments)) => update(ctx, |task| task.take_page(segments)),
            Err(error) => {
                let (category, message) = failure::describe(&error);
                return Err(failed("StateLost", &format!("{category}: {message}")));
            }
        }
    }
    update(ctx, Task::restore_pages);
    Ok(())
}
