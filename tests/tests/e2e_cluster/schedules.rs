//! Messages by the clock.

use serde_json::json;
use steadfast_platform::scripted_model::Reply;

use crate::namespace::{Namespace, PODS_PATIENCE};

pub async fn a_schedule_begins_a_task_each_time(namespace: Namespace) {
    let model = namespace.model(|_| Reply::text("I am awake.")).unwrap();
    let schedule = json!({"name": "often", "cron": "@every 3s", "message": "Wake up."});
    namespace
        .start_agent(&model, json!({"schedules": [schedule]}))
        .await
        .unwrap();
    let calls = model.until_calls(2, PODS_PATIENCE).await.unwrap();
    for call in &calls {
        assert_eq!(
            call.request.user_texts(),
            ["Wake up."],
            "each time is a task of its own"
        );
    }
    let status = namespace.status().await.unwrap();
    let synced = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "SchedulesSynced");
    assert_eq!(
        synced.map(|condition| condition.status.as_str()),
        Some("True"),
        "{:?}",
        status.conditions
    );
}
