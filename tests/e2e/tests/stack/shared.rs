//! The stack that most tests share.

use std::path::{Path, PathBuf};

use serde_json::Value;
use steadfast_testkit::stack::{PATIENCE, PythonWorker, Stack, Task, example};
use steadfast_testkit::wait;
use tokio::sync::OnceCell;

/// Where the activities of `python/tools.py` are served.
pub const TOOLS: &str = "test-tools";

struct Shared {
    stack: Stack,
    _weather: PythonWorker,
    _tools: PythonWorker,
}

/// Temporal, Redis, gateway, and the Python workers with tools. Ends with the process.
pub async fn stack() -> &'static Stack {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    let shared = SHARED.get_or_init(async || {
        let stack = Stack::start().await.unwrap();
        let weather = stack.python_worker(&example("weather/worker/worker.py"), &[]).unwrap();
        let tools = tools(&stack);
        Shared {
            stack,
            _weather: weather,
            _tools: tools,
        }
    });
    &shared.await.stack
}

/// A worker for the activities of `python/tools.py`.
pub fn tools(stack: &Stack) -> PythonWorker {
    stack
        .python_worker(&python("tools.py"), &[("TASK_QUEUE", TOOLS)])
        .unwrap()
}

/// A script of ours.
pub fn python(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// The runs of a task so far.
pub async fn runs(stack: &Stack, task: &Task) -> anyhow::Result<usize> {
    let query = format!("WorkflowId = '{}'", task.id());
    let arguments = ["workflow", "list", "--output", "json", "--query", &query];
    let listed: Vec<Value> = serde_json::from_str(&stack.temporal().cli(&arguments).await?)?;
    Ok(listed.len())
}

/// Has a task go on in a new run, which is then this many.
pub async fn checkpoint(stack: &Stack, task: &Task, count: usize) {
    let signal = ["workflow", "signal", "--workflow-id", task.id(), "--name", "checkpoint"];
    stack.temporal().cli(&signal).await.unwrap();
    wait::until("another run", PATIENCE, async || {
        let runs = runs(stack, task).await?;
        anyhow::ensure!(runs == count, "{runs} runs");
        Ok(())
    })
    .await
    .unwrap();
}
