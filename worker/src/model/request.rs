//! The body of a model call. Pure.

use steadfast_agent_loop::Segment;
use steadfast_crds::model::ModelApi;

use super::{
    attachments::Earlier,
    conversation::{CallForm, CallIds, Past, Reader, conversation},
    dialect::{Dialect, Habit},
    providers::{chat, responses},
    request_body::{BuiltRequest, RequestContext, offers_tools},
};
use crate::failure::CallFailure;

/// The form of a request that the model server takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestForm<'a> {
    pub dialect: &'a Dialect,
    /// See [`origin`](super::origin::origin).
    pub origin: &'a str,
    pub past: Past,
    pub earlier_attachments: Earlier,
}

/// Builds the request for the API that the revision names.
pub(crate) fn build_request(
    context: &RequestContext<'_>,
    form: RequestForm<'_>,
    transcript: &[&Segment],
) -> Result<BuiltRequest, CallFailure> {
    let revision = context.revision;
    let reader = Reader {
        agent: &revision.agent,
        origin: form.origin,
        api: revision.model.api,
        past: form.past,
        calls: if offers_tools(context) && form.past != Past::Text {
            CallForm::Items
        } else {
            CallForm::Text
        },
        ids: if form.dialect.has(Habit::NineCharacterIds) {
            CallIds::NineCharacters
        } else {
            CallIds::Any
        },
        attachments: context.attachments,
        earlier_attachments: form.earlier_attachments,
    };
    let conversation = conversation(transcript, &reader);
    let simpler_past = match form.past {
        Past::Own if conversation.has_own => Some(Past::Plain),
        Past::Own | Past::Plain if conversation.has_calls => Some(Past::Text),
        Past::Own | Past::Plain | Past::Text => None,
    };
    let built = match revision.model.api {
        ModelApi::Responses => responses::build_request(context, form.dialect, &conversation),
        ModelApi::ChatCompletions => chat::build_request(context, form.dialect, &conversation),
    };
    built.map(|built| BuiltRequest {
        simpler_past,
        has_earlier_attachments: conversation.has_earlier_attachments,
        ..built
    })
}
