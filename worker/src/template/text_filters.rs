//! The filters and tests of texts. The engine's own turn any value into a text without
//! counting it; here it becomes JSON, as everywhere in a template, and is counted. Pure.

use minijinja::{
    Environment, Error, State, Value,
    filters::{capitalize, escape, format, indent, lower, safe, title, trim, upper, urlencode},
    value::{Kwargs, Rest, ValueKind, ValueOrKwargs},
};

use super::values::{Digits, invalid};

/// Adds them, and removes what writes or keeps values that nobody can count.
pub(super) fn add(environment: &mut Environment<'_>, digits: &Digits) {
    for (name, filter) in [
        ("capitalize", Value::from_function(capitalize)),
        ("e", Value::from_function(escape)),
        ("escape", Value::from_function(escape)),
        ("format", Value::from_function(format)),
        ("lower", Value::from_function(lower)),
        ("safe", Value::from_function(safe)),
        ("title", Value::from_function(title)),
        ("trim", Value::from_function(trim)),
        ("upper", Value::from_function(upper)),
    ] {
        let digits = digits.clone();
        environment.add_filter(name, move |state: &mut State, arguments: Rest<ValueOrKwargs>| {
            let arguments = arguments
                .into_values()
                .into_iter()
                .map(|value| text_of_list(&digits, value));
            filter.call(state, &arguments.collect::<Result<Vec<_>, _>>()?)
        });
    }
    let of_indent = digits.clone();
    environment.add_filter("indent", move |state: &mut State, arguments: Rest<ValueOrKwargs>| {
        indented(&of_indent, state, arguments.into_values())
    });
    let of_replace = digits.clone();
    environment.add_filter(
        "replace",
        move |text: Value, from: Value, to: Value, count: Option<usize>, options: Kwargs| {
            let count = match count {
                Some(count) => Some(count),
                None => options.get("count")?,
            };
            options.assert_all_used()?;
            replaced(&of_replace, [&text, &from, &to], count)
        },
    );
    environment.add_filter("sum", sum);
    environment.add_filter("urlencode", |value: Value| match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            Err(invalid("the filter urlencode takes a text, a number or a boolean"))
        }
        _ => urlencode(&value),
    });
    let of_start = digits.clone();
    environment.add_test("startingwith", move |text: Value, part: Value| {
        Ok::<_, Error>(of_start.text(&text)?.starts_with(&of_start.text(&part)?))
    });
    let of_end = digits.clone();
    environment.add_test("endingwith", move |text: Value, part: Value| {
        Ok::<_, Error>(of_end.text(&text)?.ends_with(&of_end.text(&part)?))
    });
    environment.remove_filter("pprint");
    environment.remove_test("in");
    environment.remove_global("debug");
    environment.remove_global("namespace");
}

fn text_of_list(digits: &Digits, value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::Plain if !value.is_kwargs() => {
            digits.text(&value).map(Value::from)
        }
        _ => Ok(value),
    }
}

fn indented(digits: &Digits, state: &mut State, mut arguments: Vec<Value>) -> Result<Value, Error> {
    const USUAL_WIDTH: usize = 4;
    let Some(text) = arguments.first_mut() else {
        return Err(invalid("the filter indent takes a text"));
    };
    *text = text_of_list(digits, text.clone())?;
    let lines = text.as_str().map_or(0, |text| text.matches('\n').count()) + 1;
    let mut width = arguments.get(1).and_then(Value::as_usize);
    if let Some(options) = arguments.last().filter(|last| last.is_kwargs()) {
        width = width.or_else(|| options.get_attr("width").ok()?.as_usize());
    }
    digits.count(lines.saturating_mul(width.unwrap_or(USUAL_WIDTH)))?;
    Value::from_function(indent).call(state, &arguments)
}

fn replaced(digits: &Digits, [text, from, to]: [&Value; 3], count: Option<usize>) -> Result<String, Error> {
    let (text, from, to) = (digits.text(text)?, digits.text(from)?, digits.text(to)?);
    let count = count.unwrap_or(usize::MAX);
    let found = text.matches(from.as_str()).take(count).count();
    digits.count(text.len().saturating_add(found.saturating_mul(to.len())))?;
    Ok(text.replacen(&from, &to, count))
}

/// The sum of numbers; the engine's own also joins texts, and counts the last one alone.
fn sum(state: &mut State, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let arguments = arguments.into_values();
    let of_options = arguments.last().filter(|last| last.is_kwargs());
    let start = match arguments.get(2).filter(|start| !start.is_kwargs()) {
        Some(start) => Some(start.clone()),
        None => of_options.and_then(|options| options.get_attr("start").ok()),
    };
    if start.is_some_and(|start| !matches!(start.kind(), ValueKind::Number | ValueKind::None | ValueKind::Undefined)) {
        return Err(invalid("the filter sum adds numbers; join texts with the filter join"));
    }
    Value::from_function(minijinja::filters::sum).call(state, &arguments)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::render;

    #[test]
    fn text_filters_read_lists_as_json() {
        let scope = json!({"list": ["a", true, 1.10], "name": "ada", "text": "a\nb"});
        for (source, expected) in [
            ("{{ list | upper }}", r#"["A",TRUE,1.1]"#),
            ("{{ name | capitalize | replace('a', list) }}", r#"Ad["a",true,1.1]"#),
            ("{{ name | replace('a', 'o', count=1) }}", "oda"),
            ("{{ '%s-%d' | format(list, 3) }}", r#"["a",true,1.1]-3"#),
            ("{{ text | indent(2, true) }}", "  a\n  b"),
            ("{{ text | indent }}", "a\n    b"),
            ("{{ ' x ' | trim }}{{ '--x-' | trim('-') }}", "xx"),
            (
                "{{ [1, 2] | sum }} {{ [{'n': 2}] | sum('n', 1) }} {{ [1] | sum(start=2) }}",
                "3 3 3",
            ),
            ("{{ name is startingwith('ad') and name is endingwith 'a' }}", "true"),
            ("{{ 'a b' | urlencode }} {{ '<' | e }} {{ '<' | safe }}", "a%20b &lt; <"),
        ] {
            assert_eq!(render(source, &scope).unwrap(), expected, "{source}");
        }
        for refused in [
            "{{ ['a', 'b'] | sum(start='') }}",
            "{{ list | urlencode }}",
            "{{ list | pprint }}",
            "{{ debug() }}",
            "{{ namespace(a=1) }}",
            "{{ list | select('in', 'abc') | list }}",
        ] {
            assert!(render(refused, &scope).is_err(), "{refused}");
        }
    }
}
