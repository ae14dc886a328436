//! Which values a template may have made larger than what it was given. `x in y` turns a
//! list before `in` into a text when `y` is one, and the engine does not count that text.

use std::collections::BTreeSet;

use crate::OutOfBounds;

/// Filters whose results are not larger than what they read, or that count what they make.
const COUNTED_FILTERS: [&str; 23] = [
    "abs",
    "capitalize",
    "default",
    "dictsort",
    "first",
    "float",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "lower",
    "replace",
    "reverse",
    "round",
    "sort",
    "split",
    "string",
    "title",
    "trim",
    "unique",
    "upper",
];

/// The names that a template has given to values of unknown size.
#[derive(Default)]
pub(super) struct MadeValues<'a>(BTreeSet<&'a str>);

impl<'a> MadeValues<'a> {
    /// Checks what stands before each `in` of a tag.
    pub(super) fn check(&self, tokens: &[&'a str]) -> Result<(), OutOfBounds> {
        let mut places = (0..tokens.len()).filter(|&place| tokens[place] == "in");
        if tokens.first() == Some(&"for") {
            places.next();
        }
        for place in places {
            if !self.is_bounded(operand_before(&tokens[..place])) {
                return Err(OutOfBounds::not_allowed(
                    "a value that the template has made, before `in`,",
                    "before `in` stands a text, a number, or a value that the template was given",
                ));
            }
        }
        Ok(())
    }

    /// Adds the names that a block gives to values.
    pub(super) fn add(&mut self, tokens: &[&'a str]) {
        let (sign, names) = match tokens.split_first() {
            Some((&"for", names)) => ("in", names),
            Some((&"set" | &"with", names)) => ("=", names),
            _ => return,
        };
        // A block without the sign captures a text, which is counted.
        let Some(place) = names.iter().position(|token| *token == sign) else {
            return;
        };
        // A recursive loop gives its variable to values of its body.
        let is_recursive = names.last() == Some(&"recursive");
        if is_recursive || !self.is_bounded(&names[place + 1..]) {
            let targets = if sign == "in" || tokens[0] == "set" {
                &names[..place]
            } else {
                names
            };
            self.0.extend(targets.iter().copied().filter(|token| is_word(token)));
        }
    }

    /// Whether a value is not larger than what the template was given.
    fn is_bounded(&self, tokens: &[&str]) -> bool {
        // Brackets that are no index and no call make a list; one that holds texts and numbers is as long as it is written.
        let mut lists = 0_usize;
        let mut open = Vec::new();
        for (place, token) in tokens.iter().enumerate() {
            let before = place.checked_sub(1).map(|before| tokens[before]);
            let is_filter = before == Some("|");
            match *token {
                // The last two are items that a loop has been given, or has made.
                "*" | "+" | "{" | "previtem" | "nextitem" => return false,
                "(" if !(place >= 2 && tokens[place - 2] == "|") => return false,
                "(" | "[" => {
                    let is_list = *token == "["
                        && !before
                            .is_some_and(|before| is_word(before) && before != "in" || before == "]" || before == ")");
                    open.push(is_list);
                    lists += usize::from(is_list);
                }
                ")" | "]" => lists -= usize::from(open.pop().unwrap_or_default()),
                word if is_filter && !COUNTED_FILTERS.contains(&word) => return false,
                word if is_word(word) && lists > 0 => return false,
                word if before != Some(".") && self.0.contains(word) => return false,
                _ => {}
            }
        }
        true
    }
}

/// The tokens of the operand that ends here.
fn operand_before<'t, 'a>(tokens: &'t [&'a str]) -> &'t [&'a str] {
    let tokens = tokens.strip_suffix(&["not"]).unwrap_or(tokens);
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().rev() {
        match *token {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" | "and" | "or" | "not" | "if" | "elif" | "else" | "," | "=" if depth == 0 => {
                return &tokens[place + 1..];
            }
            "(" | "[" | "{" => depth -= 1,
            _ => {}
        }
    }
    tokens
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

#[cfg(test)]
mod tests {
    use super::super::check;

    #[test]
    fn texts_numbers_and_given_values_stand_before_in() {
        for template in [
            "{% if 'a' in args.list and 3 not in [1, 2] %}{% endif %}",
            "{% if args.items[0]['c'] in text or name | lower in ['a', 'b'] %}{% endif %}",
            "{% for word in ['refund', 'cancel'] %}{% if word in text %}{% endif %}{% endfor %}",
            "{% for key, value in args | items %}{% if key not in ['a'] %}{% endif %}{% endfor %}",
            "{% set language = params.language | default('en') | lower %}{{ language in ['de', 'at'] }}",
            "{% set total = price * count %}{{ total }}{{ name.total in text }}",
            "{{ 'yes' if (kind in ['a']) else 'no' }}",
            "{% set text %}{{ a }}{% endset %}{% if text in other %}{% endif %}",
        ] {
            assert_eq!(check(template), Ok(()), "{template}");
        }
    }

    #[test]
    fn a_value_that_the_template_makes_does_not_stand_before_in() {
        for template in [
            "{{ [a, b] in text }}",
            "{{ a * 2 in text }}",
            "{{ a + b in text }}",
            "{{ {'a': b} in text }}",
            "{{ (a, b) in text }}",
            "{{ a | batch(2) in text }}",
            "{{ dict(a=b) in text }}",
            "{% set x = [a, b] %}{% if x in text %}{% endif %}",
            "{% set x = a * 2 %}{% set y = x %}{{ y not in text }}",
            "{% with x = a + b %}{{ x in text }}{% endwith %}",
            "{% for x in [a, b] %}{{ 1 if x in text else 2 }}{% endfor %}",
            "{% for x in [a, b] %}{{ loop.previtem in text }}{% endfor %}",
            "{% for x in items recursive %}{{ x in text }}{% endfor %}",
        ] {
            let message = check(template).unwrap_err().to_string();
            assert!(message.contains("before `in`"), "{template}: {message}");
        }
    }
}
