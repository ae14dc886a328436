//! Bounds of CEL expressions. The time to parse some nested expressions doubles with
//! every level, and the parser needs stack for every operator: an expression is split
//! into tokens here, as the grammar of CEL splits it, and refused before it is parsed.

mod lexer;

use self::lexer::{Lexer, Token};
use crate::OutOfBounds;

/// Longest expression.
pub const MAXIMUM_BYTES: usize = 4_096;
/// Deepest nesting of brackets.
pub const MAXIMUM_NESTING: usize = 16;
/// Most macros over lists (`all`, `exists`, `map`, …) within each other: each multiplies the work.
pub const MAXIMUM_NESTED_MACROS: usize = 2;
/// Most conditionals (`a ? b : c`).
pub const MAXIMUM_CONDITIONALS: usize = 32;
/// Most operators, member accesses and calls together.
pub const MAXIMUM_OPERATIONS: usize = 512;

/// The macros that evaluate an argument once for each element of a list.
const MACROS: [&str; 6] = ["all", "exists", "exists_one", "existsOne", "filter", "map"];

/// Gives an expression to `parse` if it is within the bounds.
pub fn parse_with<'a, T>(expression: &'a str, parse: impl FnOnce(&'a str) -> T) -> Result<T, OutOfBounds> {
    check(expression)?;
    Ok(parse(expression))
}

/// Checks that an expression is within the bounds.
pub fn check(expression: &str) -> Result<(), OutOfBounds> {
    if expression.len() > MAXIMUM_BYTES {
        return Err(OutOfBounds::TooLong {
            bytes: expression.len(),
            limit: MAXIMUM_BYTES,
        });
    }
    let mut structure = Structure::default();
    let mut lexer = Lexer::new(expression);
    while let Some(token) = lexer.next_token()? {
        structure.add(token)?;
    }
    Ok(())
}

/// What the tokens so far add up to.
#[derive(Default)]
struct Structure<'a> {
    /// For each open bracket, whether it holds the arguments of a macro.
    open: Vec<bool>,
    operations: usize,
    conditionals: usize,
    /// The two tokens before.
    previous: [Option<Token<'a>>; 2],
    /// The token before is a sign before an operand.
    after_sign: bool,
}

impl<'a> Structure<'a> {
    fn add(&mut self, token: Token<'a>) -> Result<(), OutOfBounds> {
        let is_sign = token == Token::Not || (token == Token::Minus && !self.after_operand());
        if is_sign && self.after_sign {
            return Err(OutOfBounds::not_allowed(
                "a sign directly after another (`!` or `-`)",
                "write one, or put brackets between them",
            ));
        }
        self.after_sign = is_sign;
        match token {
            Token::Open => self.open()?,
            Token::Close => {
                self.open.pop();
            }
            Token::Question => {
                self.conditionals += 1;
                if self.conditionals > MAXIMUM_CONDITIONALS {
                    return Err(OutOfBounds::TooMany {
                        what: "conditionals",
                        limit: MAXIMUM_CONDITIONALS,
                    });
                }
            }
            _ => {}
        }
        let is_operand = matches!(token, Token::Word(_) | Token::Literal) && token != Token::Word("in");
        if !is_operand && !matches!(token, Token::Separator | Token::Close) {
            self.operations += 1;
        }
        if self.operations > MAXIMUM_OPERATIONS {
            return Err(OutOfBounds::TooMany {
                what: "operators, member accesses and calls",
                limit: MAXIMUM_OPERATIONS,
            });
        }
        self.previous = [self.previous[1], Some(token)];
        Ok(())
    }

    fn open(&mut self) -> Result<(), OutOfBounds> {
        let is_macro = matches!(self.previous, [Some(Token::Dot), Some(Token::Word(name))] if MACROS.contains(&name));
        self.open.push(is_macro);
        if self.open.len() > MAXIMUM_NESTING {
            return Err(OutOfBounds::TooDeep {
                what: "its brackets",
                limit: MAXIMUM_NESTING,
            });
        }
        if self.open.iter().filter(|is_macro| **is_macro).count() > MAXIMUM_NESTED_MACROS {
            return Err(OutOfBounds::TooDeep {
                what: "its macros over lists",
                limit: MAXIMUM_NESTED_MACROS,
            });
        }
        Ok(())
    }

    /// Whether a `-` would be a difference and not a sign.
    fn after_operand(&self) -> bool {
        match self.previous[1] {
            Some(Token::Word(word)) => word != "in",
            Some(Token::Literal | Token::Close) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails the test when the parser is called.
    fn refused(expression: &str) -> OutOfBounds {
        parse_with(expression, |_| -> () { panic!("parsed: {expression}") }).unwrap_err()
    }

    fn accepted(expression: &str) {
        assert_eq!(parse_with(expression, str::len), Ok(expression.len()), "{expression}");
    }

    fn nested(levels: usize) -> String {
        format!("{}true{}", "(".repeat(levels), ")".repeat(levels))
    }

    #[test]
    fn an_expression_is_nested_up_to_the_limit_and_not_a_level_deeper() {
        accepted(&nested(MAXIMUM_NESTING));
        assert_eq!(
            refused(&nested(MAXIMUM_NESTING + 1)).to_string(),
            "its brackets are nested deeper than 16 levels"
        );
    }

    #[test]
    fn an_expression_is_as_long_as_the_limit_and_not_a_byte_longer() {
        let long = |bytes: usize| format!("'{}'", "x".repeat(bytes - 2));
        accepted(&long(MAXIMUM_BYTES));
        assert_eq!(
            refused(&long(MAXIMUM_BYTES + 1)).to_string(),
            "it is 4097 bytes long; the limit is 4096 bytes"
        );
    }

    #[test]
    fn expressions_of_guardrails_are_accepted() {
        for expression in [
            "text.size() > 10000",
            "stage == 'input' && text.contains('password')",
            "['a', 'b'].exists(word, text.contains(word))",
            "text.matches('[0-9]{16}') || !text.matches(r'^\\s*$')",
            "text.contains('-----BEGIN PRIVATE KEY-----') || text.contains('!!!')",
            "text.contains('((((((((((((((((((((')",
            "size(text) - -1 > 1.5e-3 && 0x1fu > 2u && .5 < 1e5",
            "agent in ['a', 'b'] ? text.size() > 10 : !(stage == \"output\")",
            "text.contains(\"\"\"a 'quoted\" word\"\"\") && text != '' // why",
            "b'abc' == br'\\d' && `a-b` == \"\\u00e4\\n\\x41\\101\"",
        ] {
            accepted(expression);
        }
    }

    #[test]
    fn one_sign_stands_before_an_operand() {
        accepted("!(!(true))");
        accepted("1 - -1");
        for expression in ["!!true", "! !true", "!-1", "1 - - -1", "!\u{c}// c\n!true"] {
            assert!(
                refused(expression)
                    .to_string()
                    .starts_with("a sign directly after another")
            );
        }
    }

    #[test]
    fn macros_over_lists_are_nested_up_to_the_limit() {
        accepted("[1].all(a, [1].exists(b, a == b)) && [1].map(a, a).filter(b, b > 1).all(c, c > 1)");
        assert_eq!(
            refused("[1].all(a, [1].exists(b, [1].map(c, c) == [a, b]))").to_string(),
            "its macros over lists are nested deeper than 2 levels"
        );
    }

    #[test]
    fn conditionals_and_operators_are_counted() {
        let conditionals = |count: usize| format!("{}true", "true?true:".repeat(count));
        accepted(&conditionals(MAXIMUM_CONDITIONALS));
        assert_eq!(
            refused(&conditionals(MAXIMUM_CONDITIONALS + 1)).to_string(),
            "it has more than 32 conditionals"
        );
        let operators = |count: usize| format!("1{}", "+1".repeat(count));
        accepted(&operators(MAXIMUM_OPERATIONS));
        assert_eq!(
            refused(&operators(MAXIMUM_OPERATIONS + 1)).to_string(),
            "it has more than 512 operators, member accesses and calls"
        );
    }

    #[test]
    fn what_the_grammar_does_not_know_is_refused() {
        for (expression, message) in [
            ("'open", "a string has no end"),
            ("'two\nlines'", "a string has no end"),
            ("r'raw\\", "a string has no end"),
            ("\"\"\"long\"\"", "a string has no end"),
            ("'\\q'", "a string has an escape that does not exist: \\q"),
            ("'\\u12'", "a string has an escape that does not exist: \\u"),
            ("`open", "an identifier in backticks has no end"),
            ("a & b", "'&' is no operator"),
            ("ä == 1", "the character 'ä' belongs to no expression"),
            ("\0", "the character '\\0' belongs to no expression"),
        ] {
            assert_eq!(refused(expression), OutOfBounds::Malformed(message.to_owned()));
        }
    }
}
