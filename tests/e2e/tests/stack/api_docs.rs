//! The page of the OpenAPI document in a real browser.

use steadfast_e2e::browser::Browser;
use steadfast_testkit::stack::{GatewayOptions, Stack};

const PREFIX: &str = "/ai/steadfast";

#[tokio::test]
async fn the_api_is_browsed_and_tried_out_below_a_prefix_and_asks_nobody_else() {
    let stack = Stack::start_with_gateway(GatewayOptions {
        variables: vec![("STEADFAST_PATH_PREFIX", PREFIX.to_owned())],
        ..GatewayOptions::default()
    })
    .await
    .unwrap();
    // Without the slash at the end, where the names of the files would mean something else.
    let browser = Browser::open(&format!("{}{PREFIX}/docs", stack.url())).await.unwrap();
    browser.until_title("Steadfast API").await.unwrap();
    browser.see("/agents/{agent_id}/rpc").await.unwrap();

    let operation = "#operations-agents-list_agents";
    browser.click_within(operation, "button", "get /agents").await.unwrap();
    browser.click_within(operation, "button", "Try it out").await.unwrap();
    browser.click_within(operation, "button", "Execute").await.unwrap();
    // There is no agent, and the request went below the prefix.
    let url = format!("{}{PREFIX}/agents", stack.url());
    browser
        .see_within(&format!("{operation} .request-url"), &url)
        .await
        .unwrap();
    browser
        .see_within(&format!("{operation} .live-responses-table"), "200")
        .await
        .unwrap();
    browser.check_behaviour().await.unwrap();
}
