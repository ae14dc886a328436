//! The stack that most tests share.

use std::path::{Path, PathBuf};

use steadfast_platform::stack::{PythonWorker, Stack, example};
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
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name)
}
