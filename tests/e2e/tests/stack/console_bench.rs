//! What the console costs a browser: how soon it is there, how it scrolls, whether it keeps up, and what it keeps. Not part
//! of a test run: `cargo test -p steadfast-e2e --profile ci --test stack -- --ignored console_bench` measures, and records
//! the figures in `docs/benchmarks`.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use steadfast_e2e::{
    backend::stack::{nonce_tool, tools_worker},
    browser::Browser,
};
use steadfast_testkit::{
    scripted_model::{ModelRequest, Reply, Text},
    stack::{AgentSetup, Stack, TIMEOUT, Viewer},
    tools::workspace,
    wait,
};

const LOADS: usize = 7;
/// Each has ten messages.
const TURNS: u32 = 100;
const MESSAGES: usize = 1000;
const PER_SECOND: usize = 100;
/// Deltas of each of two answers; the first one is watched for a minute.
const DELTAS: usize = 6000;
const WORDS_OF_A_PARAGRAPH: usize = 40;
const ANSWER: &str = "The **result** of all calls:\n\n| name | value |\n| --- | --- |\n| one | `1` |\n| two | `2` |\n\n\
                      - the first point, with a [link](https://example.com)\n- the second point\n\n```rust\nfn main() {}\n```\n";
/// An answer of 6,000 deltas takes a minute, and more on a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_mins(4);

/// A turn of ten messages: that of the user, reasoning, a text, three calls and their results, and an answer.
fn ten_messages(request: &ModelRequest) -> Reply {
    if request.last_tool_output().is_some() {
        return Reply::text(ANSWER);
    }
    let call = json!({"of": "a value that is as long as many are"});
    Reply::stream()
        .and_reasoning("Three calls are needed for this.")
        .and_text("I look at **three** things.")
        .and_call("nonce", &call)
        .and_call("nonce", &call)
        .and_call("nonce", &call)
}

/// Words that say which they are, in paragraphs.
fn numbered(count: usize) -> String {
    let word = |number: usize| {
        let ends = number.is_multiple_of(WORDS_OF_A_PARAGRAPH);
        format!("w{number:05}{}", if ends { "\n\n " } else { " " })
    };
    (1..=count).map(word).collect()
}

fn number_of(word: &str) -> usize {
    word.trim_start_matches('w').parse().unwrap_or_default()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn loads(stack: &Stack, browser: &Browser) -> Value {
    let mut loads = Vec::new();
    for _ in 0..LOADS {
        let load = browser.measure("load", json!({"url": stack.url()})).await.unwrap();
        loads.push(load);
    }
    let median_of = |name: &str| median(loads.iter().map(|load| load[name].as_f64().unwrap()).collect());
    let longest = |name: &str| {
        loads
            .iter()
            .map(|load| load[name].as_f64().unwrap())
            .fold(0.0, f64::max)
    };
    json!({
        "loads": LOADS,
        "transferred_bytes": loads[0]["bytes"],
        "first_paint_ms": {"median": median_of("first_paint_ms"), "longest": longest("first_paint_ms")},
        "interactive_ms": {"median": median_of("interactive_ms"), "longest": longest("interactive_ms")},
    })
}

async fn scroll(stack: &Stack) -> Value {
    let setup = AgentSetup::new("bench-long", ten_messages).tool("nonce", nonce_tool());
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    for turn in 1..=TURNS {
        task.complete_turn(turn, "Look at the three things, and tell me what they are.")
            .await
            .unwrap();
    }
    assert_eq!(task.messages().await.unwrap().len(), MESSAGES);
    let begin = Instant::now();
    let browser = Browser::open(&format!("{}/#/tasks/{}", stack.url(), task.id()))
        .await
        .unwrap();
    browser.see_within("[role=log]", "the second point").await.unwrap();
    let opened = begin.elapsed();
    browser.measure("watch_tasks", json!({})).await.unwrap();
    let notches = browser.measure("scroll_to_top", json!({})).await.unwrap();
    let tasks = browser.measure("long_tasks", json!({})).await.unwrap();
    browser.check_behaviour().await.unwrap();
    json!({
        "messages": MESSAGES,
        "opened_ms": u64::try_from(opened.as_millis()).unwrap(),
        "notches_of_the_wheel": notches,
        "messages_on_screen": browser.count("[data-message-id]").await.unwrap(),
        "long_tasks_ms": tasks,
    })
}

/// How many words the page is behind the reader of the same stream.
async fn behind(browser: &Browser, viewer: &Viewer) -> usize {
    let sent = viewer
        .state()
        .last_text()
        .split_whitespace()
        .last()
        .map_or(0, number_of);
    let shown = browser.measure("last_word", json!({})).await.unwrap();
    sent.saturating_sub(number_of(shown.as_str().unwrap_or_default()))
}

async fn memory(browser: &Browser, viewer: &Viewer) -> Value {
    let mut memory = browser.measure("memory", json!({})).await.unwrap();
    memory["events"] = json!(viewer.state().frames.len());
    memory
}

async fn stream(stack: &Stack) -> Value {
    let setup = AgentSetup::new("bench-stream", |_| {
        let pause = Duration::from_secs(1) / u32::try_from(PER_SECOND).unwrap();
        Reply::text(Text::words(numbered(DELTAS)).every(pause))
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    let browser = Browser::open(&format!("{}/#/tasks/{}", stack.url(), task.id()))
        .await
        .unwrap();
    browser.see("No messages yet.").await.unwrap();
    browser.measure("watch_tasks", json!({})).await.unwrap();
    task.send("Count.").await.unwrap();
    browser.see("w00200").await.unwrap();
    let mut memories = vec![memory(&browser, &viewer).await];
    let (begin, first_events) = (Instant::now(), viewer.state().frames.len());
    let mut lags = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    while viewer.state().of_turn("turn_ended", 1).is_none() {
        ticks.tick().await;
        lags.push(behind(&browser, &viewer).await);
        assert!(begin.elapsed() < ANSWERED_WITHIN, "the answer does not end");
    }
    let events = viewer.state().frames.len() - first_events;
    let seconds = begin.elapsed().as_secs_f64();
    let events_per_second = f64::from(u32::try_from(events).unwrap()) / seconds;
    browser.see_within("[data-status=done]", "w06000").await.unwrap();
    let tasks = browser.measure("long_tasks", json!({})).await.unwrap();
    memories.push(memory(&browser, &viewer).await);
    task.send("Once more.").await.unwrap();
    wait::until("the end of the next answer", ANSWERED_WITHIN, async || {
        let ended = viewer.state().of_turn("turn_ended", 2).is_some();
        anyhow::ensure!(ended, "it is being written");
        Ok(())
    })
    .await
    .unwrap();
    wait::until("both answers on the screen", TIMEOUT, async || {
        let shown = browser.count("[data-message-id][data-status=done]").await?;
        anyhow::ensure!(shown == 4, "{shown} messages are done");
        Ok(())
    })
    .await
    .unwrap();
    memories.push(memory(&browser, &viewer).await);
    browser.check_behaviour().await.unwrap();
    json!({
        "events": events,
        "seconds": seconds,
        "events_per_second": events_per_second,
        "deltas_behind_each_second": lags,
        "most_deltas_behind": lags.iter().max(),
        "long_tasks_ms": tasks,
        "memory": memories,
    })
}

#[tokio::test]
#[ignore = "measures for minutes, and writes docs/benchmarks/console.json"]
async fn record() {
    let stack = Stack::start().await.unwrap();
    let _tools = tools_worker(&stack);
    let some = AgentSetup::new("bench-some", |_| Reply::text("Yes."));
    let _agent = stack.agent(some).await.unwrap();
    let browser = Browser::open(&stack.url()).await.unwrap();
    let version = browser.measure("version", json!({})).await.unwrap();
    let load = loads(&stack, &browser).await;
    drop(browser);
    let report = json!({
        "chromium": version,
        "processors": std::thread::available_parallelism().unwrap().get(),
        "load": load,
        "scroll": scroll(&stack).await,
        "stream": stream(&stack).await,
    });
    let text = serde_json::to_string_pretty(&report).unwrap() + "\n";
    fs::write(workspace::root().join("docs/benchmarks/console.json"), text).unwrap();
}
