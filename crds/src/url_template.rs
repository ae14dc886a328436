//! The URL of an `http` tool as a template: whether an argument can change its
//! host. Pure.

/// How a construct of a template begins: an expression, a statement, a comment.
const CONSTRUCTS: [&str; 3] = ["{{", "{%", "{#"];

/// The part of a URL template before its first construct: it is the same for all arguments.
#[must_use]
pub fn fixed_part(template: &str) -> &str {
    let starts = CONSTRUCTS.iter().filter_map(|construct| template.find(construct));
    &template[..starts.min().unwrap_or(template.len())]
}

/// Whether the host of a URL template is the same for all arguments: the host ends before the first construct of the
/// template. A URL that begins with `${env.NAME}` has its host in the variable; `/`, `?` or `#` must follow it.
#[must_use]
pub fn has_fixed_host(template: &str) -> bool {
    let fixed = fixed_part(template);
    if fixed.len() == template.len() {
        return true;
    }
    let after_scheme = fixed.split_once("://").map(|(_, rest)| rest);
    let rest = after_scheme.or_else(|| fixed.strip_prefix("${env.")?.split_once('}').map(|(_, rest)| rest));
    rest.is_some_and(|rest| rest.contains(['/', '\\', '?', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_ends_before_the_template_begins_is_fixed() {
        for template in [
            "https://api.test",
            "https://api.test/{{ x }}",
            "https://api.test?x={{ x }}",
            "https://${env.HOST}/{{ x }}",
            "${env.BASE}",
            "${env.BASE}/{{ x }}",
            "${env.BASE}/{% if x %}a{% endif %}",
        ] {
            assert!(has_fixed_host(template), "{template}");
        }
        for template in [
            "https://{{ x }}/",
            "https://api.test{{ x }}",
            "https://api.test{# a #}/{{ x }}",
            "https://{% if x %}a{% else %}b{% endif %}.test/",
            "${env.BASE}{{ x }}",
            "https://${env.HOST}{{ x }}/",
        ] {
            assert!(!has_fixed_host(template), "{template}");
        }
    }
}
