//! Redis frozen, and Redis lost, while an answer streams and somebody watches.

use std::time::Duration;

use serde_json::json;
use steadfast_events::TurnStatus;
use steadfast_testkit::RedisData;
use steadfast_testkit::scripted_model::{Gate, Reply, Text};
use steadfast_testkit::stack::{Agent, AgentSetup, Line, PATIENCE, Stack, Task, TurnEnd, Viewer, activity_tool};
use steadfast_testkit::wait;
use tokio::time::{Instant, sleep_until};

use crate::shared::{TOOLS, tools};

const ANSWER: &str = "One two three four five six seven eight nine ten.";

/// A conversation with a turn behind it, in the middle of the answer to the second message.
struct Scene {
    agent: Agent,
    task: Task,
    viewer: Viewer,
    gate: Gate,
    /// What was said in the first turn.
    before: Vec<Line>,
}

async fn in_the_middle_of_the_second_turn(stack: &Stack) -> Scene {
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
    .tool(
        "nonce",
        activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}})),
    );
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "First.").await.unwrap().status, TurnStatus::Completed);
    let before = task.lines().await.unwrap();
    assert_eq!(before.len(), 4, "{before:#?}");
    let viewer = task.watch().await.unwrap();
    task.send("Count.").await.unwrap();
    viewer
        .until("five deltas", |seen| seen.count("text_delta") >= 6)
        .await
        .unwrap();
    Scene {
        agent,
        task,
        viewer,
        gate,
        before,
    }
}

impl Scene {
    fn expected(&self) -> Vec<Line> {
        let mut lines = self.before.clone();
        lines.extend([Line::user("Count."), Line::agent(ANSWER)]);
        lines
    }

    /// Waits for Temporal to say that the turn's model call is complete.
    async fn model_call_is_complete(&self, stack: &Stack) {
        wait::until(
            "the model call of the second turn to be complete",
            PATIENCE,
            async || {
                let events = stack.temporal().history(self.task.id(), None).await?;
                let count = |kind: &str| events.iter().filter(|event| event["eventType"] == kind).count();
                // Turn one: model, tool, model. Whatever else has completed only appended to the log.
                let of_model = events.iter().filter(|event| {
                    event["activityTaskScheduledEventAttributes"]["activityType"]["name"] == "invoke_model_activity"
                });
                let (calls, open) = (
                    of_model.count(),
                    count("EVENT_TYPE_ACTIVITY_TASK_SCHEDULED") - count("EVENT_TYPE_ACTIVITY_TASK_COMPLETED"),
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

    /// What must hold once Redis is back.
    async fn nothing_is_lost(&self) {
        let expected = self.expected();
        let seen = self
            .viewer
            .until("the whole answer", |seen| seen.lines() == expected)
            .await
            .unwrap();
        self.task.until_lines(&expected).await.unwrap();
        assert_eq!(self.agent.model().journal().len(), 3, "{}", seen.summary());
        let end: TurnEnd = self.task.turn(3, "Count again.").await.unwrap();
        assert_eq!(end.status, TurnStatus::Completed);
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
async fn a_turn_goes_on_while_redis_is_frozen_and_the_viewer_gets_the_whole_answer() {
    let stack = Stack::start().await.unwrap();
    let _tools = tools(&stack);
    let scene = in_the_middle_of_the_second_turn(&stack).await;
    stack.redis().freeze().unwrap();
    // How long Redis is away, not how long we wait for something.
    let until = Instant::now() + Duration::from_secs(20);
    scene.gate.open();
    scene.model_call_is_complete(&stack).await;
    assert!(Instant::now() < until, "the turn waited for Redis");
    sleep_until(until).await;
    stack.redis().thaw().unwrap();
    scene.nothing_is_lost().await;
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_told_to_the_viewer_and_nothing_is_lost() {
    let stack = Stack::start().await.unwrap();
    let _tools = tools(&stack);
    let scene = in_the_middle_of_the_second_turn(&stack).await;
    stack.redis().restart(RedisData::Empty).await.unwrap();
    scene.gate.open();
    scene
        .viewer
        .until("a log_reset", |seen| seen.count("log_reset") > 0)
        .await
        .unwrap();
    scene.nothing_is_lost().await;
}

#[tokio::test]
async fn messages_can_be_read_while_redis_is_away() {
    let stack = Stack::start().await.unwrap();
    let agent = stack
        .agent(AgentSetup::new("no-redis", |_| Reply::text("Yes.")))
        .await
        .unwrap();
    let task = agent.task().await.unwrap();
    task.turn(1, "one").await.unwrap();
    stack.redis().kill().await.unwrap();
    let mut expected = vec![Line::user("one"), Line::agent("Yes.")];
    assert_eq!(task.lines().await.unwrap(), expected);

    // The task itself needs no Redis at all.
    task.send("two").await.unwrap();
    expected.extend([Line::user("two"), Line::agent("Yes.")]);
    task.until_lines(&expected).await.unwrap();
    stack.redis().restart(RedisData::Empty).await.unwrap();
    task.until_lines(&expected).await.unwrap();
    assert_eq!(agent.model().journal().len(), 2);
}
