//! What the console costs a browser: how soon it is there, how it scrolls, whether it keeps up, and what it keeps. Not part
//! of a test run: `cargo xtask bench console` runs it, and reads what it writes.

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
    bench::console::report_path,
    scripted_model::{ModelRequest, Reply, Text},
    stack::{AgentSetup, Stack, TIMEOUT, Viewer},
    wait,
};

const LOADS: usize = 7;
/// Each has ten messages.
const TURNS: u32 = 100;
const MESSAGES: usize = 1000;
/// So that more than 100 events a second are left of them: the worker joins deltas that come while it writes.
const PER_SECOND: usize = 150;
/// Deltas of each of two answers; the first one is watched for a minute.
const DELTAS: usize = 9000;
const EVENTS_PER_SECOND: f64 = 100.0;
const WORDS_OF_A_PARAGRAPH: usize = 40;
const ANSWER: &str = "The **result** of all calls:\n\n| name | value |\n| --- | --- |\n| one | `1` |\n| two | `2` |\n\n\
                      - the first point, with a [link](https://example.com)\n- the second point\n\n```rust\nfn main() {}\n```\n";
const MAX_FIRST_PAINT_MS: f64 = 1000.0;
const MAX_INTERACTIVE_MS: f64 = 1500.0;
/// What the second answer may add to the heap, beside its own text.
const MAX_KEPT_BYTES: f64 = 2e6;
/// An answer of 9,000 deltas takes a minute, and more on a busy machine.
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

/// Words that say which they are, in paragraphs; short ones, because a page shows no Markdown above 60,000 characters.
fn numbered(count: usize) -> String {
    let word = |number: usize| {
        let ends = number.is_multiple_of(WORDS_OF_A_PARAGRAPH);
        format!("{number:05}{}", if ends { "\n\n " } else { " " })
    };
    (1..=count).map(word).collect()
}

fn number_of(word: &str) -> usize {
    word.parse().unwrap_or_default()
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
    let opening = browser.measure("long_tasks", json!({})).await.unwrap();
    browser.measure("trace", json!({})).await.unwrap();
    let notches = browser.measure("scroll_to_top", json!({})).await.unwrap();
    let longest = browser.measure("longest_traced", json!({})).await.unwrap();
    let tasks = browser.measure("long_tasks", json!({})).await.unwrap();
    browser.check_behaviour().await.unwrap();
    json!({
        "messages": MESSAGES,
        "opened_ms": u64::try_from(opened.as_millis()).unwrap(),
        "long_tasks_of_opening_ms": opening,
        "notches_of_the_wheel": notches,
        "messages_on_screen": browser.count("[data-message-id]").await.unwrap(),
        "long_tasks_ms": tasks,
        "longest_task_processor_ms": longest,
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
    browser.see("00200").await.unwrap();
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
    browser
        .see_within("[data-status=done]", &format!("{DELTAS:05}"))
        .await
        .unwrap();
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

/// What the report says that the page has not held, in words.
fn broken_promises(report: &Value) -> Vec<String> {
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let at_most = |what: &str, path: &str, limit: f64| {
        let value = number(path);
        let holds = value <= limit;
        (!holds).then(|| format!("{what}: {value:.0}, more than {limit:.0}"))
    };
    let long_tasks = report["scroll"]["long_tasks_ms"].as_array().map_or(0, Vec::len);
    let rate = number("/stream/events_per_second");
    let kept = number("/stream/memory/2/heap_bytes") - number("/stream/memory/1/heap_bytes");
    [
        at_most("first paint, ms", "/load/first_paint_ms/median", MAX_FIRST_PAINT_MS),
        at_most("interactive, ms", "/load/interactive_ms/median", MAX_INTERACTIVE_MS),
        (long_tasks > 0).then(|| format!("{long_tasks} tasks of 50 ms or more while the page was scrolled")),
        at_most(
            "deltas behind",
            "/stream/most_deltas_behind",
            f64::from(u32::try_from(PER_SECOND).unwrap()),
        ),
        (rate < EVENTS_PER_SECOND).then(|| format!("only {rate:.0} events a second were there to be shown")),
        (kept > MAX_KEPT_BYTES).then(|| format!("{kept:.0} bytes were kept of the second half of the events")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[tokio::test]
#[ignore = "measures for minutes: `cargo xtask bench console`"]
async fn measure() {
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
    let path = report_path();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    let broken = broken_promises(&report);
    assert!(broken.is_empty(), "{}", broken.join("; "));
}
