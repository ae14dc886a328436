//! What the console shows of costs, of deaths of workers and of the fleet, in a real browser.

use std::{fs, time::Duration};

use steadfast_e2e::browser::Browser;
use steadfast_testkit::{
    scripted_model::{Gate, Reply, Text},
    stack::{AgentSetup, GatewayOptions, Stack, TIMEOUT},
    wait,
};

const PRICES: &str = "{currency: USD, models: [{model: '*', input: 1000, output: 1000}]}";

#[tokio::test]
async fn the_timeline_explains_a_turn_and_the_fleet_counts_it() {
    let directory = tempfile::tempdir().unwrap();
    let prices = directory.path().join("prices.yaml");
    fs::write(&prices, PRICES).unwrap();
    let ui = "https://temporal.example.com/namespaces/{namespace}/workflows/{workflowId}/{runId}";
    let stack = Stack::start_with_gateway(GatewayOptions {
        variables: vec![
            ("STEADFAST_MODEL_PRICES", prices.display().to_string()),
            ("STEADFAST_TEMPORAL_UI_URL", ui.to_owned()),
            ("STEADFAST_TRACE_URL", "https://traces.example.com/{traceId}".to_owned()),
        ],
        ..GatewayOptions::default()
    })
    .await
    .unwrap();
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("console-timeline", move |_| {
        let text = Text::words("One two three four five six seven eight nine ten.");
        Reply::text(text.every(Duration::from_millis(20)).hold_after(5, &held))
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let timeline = format!("#/tasks/{}/timeline", task.id());
    let browser = Browser::open(&format!("{}/{timeline}", stack.url())).await.unwrap();
    task.send("Count.").await.unwrap();
    browser.see_within("tbody", "first token").await.unwrap();
    agent.worker().kill().await.unwrap();
    gate.open();
    agent.worker().launch().await.unwrap();
    task.turn_completed(1).await.unwrap();

    browser.see("1 attempt and").await.unwrap();
    browser
        .see_within("tbody", "the worker died or was cut off")
        .await
        .unwrap();
    browser.see_within("tbody", "$").await.unwrap();
    let workflow = format!(
        "a[href^='https://temporal.example.com/namespaces/default/workflows/{}/']",
        task.id()
    );
    assert_eq!(browser.count(&workflow).await.unwrap(), 1);
    let trace = format!("a[href='https://traces.example.com/{}']", task.id().replace('-', ""));
    assert_eq!(browser.count(&trace).await.unwrap(), 1);
    browser.check_accessibility().await.unwrap();

    // The gateway picks up the change, and the page asks again.
    fs::write(&prices, PRICES.replace("USD", "EUR")).unwrap();
    browser.see_within("tbody", "€").await.unwrap();
    fs::write(&prices, PRICES.replace("USD", "dollars")).unwrap();
    browser.see("currency is \"dollars\"").await.unwrap();
    browser.see_within("tbody", "€").await.unwrap();

    browser.go("#/fleet").await.unwrap();
    let row = format!("[data-fleet='{}']", agent.name());
    browser.see_within(&row, agent.name().as_str()).await.unwrap();
    wait::until("the turn", TIMEOUT, async || {
        let turns = browser.count(&format!("{row} td:nth-of-type(1):text-is('1')")).await?;
        anyhow::ensure!(turns == 1, "it is not counted");
        Ok(())
    })
    .await
    .unwrap();
    browser.check_accessibility().await.unwrap();
    browser.click("button", "Table of Turns").await.unwrap();
    browser
        .see_within("[aria-label='Table of Turns']", "completed")
        .await
        .unwrap();
    browser.check_accessibility().await.unwrap();
    browser.view(390, 760, true).await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.check_behaviour().await.unwrap();
}
