//! The system message of kagent: plain text, or a Go template with
//! `{{include "alias/key"}}` and a few variables. Pure.

use super::super::manifest::literal_template;

/// What a template can name.
pub(super) struct Context<'a> {
    /// The text of `alias/key`.
    pub(super) include: &'a dyn Fn(&str) -> Option<String>,
    /// The value of `.AgentName` and the like.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
}

/// A plain text as instructions.
pub(super) fn plain(text: &str) -> String {
    literal_template(text)
}

/// A Go template as instructions, and what of it cannot be carried over.
pub(super) fn template(text: &str, context: &Context<'_>) -> (String, Vec<String>) {
    let mut problems = Vec::new();
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((action, after)) = after.split_once("}}") else {
            out.push_str("{{");
            rest = after;
            continue;
        };
        rest = after;
        match value(action, context) {
            Some(value) => {
                if action.starts_with("- ") {
                    out.truncate(out.trim_end().len());
                }
                out.push_str(&value);
                if action.ends_with(" -") {
                    rest = rest.trim_start();
                }
            }
            None => problems.push(format!("{{{{{action}}}}} of the system message is left out")),
        }
    }
    out.push_str(rest);
    (literal_template(&out), problems)
}

fn value(action: &str, context: &Context<'_>) -> Option<String> {
    let action = action.trim_start_matches("- ").trim_end_matches(" -").trim();
    if let Some(argument) = action.strip_prefix("include") {
        let argument = argument.trim().trim_start_matches('(').trim_end_matches(')').trim();
        let path = ['"', '`']
            .into_iter()
            .find_map(|quote| argument.strip_prefix(quote)?.strip_suffix(quote))?;
        return (context.include)(path);
    }
    (context.variable)(action.strip_prefix('.')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_and_variables_are_replaced_and_the_rest_is_text() {
        let context = Context {
            include: &|path| (path == "builtin/safety").then(|| "Be careful.".to_owned()),
            variable: &|name| (name == "AgentName").then(|| "k8s".to_owned()),
        };
        let (text, problems) = template(
            "You are {{.AgentName}}.\n{{- include \"builtin/safety\" -}}\n {{ range .Skills }}x up{job=\"a\"}",
            &context,
        );
        assert_eq!(text, "You are k8s.Be careful.x up{job=\"a\"}");
        assert_eq!(problems, ["{{ range .Skills }} of the system message is left out"]);
        assert_eq!(plain("{{a}}"), "{% raw %}{{a}}{% endraw %}");
    }
}
