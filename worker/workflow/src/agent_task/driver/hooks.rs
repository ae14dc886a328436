//! Calls the hooks of a revision. A hook that fails or takes too long is ignored: it never fails a turn.

use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_contract::activities::WebhookCall;
use steadfast_crds::agent::{Hook, HookEvent};
use steadfast_payload::foreign_result;
use temporalio_workflow::{common::UntypedActivity, workflows::join_all};

use super::{Context, commands, now, own_queues, read, update};
use crate::{activities::CallWebhook, activity_options, arguments::object_arguments, task::Task};

/// Messages that one hook may add for one event.
const MESSAGES_LIMIT: usize = 8;
/// Longest such message; it travels whole in the outbox.
const MESSAGE_LIMIT_BYTES: usize = 16 * 1024;

/// The effects of all hooks of one event.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// The message that the event is about is to be hidden.
    pub suppress: bool,
}

/// What a hook activity may answer.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    messages: Vec<String>,
    #[serde(default)]
    suppress: bool,
}

/// Calls the hooks of an event. `about` is built only when a hook listens.
pub(super) async fn tell(ctx: &Context, event: HookEvent, about: impl FnOnce() -> Value) -> Effects {
    let listening: Vec<(u32, Hook)> = read(ctx, |task| {
        let hooks = task
            .state
            .revision
            .as_ref()
            .map(|revision| revision.spec.hooks.as_slice());
        (0..)
            .zip(hooks.unwrap_or_default())
            .filter(|(_, hook)| hook.events.contains(&event))
            .map(|(index, hook)| (index, hook.clone()))
            .collect()
    });
    if listening.is_empty() {
        return Effects::default();
    }
    // Hooks may take long: the outbox must not wait for them.
    update(ctx, |task| task.local.piggyback_pending = false);
    let now = now(ctx);
    let about = about();
    let told = read(ctx, |task| {
        json!({
            "event": event, "task_id": task.start.task_id, "agent": task.acting_agent(),
            "turn": task.turn(), "time": now, "about": about,
        })
    });
    let answers = join_all(listening.iter().map(|(index, hook)| call(ctx, *index, hook, &told))).await;
    let mut effects = Effects::default();
    update(ctx, |task| {
        let turn = task.turn();
        for answer in answers {
            effects.suppress |= answer.suppress;
            for mut text in answer.messages.into_iter().take(MESSAGES_LIMIT) {
                text.truncate(text.floor_char_boundary(MESSAGE_LIMIT_BYTES));
                task.send_text(turn, now, text);
            }
        }
    });
    effects
}

async fn call(ctx: &Context, index: u32, hook: &Hook, event: &Value) -> Answer {
    let timeout = hook.timeout.as_std();
    if own_queues(ctx).is_some_and(|queues| queues.check_hook(hook).is_err()) {
        return Answer::default();
    }
    if let Some(activity) = &hook.activity {
        let queue = activity.task_queue.clone().or_else(|| read(ctx, Task::acting_queue));
        let Ok(arguments) = object_arguments(event) else {
            return Answer::default();
        };
        let Ok(arguments) = commands::admit_plain(ctx, "the event of a hook", arguments).await else {
            return Answer::default();
        };
        let called = ctx.execute_activity(
            UntypedActivity::new(&activity.name),
            arguments,
            activity_options::hook(&activity.name, queue, timeout),
        );
        return match called.await {
            Ok(result) => foreign_result(&result.payloads)
                .ok()
                .and_then(|answer| serde_json::from_value(answer).ok())
                .unwrap_or_default(),
            Err(_) => Answer::default(),
        };
    }
    let (revision, queue) = read(ctx, |task| {
        let revision = task.state.revision.as_ref().map(|revision| revision.name.clone());
        (revision.unwrap_or_default(), task.acting_queue())
    });
    let request = WebhookCall {
        revision,
        hook: index,
        event: event.clone(),
    };
    // The response is not read, and the call may fail.
    if let Ok(request) = commands::admit(ctx, "the event of a webhook", request).await {
        let _ = ctx
            .execute_activity(CallWebhook, request, activity_options::hook("webhook", queue, timeout))
            .await;
    }
    Answer::default()
}
