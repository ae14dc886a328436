//! Scripts for the model that many tests use.

use serde_json::{Value, json};
use steadfast_testkit::scripted_model::{Gate, ModelRequest, Reply, Text};

/// Calls one tool, then answers with the tool's output.
pub fn call_then_repeat(
    tool: &'static str,
    arguments: Value,
) -> impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static {
    move |request| match request.last_tool_output() {
        None => Reply::call(tool, &arguments),
        Some(output) => Reply::text(output),
    }
}

/// Calls the tool `nonce` with the user's last message, then answers with the tool's output.
pub fn call_nonce_then_repeat(request: &ModelRequest) -> Reply {
    match request.last_tool_output() {
        None => Reply::call("nonce", &json!({"of": request.last_user_text()})),
        Some(output) => Reply::text(output),
    }
}

/// Answers with one word and holds every response there until the gate is open.
pub fn hold(word: &'static str, gate: &Gate) -> impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static {
    let gate = gate.clone();
    move |_| Reply::stream().and_text(word).and_hold(&gate)
}

/// Answers with this text. Holds the first response after `words` words until the gate is open.
pub fn hold_first(
    text: &'static str,
    words: usize,
    gate: &Gate,
) -> impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static {
    let gate = gate.clone();
    move |request| {
        let text = Text::words(text).every(std::time::Duration::from_millis(60));
        Reply::text(if request.number == 1 {
            text.hold_after(words, &gate)
        } else {
            text
        })
    }
}
