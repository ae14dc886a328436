//! Activity: one attempt to post an event to a webhook.

use steadfast_contract::activities::WebhookCall;

use super::{Activities, ActivityScope};
use crate::failure::{ActivityFailure, CallFailure};

impl Activities {
    pub(super) async fn post_webhook(
        &self,
        scope: &ActivityScope<'_>,
        input: WebhookCall,
    ) -> Result<(), ActivityFailure> {
        let revision = scope.history.revision(&input.revision).await?;
        let hook = usize::try_from(input.hook)
            .ok()
            .and_then(|index| revision.spec.hooks.get(index));
        let Some((hook, webhook)) = hook.and_then(|hook| Some((hook, hook.webhook.as_ref()?))) else {
            return Err(CallFailure::permanent("hook_missing", "the revision has no such webhook").into());
        };
        self.webhooks
            .post(&revision.spec, webhook, &input.event, hook.timeout.as_std())
            .await?;
        Ok(())
    }
}
