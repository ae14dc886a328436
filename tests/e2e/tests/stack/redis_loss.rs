//! A frozen Redis and a lost Redis, while an answer streams to a viewer.

use std::time::Duration;

use serde_json::json;
use steadfast_contract::activity_kind::ActivityKind;
use steadfast_e2e::{
    backend::stack::{continue_as_new, nonce_tool, runs, tools_worker},
    history::scheduled_activities,
};
use steadfast_testkit::{
    RedisData,
    scripted_model::{Gate, Reply, Text},
    stack::{Agent, AgentSetup, Line, Stack, TIMEOUT, Task, Viewer},
    temporal::count_events,
    wait,
};
use tokio::time::{Instant, sleep_until};

const ANSWER: &str = "One two three four five six seven eight nine ten.";

/// A task in the middle of the answer to its second message.
struct StreamingTask {
    agent: Agent,
    task: Task,
    viewer: Viewer,
    gate: Gate,
    /// The messages of the first turn.
    before: Vec<Line>,
}

async fn in_the_middle_of_the_second_turn(stack: &Stack) -> StreamingTask {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("redis-loss", move |request| {
        match (request.last_user_text().as_str(), request.last_tool_output()) {
            ("First.", None) => Reply::call("nonce", &json!({"of": "first"})),
            ("First.", Some(output)) => Reply::text(output),
            _ => Reply::text(
                Text::words(ANSWER)
                    .every(Duration::from_millis(60))
                    .hold_after(6, &held),
            ),
        }
    })
    .tool("nonce", nonce_tool());
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "First.").await.unwrap();
    let before = task.lines().await.unwrap();
    assert_eq!(before.len(), 4, "{before:#?}");
    let viewer = task.watch().await.unwrap();
    task.send("Count.").await.unwrap();
    viewer
        .until("half of the answer", |seen| seen.last_text().contains("five"))
        .await
        .unwrap();
    StreamingTask {
        agent,
        task,
        viewer,
        gate,
        before,
    }
}

impl StreamingTask {
    fn expected(&self) -> Vec<Line> {
        let mut lines = self.before.clone();
        lines.extend([Line::user("Count."), Line::agent(ANSWER)]);
        lines
    }

    /// Waits until Temporal's history contains the end of the second turn's model call.
    async fn model_call_is_complete(&self, stack: &Stack) {
        wait::until(
            "the model call of the second turn to be complete",
            TIMEOUT,
            async || {
                let events = stack.temporal().history(self.task.id(), None).await?;
                // The first turn has two model calls and a tool call. All other activities append to the log.
                let (calls, open) = (
                    scheduled_activities(&events, ActivityKind::InvokeModel).len(),
                    count_events(&events, "ACTIVITY_TASK_SCHEDULED") - count_events(&events, "ACTIVITY_TASK_COMPLETED"),
                );
                anyhow::ensure!(
                    calls == 3 && open <= 1,
                    "{calls} model calls, {open} activities are open"
                );
                Ok(())
            },
        )
        .await
        .unwrap();
    }

    /// Checks that nothing is lost after Redis is available again.
    async fn check_nothing_is_lost(&self) {
        let expected = self.expected();
        let seen = self
            .viewer
            .until("the whole answer", |seen| seen.lines() == expected)
            .await
            .unwrap();
        self.task.until_lines(&expected).await.unwrap();
        assert_eq!(self.agent.model().journal().len(), 3, "{}", seen.summary());
        self.task.complete_turn(3, "Count again.").await.unwrap();
        let later = [expected, vec![Line::user("Count again."), Line::agent(ANSWER)]].concat();
        assert_eq!(self.task.lines().await.unwrap(), later);
        let seen = self
            .viewer
            .until("the third turn", |seen| seen.lines() == later)
            .await
            .unwrap();
        assert!(seen.closed.is_none(), "{}", seen.summary());
    }
}

#[tokio::test]
async fn a_turn_continues_while_redis_is_frozen_and_the_viewer_gets_the_whole_answer() {
    let stack = Stack::start().await.unwrap();
    let _tools = tools_worker(&stack);
    let task = in_the_middle_of_the_second_turn(&stack).await;
    stack.redis().freeze().unwrap();
    // The length of the outage, not of a wait for a condition.
    let until = Instant::now() + Duration::from_secs(20);
    task.gate.open();
    task.model_call_is_complete(&stack).await;
    assert!(Instant::now() < until, "the turn waited for Redis");
    sleep_until(until).await;
    stack.redis().thaw().unwrap();
    task.check_nothing_is_lost().await;
    // The model call could not tell the end of the turn; the workflow did later.
    let seen = task.task.watch().await.unwrap().until_turn_ended(3).await.unwrap();
    assert_eq!(seen.count("turn_ended"), 3, "{}", seen.summary());
}

#[tokio::test]
async fn a_viewer_gets_a_log_reset_with_all_messages_when_redis_restarts_empty() {
    let stack = Stack::start().await.unwrap();
    let _tools = tools_worker(&stack);
    let task = in_the_middle_of_the_second_turn(&stack).await;
    stack.redis().restart(RedisData::Empty).await.unwrap();
    task.gate.open();
    task.viewer
        .until("a log_reset", |seen| seen.count("log_reset") > 0)
        .await
        .unwrap();
    task.check_nothing_is_lost().await;
}

#[tokio::test]
async fn messages_can_be_read_while_redis_is_down() {
    let stack = Stack::start().await.unwrap();
    let agent = stack
        .agent(AgentSetup::new("no-redis", |_| Reply::text("Yes.")))
        .await
        .unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "one").await.unwrap();
    stack.redis().kill().await.unwrap();
    let mut expected = vec![Line::user("one"), Line::agent("Yes.")];
    assert_eq!(task.lines().await.unwrap(), expected);

    // The task itself works without Redis.
    task.send("two").await.unwrap();
    expected.extend([Line::user("two"), Line::agent("Yes.")]);
    task.until_lines(&expected).await.unwrap();
    stack.redis().restart(RedisData::Empty).await.unwrap();
    task.until_lines(&expected).await.unwrap();
    assert_eq!(agent.model().journal().len(), 2);
}

/// Ends a task while Redis is away: from before its last turn until the task has ended, and with it its last flush.
async fn ends_without_redis(data: RedisData) {
    let stack = Stack::start().await.unwrap();
    let _tools = tools_worker(&stack);
    let setup = AgentSetup::new("ends-without-redis", |request| match request.last_tool_output() {
        None => Reply::call("nonce", &json!({"of": request.last_user_text()})),
        Some(output) => Reply::text(output),
    })
    .tool("nonce", nonce_tool());
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "one").await.unwrap();
    let viewer = task.watch().await.unwrap();
    viewer.until_turn_ended(1).await.unwrap();
    let before = task.lines().await.unwrap();

    stack.redis().kill().await.unwrap();
    task.send("two").await.unwrap();
    let lines = wait::until("the answer", TIMEOUT, async || {
        let lines = task.lines().await?;
        anyhow::ensure!(lines.len() == 2 * before.len(), "{lines:#?}");
        Ok(lines)
    });
    let lines = lines.await.unwrap();
    assert_eq!(lines[..before.len()], before);
    task.complete().await.unwrap();
    // A task waits a minute for its log, and ends without it.
    wait::until("the end of the task", Duration::from_mins(3), async || {
        let task = task.describe().await?;
        anyhow::ensure!(task["status"] == "COMPLETED", "{task}");
        Ok(())
    })
    .await
    .unwrap();
    stack.redis().restart(data).await.unwrap();

    assert_eq!(task.lines().await.unwrap(), lines);
    assert_eq!(viewer.until_task_ended().await.unwrap(), "completed");
    let seen = viewer
        .until("all messages", |seen| seen.lines() == lines)
        .await
        .unwrap();
    assert!(
        seen.count("turn_ended") > 1 || seen.count("log_reset") > 0,
        "{}",
        seen.summary()
    );
    let late = task.watch().await.unwrap();
    assert_eq!(late.until_task_ended().await.unwrap(), "completed");
    let seen = late.until("all messages", |seen| seen.lines() == lines).await.unwrap();
    assert_eq!(agent.model().journal().len(), 4, "{}", seen.summary());
}

#[tokio::test]
async fn a_task_that_ends_while_redis_is_away_is_shown_whole_when_it_is_back() {
    ends_without_redis(RedisData::Keep).await;
}

#[tokio::test]
async fn a_task_that_ends_while_redis_is_away_is_shown_whole_when_it_is_back_empty() {
    ends_without_redis(RedisData::Empty).await;
}

#[tokio::test]
async fn messages_that_a_summary_took_away_before_the_log_had_them_reach_it_from_an_earlier_run() {
    let stack = Stack::start().await.unwrap();
    // Each call reports 18 tokens: the window of 20 is full after every call.
    let setup = AgentSetup::new("summed-up-without-redis", |request| {
        if request.last_user_text().starts_with("Sum up the conversation") {
            return Reply::text("Summary.");
        }
        Reply::text(format!("Answer to {}.", request.last_user_text()))
    })
    .configure(|spec| spec.context.window_tokens = 20);
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "one").await.unwrap();
    let viewer = task.watch().await.unwrap();
    viewer.until_turn_ended(1).await.unwrap();

    stack.redis().kill().await.unwrap();
    for text in ["two", "three"] {
        task.send(text).await.unwrap();
        let answer = Line::agent(format!("Answer to {text}."));
        wait::until("the answer", TIMEOUT, async || {
            let lines = task.lines().await?;
            anyhow::ensure!(lines.last() == Some(&answer), "{lines:#?}");
            Ok(())
        })
        .await
        .unwrap();
    }
    let lines = task.lines().await.unwrap();
    let before = runs(&stack, &task).await.unwrap();
    continue_as_new(&stack, &task, before + 1).await;
    stack.redis().restart(RedisData::Keep).await.unwrap();

    task.complete_turn(4, "four").await.unwrap();
    let seen = viewer.until_turn_ended(4).await.unwrap();
    assert_eq!(seen.lines()[..lines.len()], lines, "{}", seen.summary());
    assert_eq!(task.lines().await.unwrap(), seen.lines());
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}
