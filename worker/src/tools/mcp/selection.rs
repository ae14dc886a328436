//! Selects the functions that the MCP servers of a revision add to it: names,
//! prefixes and renames. Pure.

use std::collections::BTreeSet;

use steadfast_crds::{AgentRevisionSpec, agent_tool::McpTool};

use super::listing::ServerTool;
use crate::tools::functions::ListedTool;

/// Longest function name that model APIs accept.
const MAXIMUM_NAME_BYTES: usize = 64;

/// The names of the functions that do not come from MCP servers.
pub(super) fn other_functions(revision: &AgentRevisionSpec) -> BTreeSet<String> {
    let tools = revision.tools.iter().filter(|tool| tool.spec.mcp.is_none());
    let tools = tools.map(|tool| &tool.name);
    let agents = revision.agents.iter().map(|agent| &agent.name);
    let handoffs = revision.handoffs.iter().map(|handoff| &handoff.name);
    tools.chain(agents).chain(handoffs).cloned().collect()
}

/// Selects the functions of one server. Reports a tool that cannot be added to `problem`.
pub(super) fn select(
    server: &str,
    settings: &McpTool,
    offered: &[ServerTool],
    taken: &mut BTreeSet<String>,
    mut problem: impl FnMut(String),
) -> Vec<ListedTool> {
    let mut selected: Vec<(&ServerTool, Option<&String>)> = Vec::new();
    if settings.tools.is_empty() {
        selected.extend(offered.iter().map(|tool| (tool, None)));
    }
    for selection in &settings.tools {
        match offered.iter().find(|tool| tool.name == selection.name) {
            Some(tool) => selected.push((tool, selection.rename.as_ref())),
            None => problem(format!("the server has no tool {:?}", selection.name)),
        }
    }
    let mut listed = Vec::new();
    for (tool, rename) in selected {
        let function = rename.map_or_else(|| function_name(&settings.prefix, &tool.name), Clone::clone);
        if function.len() > MAXIMUM_NAME_BYTES {
            problem(format!(
                "the name {function:?} is longer than {MAXIMUM_NAME_BYTES} bytes; rename the tool or shorten the prefix"
            ));
        } else if taken.insert(function.clone()) {
            listed.push(ListedTool {
                function,
                description: tool.description.clone(),
                parameters: tool.input_schema.clone(),
                server: server.to_owned(),
                tool: tool.name.clone(),
            });
        } else {
            problem(format!(
                "the agent has another function {function:?}; set a prefix or rename the tool"
            ));
        }
    }
    listed
}

/// The function name of a tool: model APIs accept neither dots and slashes nor a digit at the beginning, which servers
/// may use.
fn function_name(prefix: &str, tool: &str) -> String {
    let name = prefix.chars().chain(tool.chars()).map(|character| {
        if character.is_ascii_alphanumeric() || "_-".contains(character) {
            character
        } else {
            '_'
        }
    });
    let name: String = name.collect();
    // Gemini wants a letter or an underscore first.
    match name.bytes().next() {
        Some(first) if first.is_ascii_alphabetic() || first == b'_' => name,
        _ => format!("_{name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Map;
    use steadfast_crds::yaml;

    use super::*;

    fn offered(names: &[&str]) -> Vec<ServerTool> {
        let tool = |name: &&str| ServerTool {
            name: (*name).to_owned(),
            description: String::new(),
            input_schema: Map::new(),
            renamed: BTreeMap::new(),
            headers: Vec::new(),
            read_only: false,
            idempotent: false,
        };
        names.iter().map(tool).collect()
    }

    /// The selected functions with their tools, and the problems.
    fn selected(settings: &str, names: &[&str], taken: &[&str]) -> (Vec<(String, String)>, Vec<String>) {
        let settings: McpTool = yaml::from_str(settings).unwrap();
        let mut problems = Vec::new();
        let mut taken = taken.iter().map(|name| (*name).to_owned()).collect();
        let listed = select("s", &settings, &offered(names), &mut taken, |reason| {
            problems.push(reason);
        });
        (
            listed.into_iter().map(|tool| (tool.function, tool.tool)).collect(),
            problems,
        )
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn all_tools_are_added_with_the_prefix() {
        let (listed, problems) = selected("{url: \"http://s\", prefix: x_}", &["echo", "fs/read.file"], &[]);
        assert_eq!(listed, pairs(&[("x_echo", "echo"), ("x_fs_read_file", "fs/read.file")]));
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn a_name_that_a_model_api_refuses_is_replaced() {
        let (listed, problems) = selected("{url: \"http://s\"}", &["3d render", "-x", "größe"], &[]);
        assert_eq!(
            listed,
            pairs(&[("_3d_render", "3d render"), ("_-x", "-x"), ("gr__e", "größe")])
        );
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn a_selection_lists_and_renames_tools() {
        let settings = "{url: \"http://s\", prefix: x_, tools: [{name: add, rename: sum}, {name: echo}, {name: gone}]}";
        let (listed, problems) = selected(settings, &["echo", "add", "other"], &[]);
        assert_eq!(listed, pairs(&[("sum", "add"), ("x_echo", "echo")]));
        assert_eq!(problems, ["the server has no tool \"gone\""]);
    }

    #[test]
    fn a_tool_whose_name_is_taken_or_too_long_is_reported() {
        let long = "x".repeat(70);
        let (listed, problems) = selected("{url: \"http://s\"}", &["echo", "a.b", "a/b", &long], &["echo"]);
        assert_eq!(listed, pairs(&[("a_b", "a.b")]));
        assert_eq!(problems.len(), 3);
        assert!(problems[0].contains("another function \"echo\""), "{problems:?}");
    }
}
