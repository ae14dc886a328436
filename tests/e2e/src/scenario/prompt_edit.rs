//! An edit of the prompt.

use steadfast_testkit::{scripted_model::Reply, stack::API_KEY};

use super::completed;
use crate::backend::{AgentOptions, Backend, BackendAgent as _};

/// An edited prompt reaches the next message and restarts no worker.
pub async fn reaches_the_next_message_and_restarts_nothing<B: Backend>(backend: &B) -> B::Agent {
    let options = AgentOptions {
        instructions: "Prompt A.",
        ..AgentOptions::new(|_| Reply::text("Yes."))
    };
    let agent = backend.start_agent(options).await.unwrap();
    let workers = agent.worker_processes().await.unwrap();
    assert_eq!(workers.len(), 1);
    let task = agent.task().await.unwrap();
    assert_eq!(task.complete_turn(1, "one").await.unwrap(), completed(1));

    // The first prompt again is a third revision.
    for (turn, prompt, text) in [(2, "Prompt B.", "two"), (3, "Prompt A.", "three")] {
        agent.set_instructions(prompt).await.unwrap();
        assert_eq!(task.complete_turn(turn, text).await.unwrap(), completed(1));
    }

    let calls = agent.model().journal();
    let prompts: Vec<&str> = calls.iter().map(|call| call.request.instructions()).collect();
    assert_eq!(prompts, ["Prompt A.", "Prompt B.", "Prompt A."]);
    assert_eq!(calls[2].request.user_texts(), ["one", "two", "three"]);
    let key = format!("Bearer {API_KEY}");
    assert!(calls.iter().all(|call| call.request.header("authorization") == key));
    assert_eq!(agent.worker_processes().await.unwrap(), workers);
    assert_eq!(agent.model().violations(), Vec::<String>::new());
    agent
}
