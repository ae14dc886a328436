//! One run: a task, a message, a viewer that reconnects, and a look at what came of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use steadfast_events::TurnStatus;

use super::gaps::{self, Gaps, Received};
use crate::{
    bench::{
        paced_model::{TOOL, Work},
        stamps,
    },
    stack::{Agent, Line, Task, TurnEnd, Viewer, ViewerState},
    wait,
};

/// The longest time that a run may take.
const LIMIT: Duration = Duration::from_mins(5);
/// A client repeats a request that failed for this long.
const REQUEST_LIMIT: Duration = Duration::from_mins(2);

/// A run that has ended.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// Why it has not completed, or what was wrong with it.
    pub(super) problem: Option<String>,
    pub(super) gaps: Gaps,
    /// The longest time in which the viewer saw nothing new.
    pub(super) stall: Duration,
}

/// What a viewer has seen, and when it saw something new.
#[derive(Debug)]
struct Progress {
    frames: usize,
    last: Instant,
    longest: Duration,
}

impl Progress {
    fn note(&mut self, state: &ViewerState) {
        if state.frames.len() == self.frames {
            return;
        }
        let now = Instant::now();
        if self.frames > 0 {
            self.longest = self.longest.max(now.duration_since(self.last));
        }
        self.frames = state.frames.len();
        self.last = now;
    }
}

/// Runs one conversation to its end.
pub(super) async fn run(agent: &Agent, work: &Work) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome {
        began,
        ended: began,
        problem: None,
        gaps: Gaps::default(),
        stall: Duration::ZERO,
    };
    let limited = tokio::time::timeout(LIMIT, attempt(agent, work, &mut outcome)).await;
    let problem = match limited {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{}: {error:#}", work.run)),
        Err(_elapsed) => Some(format!("{}: it has not ended after {LIMIT:?}", work.run)),
    };
    outcome.problem = problem;
    outcome.ended = Instant::now();
    outcome
}

async fn attempt(agent: &Agent, work: &Work, outcome: &mut Outcome) -> anyhow::Result<()> {
    // The same name finds the same task, so that the request can be repeated.
    let task = wait::until("the task to be created", REQUEST_LIMIT, async || {
        agent.task_with(json!({"name": work.run})).await
    })
    .await?;
    let viewer = wait::until("the stream to open", REQUEST_LIMIT, async || task.watch().await).await?;
    wait::until("the message to be accepted", REQUEST_LIMIT, async || {
        task.send_with_key(&work.run, &work.to_string()).await
    })
    .await?;
    let mut progress = Progress {
        frames: 0,
        last: Instant::now(),
        longest: Duration::ZERO,
    };
    let end = until_turn_ended(&viewer, &mut progress).await?;
    outcome.stall = progress.longest;
    let state = viewer.state();
    outcome.gaps = gaps::count(&received(&state));
    ensure!(
        end.status == TurnStatus::Completed,
        "the turn has not completed: {end:?}"
    );
    check_messages(&task, &state, work).await
}

/// Reconnects as often as the stream ends.
async fn until_turn_ended(viewer: &Viewer, progress: &mut Progress) -> anyhow::Result<TurnEnd> {
    loop {
        let found = viewer
            .find("the end of the turn", |state| {
                progress.note(state);
                state.of_turn("turn_ended", 1).map(|frame| frame.data.clone())
            })
            .await;
        match found {
            Ok(end) => return serde_json::from_value(end).context("read the end of a turn"),
            Err(error) => tracing::debug!("{error:#}"),
        }
        // The gateway is away: the outer limit ends this.
        if let Err(error) = viewer.resume().await {
            tracing::debug!("{error:#}");
        }
    }
}

/// The viewer and the gateway show the same, complete messages, each once.
async fn check_messages(task: &Task, state: &ViewerState, work: &Work) -> anyhow::Result<()> {
    let seen = state.lines();
    let [
        Line::User(asked),
        Line::ToolRequest { name, .. },
        Line::ToolResponse { is_error, .. },
        Line::Agent(text),
    ] = seen.as_slice()
    else {
        anyhow::bail!("the viewer shows {seen:?}");
    };
    ensure!(
        *asked == work.to_string(),
        "the viewer shows another message: {asked:?}"
    );
    ensure!(name == TOOL && !is_error, "the tool has failed: {seen:?}");
    let deltas = stamps::find(text.as_bytes());
    ensure!(
        usize::try_from(work.deltas) == Ok(deltas.len()) && deltas.is_sorted_by(|a, b| a < b),
        "the answer has {} deltas, not {}, or not in order",
        deltas.len(),
        work.deltas
    );
    let shown = wait::until("the messages to be read", REQUEST_LIMIT, async || task.lines().await).await?;
    ensure!(shown == seen, "the gateway shows {shown:?}, the viewer {seen:?}");
    Ok(())
}

fn received(state: &ViewerState) -> Vec<Received> {
    let frames = state.frames.iter();
    frames
        .filter_map(|frame| match frame.kind.as_str() {
            "log_reset" => Some(Received::Reset(frame.id)),
            "connected" => None,
            _ => frame.id.map(Received::Entry),
        })
        .collect()
}
