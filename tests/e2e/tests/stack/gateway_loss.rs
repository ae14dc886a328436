//! The loss of the gateway while a viewer is connected.

use std::time::Duration;

use steadfast_testkit::{
    scripted_model::{Gate, Reply, Text},
    stack::{AgentSetup, Line, Stack},
};

#[tokio::test]
async fn a_viewer_resumes_without_gap_or_duplicate_when_the_gateway_is_killed() {
    let stack = Stack::start().await.unwrap();
    let gate = Gate::closed();
    let held = gate.clone();
    let answer = "One two three four five six seven eight nine ten.";
    let setup = AgentSetup::new("gateway-loss", move |_| {
        Reply::text(
            Text::words(answer)
                .every(Duration::from_millis(60))
                .hold_after(6, &held),
        )
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("Count.").await.unwrap();
    let half = viewer
        .until("half of the answer", |seen| seen.last_text().contains("five"))
        .await
        .unwrap();

    stack.gateway().kill().await.unwrap();
    // The workflow does not depend on the gateway: the answer continues during the outage.
    gate.open();
    stack.gateway().launch().await.unwrap();
    viewer.resume().await.unwrap();

    let seen = viewer.until_turn_ended(1).await.unwrap();
    let expected = [Line::user("Count."), Line::agent(answer)];
    assert_eq!(seen.lines(), expected, "{}", seen.summary());
    seen.check_gapless().unwrap();
    // A resumed viewer gets only the missing entries, not a new snapshot.
    assert_eq!(seen.count("log_reset"), half.count("log_reset"), "{}", seen.summary());
    assert_eq!(task.lines().await.unwrap(), expected);
    task.turn_completed(1).await.unwrap();
    assert_eq!(agent.model().journal().len(), 1);
}
