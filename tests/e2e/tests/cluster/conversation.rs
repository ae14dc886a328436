//! The documented example, applied as its README says, and a public client.

use serde_json::json;
use steadfast_e2e::{
    backend::{BackendAgent as _, cluster::namespace::Namespace},
    scenario::python_client::holds_a_conversation_with_a_tool_call,
};

pub(crate) async fn the_weather_example_answers_the_public_python_client(namespace: Namespace) {
    let (agent, output) = holds_a_conversation_with_a_tool_call(&namespace).await;
    assert_eq!(output["agent_names"], json!(["weather"]));
    for call in agent.model().journal() {
        assert!(call.request.instructions().starts_with("You are the weather desk."));
    }
}
