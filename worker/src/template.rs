//! Renders the templates of users, with limits on their work and on what they make. A
//! value is written as JSON: `true`, `null`, `["a",1]`; a text is written as it is. Pure.

mod decimal;
mod text_filters;
mod values;

use std::{io, time::Duration};

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value as TemplateValue, value::Kwargs};
use serde::Serialize;
use serde_json::Value;
use steadfast_bounds::{OutOfBounds, template};
use steadfast_process::{BlockingError, BlockingWork};

use self::values::invalid;
pub(crate) use self::values::{Digits, Scope};

/// Largest indentation of the filter `tojson`.
const MAXIMUM_INDENT: usize = 16;

/// Limit for the templates of a request, of the arguments of a step, of a response, or of the instructions.
const DEADLINE: Duration = Duration::from_secs(5);

/// Evaluates templates on a thread of their own. `of` names them: late ones keep their thread, and are not begun again
/// until they end.
pub(crate) async fn evaluate<T: Send + 'static>(
    blocking: &BlockingWork,
    of: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockingError> {
    blocking.run(of, DEADLINE, work).await
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("the template cannot be used")]
    OutOfBounds(#[from] OutOfBounds),
    #[error("render the template")]
    Render(#[from] Error),
}

/// Renders a template with the variables of a context.
pub(crate) fn render(source: &str, context: impl Serialize) -> Result<String, RenderError> {
    let (context, digits) = Scope::of(context)?.into_value();
    let environment = environment(&digits);
    template::parse_with(source, |source| environment.render_str(source, context))?.map_err(RenderError::Render)
}

/// Renders a template to JSON. A template of one expression keeps the type of the expression; any other template
/// gives a string.
pub(crate) fn render_value(source: &str, context: impl Serialize) -> Result<Value, RenderError> {
    template::check(source)?;
    let (context, digits) = Scope::of(context)?.into_value();
    let environment = environment(&digits);
    // A text such as `{{ a }} and {{ b }}` has the braces of one expression and does not compile as one.
    let expression = only_expression(source).and_then(|inside| environment.compile_expression(inside).ok());
    let Some(expression) = expression else {
        let text = environment.render_str(source, context)?;
        return Ok(Value::String(text));
    };
    let value = expression.eval(context)?;
    if value.is_undefined() {
        let message = format!("{} has no value", source.trim());
        return Err(Error::new(ErrorKind::UndefinedError, message).into());
    }
    Ok(digits.to_json(&value)?)
}

/// What stands between the braces of a template that is one tag: `{{ a }}`, `{{- a -}}`. The signs that remove the
/// spaces around a tag belong to the tag.
pub(crate) fn only_expression(source: &str) -> Option<&str> {
    let inside = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    Some(inside.strip_suffix(['-', '+']).unwrap_or(inside))
}

/// The limits, the filters and the formatter of every template.
pub(crate) fn environment(digits: &Digits) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(template::MAXIMUM_WORK));
    text_filters::add(&mut environment, digits);
    let of_formatter = digits.clone();
    environment.set_formatter(move |output, _, value| Ok(output.write_str(&of_formatter.text(value)?)?));
    let of_string = digits.clone();
    environment.add_filter("string", move |value: TemplateValue| of_string.text(&value));
    let of_join = digits.clone();
    environment.add_filter(
        "join",
        move |value: TemplateValue, joiner: Option<TemplateValue>, attribute: Option<String>, options: Kwargs| {
            let attribute = match attribute {
                Some(attribute) => Some(attribute),
                None => options.get("attribute")?,
            };
            options.assert_all_used()?;
            let joiner = joiner.map(|joiner| of_join.text(&joiner)).transpose()?;
            join(&of_join, &value, &joiner.unwrap_or_default(), attribute.as_deref())
        },
    );
    let of_json = digits.clone();
    environment.add_filter(
        "tojson",
        move |value: TemplateValue, indent: Option<usize>, options: Kwargs| to_json(&of_json, &value, indent, &options),
    );
    environment
}

/// The filter `tojson`. In contrast to the engine's own it escapes nothing for HTML.
fn to_json(
    digits: &Digits,
    value: &TemplateValue,
    indent: Option<usize>,
    options: &Kwargs,
) -> Result<TemplateValue, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get("indent")?,
    };
    options.assert_all_used()?;
    let json = digits.to_json(value)?;
    let text = match indent {
        None => json.to_string(),
        Some(width) => {
            let width = " ".repeat(width.min(MAXIMUM_INDENT));
            let formatter = serde_json::ser::PrettyFormatter::with_indent(width.as_bytes());
            let mut text = CountedText {
                digits,
                bytes: Vec::new(),
            };
            let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
            json.serialize(&mut serializer)
                .map_err(|_| invalid("the template makes too much text"))?;
            String::from_utf8_lossy(&text.bytes).into_owned()
        }
    };
    Ok(TemplateValue::from_safe_string(text))
}

/// A text whose bytes count when they are written.
struct CountedText<'a> {
    digits: &'a Digits,
    bytes: Vec<u8>,
}

impl io::Write for CountedText<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.digits.count(bytes.len()).map_err(io::Error::other)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The filter `join`.
fn join(digits: &Digits, value: &TemplateValue, joiner: &str, attribute: Option<&str>) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let mut output = String::new();
    for (index, item) in value.try_iter()?.enumerate() {
        let names = attribute.iter().flat_map(|path| path.split('.'));
        let item = names.into_iter().try_fold(item, |item, name| item.get_attr(name))?;
        if index > 0 {
            digits.count(joiner.len())?;
            output.push_str(joiner);
        }
        output.push_str(&digits.text(&item)?);
    }
    Ok(output)
}

/// Renders a template in an environment of its own filters and formatter.
pub(crate) fn render_with(
    environment: &Environment<'_>,
    source: &str,
    context: TemplateValue,
) -> Result<String, RenderError> {
    template::parse_with(source, |source| environment.render_str(source, context))?.map_err(RenderError::Render)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_out_of_bounds_is_refused_before_it_is_parsed() {
        let levels = template::MAXIMUM_NESTING + 1;
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(levels), ")".repeat(levels));
        assert!(matches!(render(&deep, json!({})), Err(RenderError::OutOfBounds(_))));
        assert!(matches!(
            render_value(&deep, json!({})),
            Err(RenderError::OutOfBounds(_))
        ));
    }

    #[test]
    fn the_largest_templates_within_the_bounds_are_rendered() {
        let nested = |levels: usize| format!("{{{{ {}1{} }}}}", "(".repeat(levels), ")".repeat(levels));
        assert_eq!(render(&nested(template::MAXIMUM_NESTING), json!({})).unwrap(), "1");
        let sum = format!("{{{{ 1{} }}}}", "+1".repeat(template::MAXIMUM_TOKENS / 2 - 1));
        assert_eq!(render(&sum, json!({})).unwrap(), "256");
        let blocks = template::MAXIMUM_BLOCKS;
        let conditions = format!("{}x{}", "{% if true %}".repeat(blocks), "{% endif %}".repeat(blocks));
        assert_eq!(render(&conditions, json!({})).unwrap(), "x");
        let branches = format!("{{% if false %}}{}{{% endif %}}", "{% elif false %}".repeat(blocks - 1));
        assert_eq!(render(&branches, json!({})).unwrap(), "");
    }

    #[test]
    fn an_unknown_variable_is_an_error() {
        assert!(render("{{ nobody }}", json!({})).is_err());
    }

    #[test]
    fn one_expression_keeps_its_type_and_mixed_text_is_a_string() {
        let scope = json!({"amount": 12, "to": {"iban": "DE1"}, "note": "hi", "none": null});
        let cases = [
            ("{{ amount }}", json!(12)),
            (" {{ amount * 2 }}\n", json!(24)),
            ("{{ to }}", json!({"iban": "DE1"})),
            ("{{ none }}", json!(null)),
            ("{{ amount > 10 }}", json!(true)),
            ("{{ '}}' }}", json!("}}")),
            ("{{- amount -}}", json!(12)),
            ("{{-amount}}", json!(12)),
            ("{{+ to }}", json!({"iban": "DE1"})),
            ("{{ -amount }}", json!(-12)),
            ("{{- -amount }}", json!(-12)),
            ("{{ to.iban if to is defined else none }}", json!("DE1")),
            ("{{ missing | default(none) }}", json!(null)),
            ("{{ amount }} EUR", json!("12 EUR")),
            ("{{ amount }}{{ note }}", json!("12hi")),
            ("{{ note | upper }}", json!("HI")),
            ("plain", json!("plain")),
            ("", json!("")),
        ];
        for (source, expected) in cases {
            assert_eq!(render_value(source, &scope).unwrap(), expected, "{source}");
        }
    }

    #[test]
    fn values_are_written_as_json_also_within_a_text() {
        let scope = json!({"yes": true, "none": null, "list": ["a", 1, null, 1.10], "map": {"k": false, "t": "ä\"<"}});
        for (source, expected) in [
            ("{{ yes }}, {{ none }}", "true, null"),
            ("{{ list }} {{ map }}", r#"["a",1,null,1.1] {"k":false,"t":"ä\"<"}"#),
            ("{{ [yes, {'a': none}] }}.", r#"[true,{"a":null}]."#),
            ("{{ map.t }}!", "ä\"<!"),
            ("{{ map | tojson }}!", r#"{"k":false,"t":"ä\"<"}!"#),
            ("{{ list | join('-') }}", "a-1-null-1.1"),
            ("{{ [map, map] | join(', ', attribute='k') }}", "false, false"),
            ("{{ yes | string | length }}", "4"),
            ("{{ list[-1] }}/{{ list | last }}/{{ list[1:3] }}", "1.1/1.1/[1,null]"),
            (
                "{% for name in map %}{{ name }}={{ map[name] }};{% endfor %}",
                "k=false;t=ä\"<;",
            ),
            ("{% for name, value in map | items %}{{ name }}{% endfor %}", "kt"),
            (
                "{% if yes and map.k == false and 'a' in list and none is none %}ok{% endif %}",
                "ok",
            ),
            (
                "{{ map == {'k': false, 't': 'ä\"<'} }} {{ list | length }} {{ yes == true }}",
                "true 4 true",
            ),
        ] {
            assert_eq!(render(source, &scope).unwrap(), expected, "{source}");
        }
        assert_eq!(
            render("{{ map | tojson(2) }}", &scope).unwrap(),
            "{\n  \"k\": false,\n  \"t\": \"ä\\\"<\"\n}"
        );
    }

    #[test]
    fn numbers_keep_their_digits() {
        let text = r#"{"big": 100000000000000000001, "rate": 1.10, "small": 1.1, "list": [1.10, {"r": 2.50}],
                       "long": 0.1000000000000000055511151231257827, "id": "1.10"}"#;
        let scope: Value = serde_json::from_str(text).unwrap();
        for (source, expected) in [
            ("{{ big }}", "100000000000000000001"),
            ("{{ big + 1 }}", "100000000000000000002"),
            ("{{ rate }}", "1.10"),
            ("{{ small }}", "1.1"),
            ("{{ long }}", "0.1000000000000000055511151231257827"),
            ("{{ list }}", r#"[1.10,{"r":2.50}]"#),
            ("{{ list | tojson }}", r#"[1.10,{"r":2.50}]"#),
            (
                "{{ {'to': list[1].r, 'n': big} }}",
                r#"{"n":100000000000000000001,"to":2.50}"#,
            ),
            ("{{ id }}", "1.10"),
            ("{{ rate * 2 }}", "2.2"),
            ("{{ rate > 1 and big > 5 and rate == 1.1 }}", "true"),
        ] {
            assert_eq!(render(source, &scope).unwrap(), expected, "{source}");
            let value = render_value(source, &scope).unwrap();
            assert_eq!(
                value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                expected,
                "{source}"
            );
        }
        let mixed = "{{ rate }} {{ small }} {{ rate }} {{ big }} {% for n in list %}{{ n }} {% endfor %}";
        assert_eq!(
            render(mixed, &scope).unwrap(),
            "1.10 1.1 1.10 100000000000000000001 1.10 {\"r\":2.50} "
        );
        assert_eq!(render_value("{{ id }}", &scope).unwrap(), json!("1.10"));
    }

    #[test]
    fn an_expression_without_a_value_is_an_error() {
        assert!(render_value("{{ nobody }}", json!({})).is_err());
        assert!(render_value("{{ somebody.name }}", json!({"somebody": {}})).is_err());
    }

    #[test]
    fn what_a_rendering_makes_of_its_values_is_bounded() {
        let scope = json!({"text": "x".repeat(1 << 20), "list": ["y".repeat(1 << 20)]});
        let times = template::MAXIMUM_TEXT_BYTES >> 20;
        let of_list = |filter: &str| format!("{{{{ [{}] | {filter} | length }}}}", vec!["text"; times].join(", "));
        let doubled = |levels: usize| {
            let sets = "{% set list = [list, list] %}".repeat(levels);
            format!("{sets}{{{{ list | string | length }}}}")
        };
        for source in [
            of_list("join"),
            of_list("string"),
            of_list("tojson"),
            of_list("upper"),
            doubled(10),
            format!("{{{{ [{}] }}}}", vec!["list"; times].join(", ")),
            format!("{}{{{{ text }}}}", "{% set text = text + text %}".repeat(8)),
            "{{ list | tojson(2) }}".repeat(times),
            "{{ text | replace('x', '123456789') | length }}".repeat(times / 8),
        ] {
            let error = render(&source, &scope).unwrap_err();
            assert!(matches!(error, RenderError::Render(_)), "{source}: {error:?}");
        }
        assert!(render_value(&format!("{{{{ [{}] }}}}", vec!["text"; times].join(", ")), &scope).is_err());
        // What the largest payload holds is far below.
        assert_eq!(render("{{ list | tojson | length }}", &scope).unwrap(), "1048580");
        assert_eq!(
            render(&doubled(2), &scope).unwrap().parse::<usize>().unwrap(),
            4 * 1_048_580 + 9
        );
        let arguments = json!({"items": vec!["z".repeat(1_000); 1_000]});
        assert_eq!(render("{{ items }}.", &arguments).unwrap().len(), 1_003_002);
    }

    #[test]
    fn a_part_of_a_value_is_copied_once() {
        let scope = json!({"items": {"list": vec!["x".repeat(1 << 20); 4]}});
        let loops = "{% for i in range(9000) %}{{ items.list | length }}{% endfor %}";
        assert_eq!(render(loops, &scope).unwrap().len(), 9_000);
    }

    #[test]
    fn a_template_without_an_end_is_stopped() {
        assert!(
            render(
                "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
                json!({})
            )
            .is_err()
        );
    }
}
