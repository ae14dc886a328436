//! Where people find a task outside of Steadfast: in Temporal's UI, and in the store of traces. Whoever runs the gateway
//! knows both addresses and says them as templates. Pure.

use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

/// Longest template.
const MAX_TEMPLATE_BYTES: usize = 2048;
/// Whatever an id contains, it does not leave its place in the URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');
/// What may stand in braces.
const PLACEHOLDERS: [&str; 4] = ["namespace", "workflowId", "runId", "traceId"];

/// The templates of a gateway; a link without one is not shown.
#[derive(Clone, Debug, Default)]
pub struct Links {
    pub temporal: Option<LinkTemplate>,
    pub trace: Option<LinkTemplate>,
}

/// A URL with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTemplate(String);

/// What a link is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Of Temporal.
    pub(crate) namespace: &'a str,
    pub(crate) workflow_id: &'a str,
    pub(crate) run_id: &'a str,
    /// `None` where the gateway does not know it: then a template that asks for it gives no link.
    pub(crate) trace_id: Option<&'a str>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkTemplateError {
    #[error("a template has at most {MAX_TEMPLATE_BYTES} bytes")]
    TooLong,
    #[error("there is no {{{0}}}: use {{namespace}}, {{workflowId}}, {{runId}} or {{traceId}}")]
    Placeholder(String),
    #[error("it must be an http or https URL with a host, such as https://temporal.example.com/…")]
    NoUrl,
    #[error("the scheme and the host may have no placeholder")]
    Host,
}

impl FromStr for LinkTemplate {
    type Err = LinkTemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(LinkTemplateError::TooLong);
        }
        for piece in pieces(text) {
            if let Piece::Placeholder(name) = piece
                && !PLACEHOLDERS.contains(&name)
            {
                return Err(LinkTemplateError::Placeholder(name.to_owned()));
            }
        }
        let (scheme, rest) = text.split_once("://").ok_or(LinkTemplateError::NoUrl)?;
        let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        if scheme.contains('{') || host.contains('{') {
            return Err(LinkTemplateError::Host);
        }
        let template = Self(text.to_owned());
        let example = Place {
            namespace: "default",
            workflow_id: "workflow",
            run_id: "run",
            trace_id: Some("trace"),
        };
        template.url(&example).ok_or(LinkTemplateError::NoUrl)?;
        Ok(template)
    }
}

impl LinkTemplate {
    /// The URL of a task; `None` where something that the template asks for is not known.
    pub(crate) fn url(&self, place: &Place<'_>) -> Option<String> {
        let mut filled = String::new();
        for piece in pieces(&self.0) {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Placeholder(name) => filled.extend(utf8_percent_encode(value(place, name)?, ENCODED)),
            }
        }
        let url = Url::parse(&filled).ok()?;
        let is_link = matches!(url.scheme(), "http" | "https") && url.has_host();
        is_link.then(|| url.to_string())
    }
}

fn value<'a>(place: &Place<'a>, name: &str) -> Option<&'a str> {
    let value = match name {
        "namespace" => place.namespace,
        "workflowId" => place.workflow_id,
        "runId" => place.run_id,
        _ => place.trace_id?,
    };
    (!value.is_empty()).then_some(value)
}

enum Piece<'a> {
    Text(&'a str),
    /// Its name.
    Placeholder(&'a str),
}

/// A name in braces is a placeholder. Other braces stay as they are: UIs have JSON in their URLs.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut text_bytes = 0;
    while let Some(open) = rest[text_bytes..].find('{').map(|at| at + text_bytes) {
        let name_bytes = rest[open + 1..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let close = open + 1 + name_bytes;
        if name_bytes > 0 && rest.as_bytes().get(close) == Some(&b'}') {
            pieces.push(Piece::Text(&rest[..open]));
            pieces.push(Piece::Placeholder(&rest[open + 1..close]));
            rest = &rest[close + 1..];
            text_bytes = 0;
        } else {
            text_bytes = open + 1;
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place {
        namespace: "default",
        workflow_id: "0194-a/../b?c#d",
        run_id: "run-1",
        trace_id: None,
    };

    fn url(template: &str, place: &Place<'_>) -> Option<String> {
        template.parse::<LinkTemplate>().unwrap().url(place)
    }

    #[test]
    fn a_placeholder_is_replaced_and_stays_in_its_place() {
        let template = "http://127.0.0.1:8233/namespaces/{namespace}/workflows/{workflowId}/{runId}/history";
        assert_eq!(
            url(template, &PLACE).unwrap(),
            "http://127.0.0.1:8233/namespaces/default/workflows/0194-a%2F%2E%2E%2Fb%3Fc%23d/run-1/history"
        );
    }

    #[test]
    fn a_trace_that_is_not_known_has_no_link() {
        let template = "https://traces.example.com/trace/{traceId}";
        assert_eq!(url(template, &PLACE), None);
        let known = Place {
            trace_id: Some("4bf92f35"),
            ..PLACE
        };
        assert_eq!(
            url(template, &known).unwrap(),
            "https://traces.example.com/trace/4bf92f35"
        );
    }

    #[test]
    fn braces_that_hold_no_name_stay() {
        let template = r#"https://grafana.example.com/explore?left={"query":"{traceId}"}"#;
        let known = Place {
            trace_id: Some("4bf9"),
            ..PLACE
        };
        assert_eq!(
            url(template, &known).unwrap(),
            "https://grafana.example.com/explore?left={%22query%22:%224bf9%22}"
        );
    }

    #[test]
    fn what_is_no_template_is_refused_when_the_gateway_starts() {
        use LinkTemplateError::{Host, NoUrl, Placeholder, TooLong};
        for (text, expected) in [
            ("", NoUrl),
            ("temporal.example.com/{workflowId}", NoUrl),
            ("javascript://x/{workflowId}", NoUrl),
            ("https://", NoUrl),
            ("https://{namespace}.example.com/", Host),
            ("https://a/{workflow}", Placeholder("workflow".to_owned())),
            (&format!("https://a/{}", "x".repeat(MAX_TEMPLATE_BYTES)), TooLong),
        ] {
            assert_eq!(text.parse::<LinkTemplate>(), Err(expected), "{text}");
        }
    }
}
