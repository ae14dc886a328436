//! The growth of a task's history: one long turn of many model calls, each with a
//! tool result, in a conversation that starts with a long text.

mod conversation;
mod run_chain;

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;

use super::{
    statistics::{median, milliseconds, ratio, rounded},
    text_generator::{TextGenerator, compression_ratio},
};
use crate::{scripted_model::ModelCall, stack::Stack, temp_dir::TempDir, workspace};

const TASK_QUEUE: &str = "history-tools";

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct HistoryOptions {
    /// Model calls that call a tool. One more call answers.
    pub model_calls: usize,
    pub tool_result_bytes: usize,
    pub starting_text_bytes: usize,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self {
            model_calls: 100,
            tool_result_bytes: 5_000,
            starting_text_bytes: 835_000,
        }
    }
}

/// The report of the benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryReport {
    pub model_calls: usize,
    pub tool_result_bytes: usize,
    pub starting_text_bytes: usize,
    /// The ratio by which zstd shrinks the starting text.
    pub starting_text_zstd_ratio: f64,
    /// History of all runs during the first model call.
    pub history_bytes_before: usize,
    pub history_bytes_after: usize,
    pub history_events_after: usize,
    /// Events of the last run by type.
    pub events_by_type: BTreeMap<String, usize>,
    /// Runs of the task.
    pub runs: usize,
    /// JSON of the items that were added to the conversation meanwhile.
    pub new_item_bytes: usize,
    /// Growth of the history per byte of new items.
    pub growth_ratio: f64,
    pub seconds: f64,
    /// The first tenth of the calls.
    pub at_first: Tenth,
    /// The last tenth of the calls.
    pub at_last: Tenth,
    /// As many calls of a second conversation with the same start, right after the last tenth.
    pub at_first_again: Tenth,
    /// `median_milliseconds`: `at_last` to the mean of `at_first` and `at_first_again`.
    pub time_ratio: f64,
    /// `median_bytes`: `at_last` to `at_first`.
    pub bytes_ratio: f64,
}

/// The cost of one model call, including the tool call before it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tenth {
    /// From one call to the next.
    pub median_milliseconds: f64,
    pub mean_milliseconds: f64,
    /// History from one call to the next in the same run.
    pub median_bytes: usize,
}

/// Runs the benchmark on an unused stack.
pub async fn run(stack: &Stack, options: HistoryOptions) -> anyhow::Result<HistoryReport> {
    let mut generator = TextGenerator::new(42);
    let starting_text = generator.text(options.starting_text_bytes);
    let pages = TempDir::new("pages")?;
    let file = pages.path().join("pages.txt");
    std::fs::write(&file, generator.text(options.tool_result_bytes * options.model_calls))
        .context("write the pages")?;
    let script_file = workspace::root().join("tests/e2e/python/tools.py");
    let variables = [
        ("TASK_QUEUE", TASK_QUEUE),
        ("PAGES", file.to_str().context("convert a path to text")?),
    ];
    let _tools = stack.python_worker(&script_file, &variables)?;

    let long = conversation::run(stack, "history", options, &starting_text).await?;
    let calls = &long.calls;
    let tenth = (calls.len() / 10).max(2).min(calls.len());
    // Repeats the beginning right after the end, so that a change of the machine's speed shows.
    let beginning = HistoryOptions {
        model_calls: tenth,
        ..options
    };
    let short = conversation::run(stack, "history-again", beginning, &starting_text).await?;

    let after = run_chain::totals(stack, &long.task).await?;
    let new_item_bytes = conversation::new_item_bytes(calls)?;
    let bytes = run_chain::bytes_per_call(stack, &long.task).await?;
    let at_first = Tenth::of(&calls[..tenth], &bytes[..tenth.min(bytes.len())]);
    let at_last = Tenth::of(
        &calls[calls.len() - tenth..],
        &bytes[bytes.len() - tenth.min(bytes.len())..],
    );
    let at_first_again = Tenth::of(&short.calls, &run_chain::bytes_per_call(stack, &short.task).await?);
    let first_milliseconds = f64::midpoint(at_first.median_milliseconds, at_first_again.median_milliseconds);
    Ok(HistoryReport {
        model_calls: options.model_calls,
        tool_result_bytes: options.tool_result_bytes,
        starting_text_bytes: options.starting_text_bytes,
        starting_text_zstd_ratio: compression_ratio(&starting_text)?,
        history_bytes_before: long.before.bytes,
        history_bytes_after: after.bytes,
        history_events_after: after.events,
        events_by_type: run_chain::events_by_type(stack, &long.task).await?,
        runs: after.runs,
        new_item_bytes,
        growth_ratio: ratio(after.bytes.saturating_sub(long.before.bytes), new_item_bytes),
        seconds: long.seconds,
        at_first,
        at_last,
        at_first_again,
        time_ratio: rounded(at_last.median_milliseconds / first_milliseconds),
        bytes_ratio: ratio(at_last.median_bytes, at_first.median_bytes),
    })
}

impl Tenth {
    fn of(calls: &[ModelCall], bytes: &[usize]) -> Self {
        let intervals: Vec<f64> = calls
            .windows(2)
            .map(|pair| milliseconds(pair[1].received_at.duration_since(pair[0].received_at)))
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a number of calls")]
        let count = intervals.len() as f64;
        Self {
            mean_milliseconds: rounded(intervals.iter().sum::<f64>() / count),
            median_milliseconds: rounded(median(intervals, f64::total_cmp)),
            median_bytes: median(bytes.to_vec(), Ord::cmp),
        }
    }
}
