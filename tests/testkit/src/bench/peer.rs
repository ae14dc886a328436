//! Other workers and ours side by side: the same work, the same Temporal, Redis and model, one contestant at a time,
//! in rounds.

mod arena;
mod contestant;
mod figures;
mod measure;
mod report;
mod side_server;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    files,
    stack::{BinaryDir, Stack},
    temporal::TemporalOptions,
    workspace,
};
use arena::Arena;
use measure::Measurer;

pub use contestant::Contestant;
pub use figures::{Figure, Line, Round};
pub use report::{PeerReport, page_with};

/// Where reports are kept.
const REPORTS: &str = "docs/benchmarks";
/// The page that shows them.
const PAGE: &str = "docs/benchmarks.md";

/// The size of the benchmark.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// Runs of a burst.
    pub runs: usize,
    pub rounds: usize,
    /// Who takes part.
    pub contestants: Vec<Contestant>,
    /// Without work, before the memory is read once more.
    pub rest: Duration,
    /// Deltas of an answer whose latency is measured, one every 20 ms.
    pub deltas: u32,
    /// Tool calls of the long conversation; 0 leaves it out.
    pub long_calls: u32,
    /// The commit of [`Contestant::Before`] and its programs.
    pub before: Option<(String, PathBuf)>,
    /// Cargo's profile of our programs, for the report.
    pub profile: String,
}

/// The options of the server that a stack for this benchmark needs.
pub fn temporal_options() -> TemporalOptions {
    TemporalOptions {
        metrics: true,
        ..TemporalOptions::default()
    }
}

/// Runs the benchmark on an unused stack.
pub async fn run(stack: &Stack, options: &PeerOptions) -> anyhow::Result<PeerReport> {
    let before = options.before.as_ref().map(|(_, programs)| BinaryDir::new(programs));
    let arena = Arena::new(stack, before)?;
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        // Nobody is always the first: the server gets slower with what it keeps.
        let mut contestants = options.contestants.clone();
        let places = contestants.len().max(1);
        contestants.rotate_left((round - 1) % places);
        for contestant in contestants {
            tracing::info!("round {round} of {}: {contestant}", options.rounds);
            rounds.push(measure(&arena, contestant, round, options).await);
        }
    }
    Ok(PeerReport {
        temporal: arena.api.server_version().await?,
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        profile: options.profile.clone(),
        runs: options.runs,
        rest_seconds: options.rest.as_secs(),
        long_calls: options.long_calls,
        before: options.before.as_ref().map(|(commit, _)| commit.clone()),
        rounds,
    })
}

/// All measurements of one contestant. One that fails is a note, and the others go on.
async fn measure(arena: &Arena<'_>, contestant: Contestant, round: usize, options: &PeerOptions) -> Round {
    let mut result = Round {
        contestant,
        round,
        figures: measure::Figures::new(),
        notes: Vec::new(),
    };
    let outcome = async {
        let running = arena.start(contestant, round).await?;
        let mut measurer = Measurer::new(arena, &running, options, round).await?;
        let mut notes = Vec::new();
        let mut note = |what: &str, outcome: anyhow::Result<()>| {
            if let Err(error) = outcome {
                tracing::warn!("{contestant}: {what}: {error:#}");
                notes.push(format!("{what}: {error:#}"));
            }
        };
        note("the idle worker", measurer.idle().await);
        note("warm-up", measurer.warm_up().await);
        note("burst", measurer.burst().await);
        note("rest", measurer.rest().await);
        note("latency", measurer.latency().await);
        note("messages", measurer.messages().await);
        note("kill", measurer.kill().await);
        // Once is enough for what takes minutes.
        if round == 1 && options.long_calls > 0 {
            note("long conversation", measurer.long_conversation().await);
        }
        result.notes.append(&mut notes);
        result.figures = measurer.figures;
        anyhow::Ok(())
    };
    if let Err(error) = outcome.await {
        tracing::warn!("{contestant}: {error:#}");
        result.notes.push(format!("start: {error:#}"));
    }
    result
}

/// The recorded reports, by the names of their files.
pub fn recorded() -> anyhow::Result<Vec<PeerReport>> {
    let dir = workspace::root().join(REPORTS);
    let Ok(entries) = std::fs::read_dir(&dir) else {
        return Ok(Vec::new());
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| is_report(path));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("read the report {}", path.display()))
    };
    paths.into_iter().map(read).collect()
}

fn is_report(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("peer-") && path.extension().is_some_and(|extension| extension == "json")
}

/// Records a report, in place of an earlier one of the same server and size, and generates the page anew.
pub fn record(report: &PeerReport) -> anyhow::Result<PathBuf> {
    let name = format!("peer-temporal-{}-{}-runs.json", report.temporal, report.runs);
    let path = workspace::root().join(REPORTS).join(name);
    let text = serde_json::to_string_pretty(report).context("write a report as JSON")?;
    files::write(&path, &format!("{text}\n"))?;
    generate_page()?;
    Ok(path)
}

/// Writes the recorded figures into the page.
pub fn generate_page() -> anyhow::Result<PathBuf> {
    let path = workspace::root().join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    files::write(&path, &page_with(&page, &recorded()?)?)?;
    Ok(path)
}
