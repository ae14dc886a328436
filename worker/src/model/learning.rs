//! Asks a model until its server takes the form of the request, and remembers the form for each model and endpoint. A
//! refusal that teaches something is no failure of the call: the next request of the same attempt is sent without what
//! was refused.

use futures::StreamExt as _;
use steadfast_agent_loop::Segment;
use url::Url;

use super::{
    attachments::{Earlier, may_be_about_attachments, unsupported},
    client::{EventStream, ModelClient},
    conversation::Past,
    dialect::{Dialect, Lesson},
    failures,
    lessons::{Sent, lesson},
    origin::origin,
    request::{RequestForm, build_request},
    request_body::{BuiltRequest, RequestContext},
};
use crate::failure::{CallFailure, Refusal};

/// The most requests of one attempt. Each one but the last taught something.
const MOST_REQUESTS: usize = 16;

/// A question to a model.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub context: RequestContext<'a>,
    pub base_url: &'a Url,
    pub transcript: &'a [&'a Segment],
    /// What the model gets of its own past at most.
    pub past: Past,
    pub traceparent: Option<&'a str>,
}

/// Why the next request of an attempt has another form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Adaptation {
    Learned(Lesson),
    /// The conversation so far is sent in this form.
    Past(Past),
    /// Of the attachments of earlier messages, the names are sent.
    WithoutEarlierAttachments,
}

impl Adaptation {
    /// The name in metrics.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Learned(lesson) => lesson.label().into_owned(),
            Self::Past(Past::Text) => "past as text".to_owned(),
            Self::Past(_) => "plain past".to_owned(),
            Self::WithoutEarlierAttachments => "without earlier attachments".to_owned(),
        }
    }
}

impl ModelClient {
    /// Asks a model. `adapted` is told of each refusal that the next request of this attempt takes into account.
    pub(crate) async fn ask(
        &self,
        question: Question<'_>,
        mut adapted: impl FnMut(&Adaptation, &CallFailure),
    ) -> Result<EventStream, CallFailure> {
        let Question { context, base_url, .. } = question;
        let model = &context.revision.model;
        let origin = origin(model, base_url);
        let mut past = match question.past {
            Past::Own => self.learned.past(context.task_id, &origin),
            chosen => chosen,
        };
        let mut earlier_attachments = self.learned.earlier_attachments(context.task_id, &origin);
        // The refusal of the whole past, which the request without it may repeat.
        let mut of_past: Option<CallFailure> = None;
        let mut is_without_attachments = false;
        for number in 1..=MOST_REQUESTS {
            let dialect = self
                .learned
                .dialect(&origin, || Dialect::initial(model.dialect, base_url));
            let form = RequestForm {
                dialect: &dialect,
                origin: &origin,
                past,
                earlier_attachments,
            };
            let request = build_request(&context, form, question.transcript)?;
            let failure = match self.open(&question, &request).await {
                Ok(stream) => {
                    if of_past.is_some() {
                        self.learned.remember_past(context.task_id, &origin, past);
                    }
                    if is_without_attachments {
                        self.learned.remember_without_attachments(context.task_id, &origin);
                    }
                    return Ok(stream);
                }
                Err(failure) => failure,
            };
            let turn = context.attachments.turn;
            if let Some(failure) = unsupported(question.transcript, turn, &model.name, &failure) {
                return Err(failure);
            }
            let next = failure.refusal.as_deref().filter(|_| number < MOST_REQUESTS);
            let next = next.and_then(|refusal| self.next_form(&origin, &dialect, &request, refusal, &failure));
            match next {
                Some(adaptation) => {
                    adapted(&adaptation, &failure);
                    match adaptation {
                        Adaptation::Learned(_) => {}
                        Adaptation::WithoutEarlierAttachments => {
                            earlier_attachments = Earlier::Told;
                            is_without_attachments = true;
                        }
                        Adaptation::Past(simpler) => {
                            past = simpler;
                            of_past.get_or_insert(failure);
                        }
                    }
                }
                None => return Err(of_past.unwrap_or(failure)),
            }
        }
        Err(CallFailure::permanent(
            "model_request_refused",
            "the model API refuses every request",
        ))
    }

    /// What the next request does differently; none if the refusal is final.
    fn next_form(
        &self,
        origin: &str,
        used: &Dialect,
        request: &BuiltRequest,
        refusal: &Refusal,
        failure: &CallFailure,
    ) -> Option<Adaptation> {
        let sent = Sent {
            members: &request.members,
            of_messages: &request.of_messages,
        };
        if let Some(lesson) = lesson(refusal, sent)
            && self.learned.learn(origin, used, &lesson)
        {
            return Some(Adaptation::Learned(lesson));
        }
        // A refused image would end every later turn of its task.
        if request.has_earlier_attachments && may_be_about_attachments(refusal, failure) {
            return Some(Adaptation::WithoutEarlierAttachments);
        }
        let simpler = request.simpler_past.filter(|_| may_be_about_past(refusal, failure));
        simpler.map(Adaptation::Past)
    }

    /// Sends one request. An error that comes instead of the first event of the response counts as its refusal.
    async fn open(&self, question: &Question<'_>, request: &BuiltRequest) -> Result<EventStream, CallFailure> {
        let revision = question.context.revision;
        let opening = self.stream(revision, question.base_url, request.body.clone(), question.traceparent);
        let mut stream = opening.await?;
        let first = stream.next().await;
        if let Some(Ok(event)) = &first
            && let Some(failure) = failures::told_error(event)
        {
            return Err(failure);
        }
        Ok(Box::pin(futures::stream::iter(first).chain(stream)))
    }
}

/// Whether a request may have been refused for what the model itself had written. Servers say that in too many ways; a
/// second request without it tells.
fn may_be_about_past(refusal: &Refusal, failure: &CallFailure) -> bool {
    let of_item = || {
        let body = refusal.body.to_lowercase();
        ["item", "reasoning", "encrypted", "signature", "previous"]
            .iter()
            .any(|word| body.contains(word))
    };
    match refusal.status {
        400 | 422 => failure.category == "model_request_refused",
        404 | 500 => of_item(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
