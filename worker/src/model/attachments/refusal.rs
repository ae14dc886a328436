//! Whether the refusal of a request says that the model does not take images or files. Servers say it in many words, and
//! none has a code for it. Pure.

use steadfast_agent_loop::Segment;
use steadfast_attachments::Kind;
use steadfast_contract::failures::CONTEXT_LENGTH_EXCEEDED;

use super::{UNSUPPORTED, answered};
use crate::failure::{CallFailure, Refusal};

/// What servers call an image, in lower case.
const OF_IMAGES: [&str; 4] = ["image", "vision", "multimodal", "multi-modal"];
/// What servers call a file.
const OF_FILES: [&str; 3] = ["file", "document", "pdf"];
/// The words with which servers say that a model does not take something; each was read in reports about a real server.
const REFUSING: [&str; 15] = [
    // OpenAI: "Invalid content type. image_url is only supported by certain models."
    "only supported by certain models",
    "not support",
    "n't support",
    "unsupported",
    // Gemini, Mistral: "Image input is not enabled for this model".
    "not enabled",
    // vLLM: "At most 0 image(s) may be provided in one request", "… is not a multimodal model".
    "at most 0",
    "not a multimodal",
    // DeepSeek and other servers in Rust: "unknown variant `image_url`, expected `text`".
    "unknown variant",
    "unknown part type",
    // OpenRouter.
    "no endpoints found that support",
    // Ollama.
    "missing data required for image input",
    // llama.cpp: "image input is not supported - hint: … you may need to provide the mmproj".
    "mmproj",
    "does not accept",
    "cannot process",
    "unexpected content type",
];
/// Groq, and servers that read a content as nothing but a text.
const TEXT_ONLY: [&str; 6] = [
    "value must be a string",
    "input should be 'text'",
    "content must be a string",
    "content should be a string",
    "input should be a valid string",
    "expected a string",
];

/// The failure that a refusal is where it says that the model does not take what the answered message brings along;
/// `None` for another refusal.
pub(crate) fn unsupported(
    transcript: &[&Segment],
    turn: u32,
    model: &str,
    failure: &CallFailure,
) -> Option<CallFailure> {
    let refusal = failure.refusal.as_deref()?;
    let kinds: Vec<Kind> = answered(transcript, turn).map(|attachment| attachment.kind).collect();
    let kind = refused_kind(refusal, &kinds)?;
    let nouns = match kind {
        Kind::Image => "images",
        Kind::File => "these files",
    };
    Some(CallFailure::permanent(
        UNSUPPORTED,
        format!("the agent's model {model} does not take {nouns}: {}", failure.message),
    ))
}

/// Whether a request may have been refused for an attachment of an earlier message. A second request without it tells;
/// which words a server has for it does not matter, unless it says that it is at fault.
pub(crate) fn may_be_about_attachments(refusal: &Refusal, failure: &CallFailure) -> bool {
    match refusal.status {
        400 | 404 | 413 | 415 | 422 => failure.category != CONTEXT_LENGTH_EXCEEDED,
        500 | 501 => refused_kind(refusal, &[Kind::Image, Kind::File]).is_some(),
        _ => false,
    }
}

fn refused_kind(refusal: &Refusal, kinds: &[Kind]) -> Option<Kind> {
    if !matches!(refusal.status, 400 | 404 | 415 | 422 | 500 | 501) {
        return None;
    }
    let said = refusal.body.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&TEXT_ONLY) {
        return kinds.first().copied();
    }
    if !says(&REFUSING) {
        return None;
    }
    let is_named = |kind: &Kind| match kind {
        Kind::Image => says(&OF_IMAGES),
        Kind::File => says(&OF_FILES),
    };
    kinds.iter().copied().find(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str, kinds: &[Kind]) -> Option<Kind> {
        let body = body.to_owned();
        refused_kind(&Refusal { status, body }, kinds)
    }

    #[test]
    fn servers_say_in_many_words_that_a_model_takes_no_images() {
        for (status, body) in [
            (
                400,
                "Invalid content type. image_url is only supported by certain models.",
            ),
            (400, "At most 0 image(s) may be provided in one prompt."),
            (400, "qwen3-8b is not a multimodal model"),
            (400, "Image input modality is not enabled for models/gemma-3-1b-it"),
            (
                422,
                "Failed to deserialize the JSON body: messages[0]: unknown variant `image_url`, expected `text`",
            ),
            (404, "No endpoints found that support image input"),
            (400, "messages[0].content must be a string"),
            (
                500,
                "image input is not supported - hint: you may need to provide the mmproj",
            ),
            (400, "this model does not support image input (ref: b8bd630e)"),
            (
                500,
                "Failed to parse messages: Unsupported content part type: \"image_url\"",
            ),
            (500, "this model is missing data required for image input"),
        ] {
            assert_eq!(refused(status, body, &[Kind::Image]), Some(Kind::Image), "{body}");
            assert_eq!(refused(status, body, &[]), None, "{body}");
        }
        assert_eq!(
            refused(400, "Unknown part type: file", &[Kind::Image, Kind::File]),
            Some(Kind::File)
        );
    }

    #[test]
    fn any_refusal_may_be_about_an_earlier_image_and_an_outage_is_not() {
        let may = |status, body: &str, category| {
            let failure = CallFailure::permanent(category, body).refused(status, body);
            may_be_about_attachments(failure.refusal.as_deref().unwrap(), &failure)
        };
        assert!(may(400, "Invalid image", "model_request_refused"));
        assert!(may(500, "image input is not supported", "model_server_error"));
        assert!(!may(500, "internal error", "model_server_error"));
        assert!(!may(400, "too long", CONTEXT_LENGTH_EXCEEDED));
        assert!(!may(429, "slow down", "model_rate_limit"));
    }

    #[test]
    fn another_refusal_is_not_about_the_kind_of_attachment() {
        for (status, body) in [
            (400, "The image data you provided does not represent a valid image."),
            (400, "Unsupported parameter: 'temperature'"),
            (401, "image input is not supported"),
            (429, "image input is not supported at this rate"),
        ] {
            assert_eq!(refused(status, body, &[Kind::Image]), None, "{body}");
        }
    }
}
