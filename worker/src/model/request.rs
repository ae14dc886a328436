//! The body of a model call. Pure.

use bytes::Bytes;
use steadfast_agent_loop::Segment;
use steadfast_crds::model::ModelApi;

use super::{
    conversation::items_to_send,
    providers::{chat, responses},
    request_body::RequestContext,
};
use crate::failure::CallFailure;

/// Builds the request body for the API that the revision names.
pub(crate) fn build_request<'a>(
    context: &RequestContext<'_>,
    transcript: impl IntoIterator<Item = &'a Segment>,
) -> Result<Bytes, CallFailure> {
    let items = items_to_send(transcript, &context.revision.agent);
    match context.revision.model.api {
        ModelApi::Responses => responses::build_request(context, &items),
        ModelApi::ChatCompletions => chat::build_request(context, &items),
    }
}
