//! A `RemoteMCPServer` or an `MCPServer`, as one Agent uses it, as an AgentTool.
//! Pure.

use serde_json::Value;
use steadfast_crds::{
    AgentSpec, AgentToolSpec,
    agent::Credential,
    agent_tool::{ApprovalPolicy, HttpHeader, McpTool, McpToolSelection},
};

use super::{
    super::{manifest, source::Source},
    Objects, leave_allowed_namespaces, leave_metadata, variable_name,
};

/// The port of an `MCPServer` that names none.
const DEFAULT_PORT: u64 = 3000;
const SERVER_RUNS_ELSEWHERE: &str = "Steadfast does not run MCP servers: deploy it yourself, with a Service";

/// The address and the headers of a server, as it is used by an Agent.
struct Server {
    url: String,
    description: String,
    headers: Vec<HttpHeader>,
    timeout: Option<steadfast_crds::Duration>,
}

/// The AgentTool for the entry `at` of the tools of an Agent. Adds the credentials of its headers to the Agent.
pub(super) fn import(
    source: &mut Source,
    at: &str,
    namespace: &str,
    objects: &mut Objects,
    spec: &mut AgentSpec,
    notes: &mut Vec<String>,
) -> anyhow::Result<Option<(String, AgentToolSpec)>> {
    let reference = format!("{at}/mcpServer");
    let Some(name) = source.take_text(&format!("{reference}/name"), "the AgentTool's spec.mcp.url") else {
        return Ok(None);
    };
    let kind = source
        .take_text(&format!("{reference}/kind"), "the AgentTool's spec.mcp.url")
        .unwrap_or_else(|| "MCPServer".to_owned());
    source.take(&format!("{reference}/apiGroup"), "the AgentTool's spec.mcp.url");
    let of_server = source
        .take_text(&format!("{reference}/namespace"), "the AgentTool's spec.mcp.url")
        .unwrap_or_else(|| namespace.to_owned());
    let server = server(objects, &kind, &of_server, &name, spec, notes);
    let mut tool = manifest::default_tool()?;
    tool.description = server.description;
    if let Some(timeout) = server.timeout {
        tool.timeout = timeout;
    }
    let mut mcp = McpTool {
        url: server.url,
        headers: server.headers,
        prefix: String::new(),
        tools: selection(source, &reference),
    };
    // A header of the Agent replaces the one of the server.
    for header in headers(source, &format!("{at}/headersFrom"), objects, namespace, spec) {
        mcp.headers
            .retain(|known| !known.name.eq_ignore_ascii_case(&header.name));
        mcp.headers.push(header);
    }
    source.leave(
        &format!("{reference}/allowedHeaders"),
        "a tool call does not depend on the client's request, which may have ended",
    );
    tool.mcp = Some(mcp);
    Ok(Some((name, tool)))
}

/// `toolNames` with `requireApproval`.
fn selection(source: &mut Source, reference: &str) -> Vec<McpToolSelection> {
    let target = "the AgentTool's spec.mcp.tools";
    let names = texts(source.take(&format!("{reference}/toolNames"), target).as_ref());
    let approved = source.take(&format!("{reference}/requireApproval"), &format!("{target}[].approval"));
    let approved = texts(approved.as_ref());
    let selection = names.into_iter().map(|name| McpToolSelection {
        approval: approved.contains(&name).then(|| ApprovalPolicy {
            required: true,
            ..ApprovalPolicy::default()
        }),
        name,
        rename: None,
    });
    selection.collect()
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn server(
    objects: &mut Objects,
    kind: &str,
    namespace: &str,
    name: &str,
    spec: &mut AgentSpec,
    notes: &mut Vec<String>,
) -> Server {
    if let Some(object) = objects.find(kind, namespace, name) {
        let mut source = std::mem::replace(&mut object.source, Source::new(Value::Null));
        let server = if kind == "RemoteMCPServer" {
            remote(&mut source, name, objects, namespace, spec)
        } else {
            deployed(&mut source, name, namespace)
        };
        if let Some(object) = objects.find(kind, namespace, name) {
            object.source = source;
        }
        return server;
    }
    let url = service_url(name, namespace, DEFAULT_PORT, "/mcp");
    notes.push(format!(
        "the {kind} {name} is not in these files: spec.mcp.url of its AgentTool is a guess ({url})"
    ));
    Server {
        url,
        description: format!("Tools of {name}."),
        headers: Vec::new(),
        timeout: None,
    }
}

fn remote(source: &mut Source, name: &str, objects: &Objects, namespace: &str, spec: &mut AgentSpec) -> Server {
    leave_metadata(source);
    let url = source
        .take_text("/spec/url", "the AgentTool's spec.mcp.url")
        .unwrap_or_default();
    let description = source
        .take_text("/spec/description", "the AgentTool's spec.description")
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| format!("Tools of {name}."));
    match source.peek("/spec/protocol").and_then(Value::as_str) {
        Some("SSE") => source.leave(
            "/spec/protocol",
            "Steadfast speaks Streamable HTTP, which replaced SSE in MCP 2025-03-26; most servers have both",
        ),
        _ => {
            source.take("/spec/protocol", "Streamable HTTP is what Steadfast speaks");
        }
    }
    let headers = headers(source, "/spec/headersFrom", objects, namespace, spec);
    let timeout = source.take_parsed("/spec/timeout", "the AgentTool's spec.timeout");
    let session = "a session lasts for one call or a short time, and the worker ends it";
    source.leave("/spec/sseReadTimeout", session);
    source.leave("/spec/terminateOnClose", session);
    source.leave(
        "/spec/tls",
        "workers trust the certificates of the system: mount others with spec.worker.podTemplate",
    );
    leave_allowed_namespaces(source);
    Server {
        url,
        description: manifest::literal_template(&description),
        headers,
        timeout,
    }
}

/// A server that kagent deploys from an image.
fn deployed(source: &mut Source, name: &str, namespace: &str) -> Server {
    leave_metadata(source);
    let target = "the AgentTool's spec.mcp.url";
    let port = source
        .take_parsed("/spec/httpTransport/targetPort", target)
        .or_else(|| source.take_parsed("/spec/deployment/port", target))
        .unwrap_or(DEFAULT_PORT);
    let path = source
        .take_text("/spec/httpTransport/path", target)
        .unwrap_or_else(|| "/mcp".to_owned());
    source.leave("/spec/deployment", SERVER_RUNS_ELSEWHERE);
    source.leave("/spec/transportType", SERVER_RUNS_ELSEWHERE);
    source.leave("/spec/stdioTransport", SERVER_RUNS_ELSEWHERE);
    source.leave("/spec/timeout", SERVER_RUNS_ELSEWHERE);
    Server {
        url: service_url(name, namespace, port, &path),
        description: format!("Tools of {name}."),
        headers: Vec::new(),
        timeout: None,
    }
}

fn service_url(name: &str, namespace: &str, port: u64, path: &str) -> String {
    let host = if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{name}.{namespace}")
    };
    format!("http://{host}:{port}/{}", path.trim_start_matches('/'))
}

/// Headers with the values of Secrets as `${env.NAME}`.
fn headers(source: &mut Source, at: &str, objects: &Objects, namespace: &str, spec: &mut AgentSpec) -> Vec<HttpHeader> {
    let mut headers = Vec::new();
    for index in 0..source.length(at) {
        let at = format!("{at}/{index}");
        let target = "the AgentTool's spec.mcp.headers";
        let Some(name) = source.take_text(&format!("{at}/name"), target) else {
            continue;
        };
        if let Some(value) = source.take_text(&format!("{at}/value"), target) {
            headers.push(HttpHeader { name, value });
            continue;
        }
        let part = |part: &str| {
            let value = source.peek(&format!("{at}/valueFrom/{part}"));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (kind, object, key) = (part("type"), part("name"), part("key"));
        let value = if kind == "Secret" {
            let variable = variable_name(&format!("{object}_{key}"));
            source.take(
                &format!("{at}/valueFrom"),
                "spec.credentials[] and the AgentTool's spec.mcp.headers",
            );
            if !spec.credentials.iter().any(|known| known.env_var_name == variable) {
                spec.credentials.push(Credential {
                    env_var_name: variable.clone(),
                    secret_name: object,
                    secret_key: key,
                    hosts: Vec::new(),
                });
            }
            format!("${{env.{variable}}}")
        } else if let Some(value) = objects.config_map_value(namespace, &object, &key) {
            source.take(&format!("{at}/valueFrom"), target);
            value
        } else {
            source.leave(
                &format!("{at}/valueFrom"),
                "the ConfigMap is not in these files: write its value into the header",
            );
            continue;
        };
        headers.push(HttpHeader { name, value });
    }
    headers
}
