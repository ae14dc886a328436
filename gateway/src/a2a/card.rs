//! The card of an agent: what it is, where it is served, and what it can do. Pure.
//! Source: A2A 1.0, sections 4.4 and 8.

use std::collections::HashMap;

use a2a_types::{
    AgentCapabilities, AgentCard, AgentInterface, AgentSkill, HttpAuthSecurityScheme, SecurityScheme,
    TRANSPORT_PROTOCOL_HTTP_JSON, TRANSPORT_PROTOCOL_JSONRPC,
};

use steadfast_attachments::media_type::{DOCUMENTS, IMAGES};

use crate::agents::AgentEntry;

/// The version of A2A that is served.
pub(crate) const VERSION: &str = a2a_types::VERSION;
const BEARER: &str = "bearer";
const TEXT: &str = "text/plain";
const JSON: &str = "application/json";

/// Whether callers need a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callers {
    Anyone,
    WithToken,
}

/// The path of an agent's interfaces.
pub(crate) fn path(agent: &AgentEntry) -> String {
    format!("/a2a/{}/{}", agent.name.namespace, agent.name.name)
}

/// The card of an agent whose gateway has this URL.
pub(crate) fn card(agent: &AgentEntry, gateway_url: &str, callers: Callers) -> AgentCard {
    let url = format!("{gateway_url}{}", path(agent));
    // The fields are required, and a value that is empty counts as absent.
    let description = if agent.description.trim().is_empty() {
        format!("The agent {}.", agent.client_name)
    } else {
        agent.description.clone()
    };
    let (schemes, requirements) = match callers {
        Callers::Anyone => (None, None),
        Callers::WithToken => (
            Some(HashMap::from([(BEARER.to_owned(), bearer())])),
            Some(vec![HashMap::from([(BEARER.to_owned(), Vec::new())])]),
        ),
    };
    AgentCard {
        name: agent.client_name.clone(),
        description: description.clone(),
        version: agent.version.to_string(),
        supported_interfaces: vec![
            AgentInterface::new(url.clone(), TRANSPORT_PROTOCOL_JSONRPC),
            AgentInterface::new(url, TRANSPORT_PROTOCOL_HTTP_JSON),
        ],
        capabilities: AgentCapabilities {
            streaming: Some(true),
            push_notifications: Some(false),
            extensions: None,
            extended_agent_card: Some(false),
        },
        default_input_modes: [TEXT, JSON]
            .iter()
            .chain(&IMAGES)
            .chain(&DOCUMENTS)
            .map(|kind| (*kind).to_owned())
            .collect(),
        default_output_modes: vec![TEXT.to_owned()],
        skills: vec![AgentSkill {
            id: agent.name.name.clone(),
            name: agent.client_name.clone(),
            description,
            tags: vec!["agent".to_owned()],
            examples: None,
            input_modes: None,
            output_modes: None,
            security_requirements: None,
        }],
        provider: None,
        documentation_url: None,
        icon_url: None,
        security_schemes: schemes,
        security_requirements: requirements,
        signatures: None,
    }
}

fn bearer() -> SecurityScheme {
    SecurityScheme::HttpAuth(HttpAuthSecurityScheme {
        scheme: "Bearer".to_owned(),
        description: Some("A token that the gateway takes: of a Kubernetes user or service account.".to_owned()),
        bearer_format: None,
    })
}
