//! Bounds of templates. The parser needs stack for every operator of an expression and
//! for every branch of a condition, so a template is split into tags here, as the
//! engine (minijinja, with its default delimiters) splits it, and refused before it is
//! parsed. Text outside of tags may contain anything.
//!
//! The engine counts the work of a rendering and the texts that it makes, with one
//! exception: where it turns a list or an object into a text by itself. What makes it do
//! so is refused here: the operator `~`, and a value of unknown size before `in`.

mod made_values;

use self::made_values::MadeValues;
use crate::OutOfBounds;

/// Longest template.
pub const MAXIMUM_BYTES: usize = 1024 * 1024;
/// Most tags (`{{ … }}` and `{% … %}`).
pub const MAXIMUM_TAGS: usize = 4_096;
/// Most words, numbers, texts and signs in one tag.
pub const MAXIMUM_TOKENS: usize = 512;
/// Deepest nesting of brackets in a tag.
pub const MAXIMUM_NESTING: usize = 16;
/// Deepest nesting of blocks; every `elif` counts as a level.
pub const MAXIMUM_BLOCKS: usize = 32;
/// Most work of one rendering: its instructions, one for each 64 bytes of text that the engine makes, and one for each
/// 4 bytes of a list or an object that it writes. The largest payload can be written as it is.
pub const MAXIMUM_WORK: u64 = 600_000;
/// Most bytes of text and JSON that the values of one rendering are turned into, those on the way included.
pub const MAXIMUM_TEXT_BYTES: usize = 64 << 20;

/// Gives a template to `parse` if it is within the bounds.
pub fn parse_with<'a, T>(template: &'a str, parse: impl FnOnce(&'a str) -> T) -> Result<T, OutOfBounds> {
    check(template)?;
    Ok(parse(template))
}

/// Checks that a template is within the bounds.
pub fn check(template: &str) -> Result<(), OutOfBounds> {
    if template.len() > MAXIMUM_BYTES {
        return Err(OutOfBounds::TooLong {
            bytes: template.len(),
            limit: MAXIMUM_BYTES,
        });
    }
    let mut rest = template;
    let mut tags = 0;
    let mut blocks = Blocks::default();
    let mut made = MadeValues::default();
    while let Some((kind, inside)) = next_tag(rest) {
        if kind == Kind::Comment {
            rest = after(inside, "#}").ok_or_else(|| malformed("a comment has no end"))?;
            continue;
        }
        if kind == Kind::Block
            && let Some(raw) = strip_tag(inside, "raw")
        {
            rest = after_raw(raw)?;
            continue;
        }
        tags += 1;
        if tags > MAXIMUM_TAGS {
            return Err(OutOfBounds::TooMany {
                what: "tags",
                limit: MAXIMUM_TAGS,
            });
        }
        let tag = Tag::read(inside, if kind == Kind::Block { "%}" } else { "}}" })?;
        if kind == Kind::Block {
            blocks.add(&tag)?;
        }
        made.check(&tag.tokens)?;
        if kind == Kind::Block {
            made.add(&tag.tokens);
        }
        rest = tag.rest;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Expression,
    Block,
    Comment,
}

/// The next tag, and the text after its delimiter.
fn next_tag(text: &str) -> Option<(Kind, &str)> {
    text.match_indices('{').find_map(|(start, _)| {
        let rest = &text[start + 1..];
        let kind = match rest.bytes().next()? {
            b'{' => Kind::Expression,
            b'%' => Kind::Block,
            b'#' => Kind::Comment,
            _ => return None,
        };
        let inside = &rest[1..];
        Some((kind, inside.strip_prefix(['-', '+']).unwrap_or(inside)))
    })
}

fn after<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    text.split_once(end).map(|(_, rest)| rest)
}

/// The text behind a tag that is one word.
fn strip_tag<'a>(inside: &'a str, word: &str) -> Option<&'a str> {
    let rest = inside.trim_ascii_start().strip_prefix(word)?.trim_ascii_start();
    rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")
}

fn after_raw(mut text: &str) -> Result<&str, OutOfBounds> {
    while let Some(inside) = after(text, "{%") {
        let unmarked = inside.strip_prefix(['-', '+']).unwrap_or(inside);
        if let Some(rest) = strip_tag(unmarked, "endraw") {
            return Ok(rest);
        }
        text = inside;
    }
    Err(malformed("a raw block has no end"))
}

/// One tag.
struct Tag<'a> {
    /// Its words, numbers, texts and signs.
    tokens: Vec<&'a str>,
    /// It has a `=` outside of brackets.
    assigns: bool,
    /// The text behind it.
    rest: &'a str,
}

impl<'a> Tag<'a> {
    /// Reads a tag up to `end`, which ends it outside of brackets and strings only.
    fn read(inside: &'a str, end: &str) -> Result<Self, OutOfBounds> {
        let mut tag = Self {
            tokens: Vec::new(),
            assigns: false,
            rest: inside,
        };
        let mut open = 0_usize;
        loop {
            tag.rest = tag.rest.trim_ascii_start();
            if open == 0
                && let Some(rest) = tag.rest.strip_prefix(end)
            {
                tag.rest = rest;
                return Ok(tag);
            }
            let Some(first) = tag.rest.chars().next() else {
                return Err(malformed(format!("a tag has no end: {end} is missing")));
            };
            let length = match first {
                '"' | '\'' => length_of_string(tag.rest, first)?,
                _ => length_of_word(tag.rest).unwrap_or_else(|| first.len_utf8()),
            };
            match first {
                '(' | '[' | '{' => open += 1,
                ')' | ']' | '}' => {
                    open = open
                        .checked_sub(1)
                        .ok_or_else(|| malformed(format!("{first:?} closes a bracket that is not open")))?;
                }
                '=' if open == 0 => tag.assigns = true,
                '~' => {
                    return Err(OutOfBounds::not_allowed(
                        "the operator ~",
                        "write the values side by side, as in {{ a }}{{ b }}, or join them: [a, b] | join",
                    ));
                }
                _ => {}
            }
            if open > MAXIMUM_NESTING {
                return Err(OutOfBounds::TooDeep {
                    what: "the brackets of a tag",
                    limit: MAXIMUM_NESTING,
                });
            }
            tag.tokens.push(&tag.rest[..length]);
            if tag.tokens.len() > MAXIMUM_TOKENS {
                return Err(OutOfBounds::TooMany {
                    what: "words, numbers, texts and signs in one tag",
                    limit: MAXIMUM_TOKENS,
                });
            }
            tag.rest = &tag.rest[length..];
        }
    }
}

fn length_of_word(text: &str) -> Option<usize> {
    let length = text
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    (length > 0).then_some(length)
}

fn length_of_string(text: &str, quote: char) -> Result<usize, OutOfBounds> {
    let mut escaped = false;
    for (index, next) in text.char_indices().skip(1) {
        match next {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if next == quote => return Ok(index + 1),
            _ => {}
        }
    }
    Err(malformed("a text in a tag has no end"))
}

/// The open blocks, each with the levels that it adds.
#[derive(Default)]
struct Blocks(Vec<usize>);

impl Blocks {
    fn add(&mut self, tag: &Tag<'_>) -> Result<(), OutOfBounds> {
        match tag.tokens.first().copied().unwrap_or_default() {
            "if" | "for" | "with" | "filter" => self.0.push(1),
            "set" if !tag.assigns => self.0.push(1),
            "elif" => self.0.last_mut().into_iter().for_each(|levels| *levels += 1),
            "endif" | "endfor" | "endwith" | "endfilter" | "endset" => {
                self.0.pop();
            }
            "else" | "set" => {}
            other => {
                return Err(OutOfBounds::not_allowed(
                    format!("the tag {other:?}"),
                    "a template has the tags if, for, set, with, filter and raw",
                ));
            }
        }
        if self.0.iter().sum::<usize>() > MAXIMUM_BLOCKS {
            return Err(OutOfBounds::TooDeep {
                what: "its blocks",
                limit: MAXIMUM_BLOCKS,
            });
        }
        Ok(())
    }
}

fn malformed(message: impl Into<String>) -> OutOfBounds {
    OutOfBounds::Malformed(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails the test when the parser is called.
    fn refused(template: &str) -> OutOfBounds {
        parse_with(template, |_| -> () { panic!("parsed: {template}") }).unwrap_err()
    }

    fn accepted(template: &str) {
        assert_eq!(parse_with(template, str::len), Ok(template.len()), "{template}");
    }

    #[test]
    fn templates_of_agents_are_accepted() {
        for template in [
            "",
            "Answer briefly :( :( :( { } {a} }} %}",
            "{{ user }}, today is {{ now | date('long') }}. {# (((((((((((((((((( #}",
            "{%- if params.vip -%}Be kind.{% elif x %}{% else %}Hurry.{%+ endif +%}",
            "{% for a in args.list %}{{ loop.index }}: {{ a.b[0]['c'] + '}}' }}{% endfor %}",
            "{{ {\"a\": {\"b\": [1, (2)]}} }}",
            "{% set x = (a == b) %}{% set y %}text{% endset %}{{ x }}",
            "{% raw %}{{ {% if %} (((((((((((((((((((((({% endraw %}",
            "{{ '\\'}}' }} ä {{ args.city | urlencode }}",
        ] {
            accepted(template);
        }
    }

    #[test]
    fn the_brackets_of_a_tag_are_nested_up_to_the_limit() {
        let nested = |levels: usize| format!("{{{{ {}1{} }}}}", "(".repeat(levels), ")".repeat(levels));
        accepted(&nested(MAXIMUM_NESTING));
        assert_eq!(
            refused(&nested(MAXIMUM_NESTING + 1)).to_string(),
            "the brackets of a tag are nested deeper than 16 levels"
        );
    }

    #[test]
    fn blocks_and_branches_are_nested_up_to_the_limit() {
        let nested = |levels: usize| format!("{}{}", "{% if a %}".repeat(levels), "{% endif %}".repeat(levels));
        accepted(&nested(MAXIMUM_BLOCKS));
        assert_eq!(
            refused(&nested(MAXIMUM_BLOCKS + 1)).to_string(),
            "its blocks are nested deeper than 32 levels"
        );
        let branches = |count: usize| format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}".repeat(count - 1));
        accepted(&branches(MAXIMUM_BLOCKS));
        refused(&branches(MAXIMUM_BLOCKS + 1));
        accepted(&"{% if a %}{% endif %}".repeat(MAXIMUM_BLOCKS + 1));
    }

    #[test]
    fn tags_and_what_is_in_them_are_counted() {
        let tokens = |count: usize| format!("{{{{ {} }}}}", "a ".repeat(count));
        accepted(&tokens(MAXIMUM_TOKENS));
        refused(&tokens(MAXIMUM_TOKENS + 1));
        accepted(&"{{ a }}".repeat(MAXIMUM_TAGS));
        refused(&"{{ a }}".repeat(MAXIMUM_TAGS + 1));
        refused(&" ".repeat(MAXIMUM_BYTES + 1));
    }

    #[test]
    fn other_templates_and_macros_do_not_exist() {
        assert_eq!(
            refused("{% include 'other' %}").to_string(),
            "the tag \"include\" is not allowed; a template has the tags if, for, set, with, filter and raw"
        );
        refused("{%- macro m() %}{% endmacro %}");
    }

    #[test]
    fn values_are_joined_without_the_sign_that_the_engine_does_not_count() {
        assert_eq!(
            refused("{{ a ~ b }}").to_string(),
            "the operator ~ is not allowed; write the values side by side, as in {{ a }}{{ b }}, or join them: \
             [a, b] | join"
        );
        refused("{% set x = 'a' ~ b %}");
        accepted("{{ '~' }} ~ {# ~ #}{% raw %}{{ a ~ b }}{% endraw %}");
    }

    #[test]
    fn what_has_no_end_is_refused() {
        for (template, message) in [
            ("{{ city", "a tag has no end: }} is missing"),
            ("{{ (city", "a tag has no end: }} is missing"),
            ("{% if", "a tag has no end: %} is missing"),
            ("{{ 'city }}", "a text in a tag has no end"),
            ("{# city", "a comment has no end"),
            ("{% raw %} {% end %}", "a raw block has no end"),
            ("{{ city) }}", "')' closes a bracket that is not open"),
        ] {
            assert_eq!(refused(template), OutOfBounds::Malformed(message.to_owned()));
        }
    }
}
