//! Splits an expression into tokens as the grammar of CEL does. Text that the grammar
//! does not know is an error: the parser would skip a character there, and read the
//! rest in another way than this lexer.

use crate::OutOfBounds;

/// As much of a token as its bounds need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An identifier or a keyword.
    Word(&'a str),
    /// A number, a string or bytes.
    Literal,
    /// A bracket of any kind.
    Open,
    /// A bracket of any kind.
    Close,
    /// `.`
    Dot,
    /// `-`
    Minus,
    /// `!`
    Not,
    /// `?`
    Question,
    /// `,` and `:`
    Separator,
    /// Any other operator.
    Operator,
}

/// Whether a backslash in a string begins an escape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Read,
    Raw,
}

/// The tokens of a text, one by one.
pub(super) struct Lexer<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// The next token; `None` at the end.
    pub(super) fn next_token(&mut self) -> Result<Option<Token<'a>>, OutOfBounds> {
        self.skip_blanks();
        let Some(first) = self.rest().chars().next() else {
            return Ok(None);
        };
        let token = match first {
            '0'..='9' => self.number(),
            '.' if self.rest()[1..].starts_with(|next: char| next.is_ascii_digit()) => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => self.word()?,
            '"' | '\'' => self.string(first, Escapes::Read)?,
            '`' => self.word_in_backticks()?,
            _ => self.symbol(first)?,
        };
        Ok(Some(token))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    /// Steps over the characters that `is_part` accepts, and says how many bytes they are.
    fn skip(&mut self, is_part: impl Fn(char) -> bool) -> usize {
        let rest = self.rest();
        let length = rest.find(|next: char| !is_part(next)).unwrap_or(rest.len());
        self.position += length;
        length
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.position += text.len();
        }
        found
    }

    fn skip_blanks(&mut self) {
        loop {
            self.skip(|next| matches!(next, ' ' | '\t' | '\r' | '\n' | '\u{c}'));
            if !self.take("//") {
                return;
            }
            self.skip(|next| next != '\n');
        }
    }

    fn symbol(&mut self, first: char) -> Result<Token<'a>, OutOfBounds> {
        const LONG: [&str; 6] = ["==", "!=", "<=", ">=", "&&", "||"];
        if LONG.iter().any(|operator| self.take(operator)) {
            return Ok(Token::Operator);
        }
        self.position += first.len_utf8();
        Ok(match first {
            '(' | '[' | '{' => Token::Open,
            ')' | ']' | '}' => Token::Close,
            '.' => Token::Dot,
            ',' | ':' => Token::Separator,
            '-' => Token::Minus,
            '!' => Token::Not,
            '?' => Token::Question,
            '<' | '>' | '+' | '*' | '/' | '%' => Token::Operator,
            '=' | '&' | '|' => return Err(malformed(format!("{first:?} is no operator"))),
            other => return Err(malformed(format!("the character {other:?} belongs to no expression"))),
        })
    }

    fn number(&mut self) -> Token<'a> {
        let start = self.position;
        if self.take("0x") {
            if self.skip(|next| next.is_ascii_hexdigit()) > 0 {
                self.skip_unsigned();
                return Token::Literal;
            }
            self.position = start;
        }
        let is_digit = |next: char| next.is_ascii_digit();
        self.skip(is_digit);
        let is_fraction = self
            .rest()
            .strip_prefix('.')
            .is_some_and(|rest| rest.starts_with(is_digit));
        if is_fraction {
            self.position += 1;
            self.skip(is_digit);
        }
        if !self.skip_exponent() && !is_fraction {
            self.skip_unsigned();
        }
        Token::Literal
    }

    fn skip_exponent(&mut self) -> bool {
        let start = self.position;
        if self.take("e") || self.take("E") {
            let _ = self.take("+") || self.take("-");
            if self.skip(|next| next.is_ascii_digit()) > 0 {
                return true;
            }
        }
        self.position = start;
        false
    }

    fn skip_unsigned(&mut self) {
        let _ = self.take("u") || self.take("U");
    }

    fn word(&mut self) -> Result<Token<'a>, OutOfBounds> {
        let start = self.position;
        self.skip(|next| next.is_ascii_alphanumeric() || next == '_');
        let word = &self.text[start..self.position];
        let escapes = match word {
            "b" | "B" => Escapes::Read,
            "r" | "R" | "br" | "bR" | "Br" | "BR" => Escapes::Raw,
            _ => return Ok(Token::Word(word)),
        };
        match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => self.string(quote, escapes),
            _ => Ok(Token::Word(word)),
        }
    }

    fn word_in_backticks(&mut self) -> Result<Token<'a>, OutOfBounds> {
        self.position += 1;
        let start = self.position;
        let length = self.skip(|next| next.is_ascii_alphanumeric() || "_.-/ ".contains(next));
        let word = &self.text[start..self.position];
        if length > 0 && self.take("`") {
            Ok(Token::Word(word))
        } else {
            Err(malformed("an identifier in backticks has no end"))
        }
    }

    /// A string from its first quote on. One that begins with three quotes ends with three.
    fn string(&mut self, quote: char, escapes: Escapes) -> Result<Token<'a>, OutOfBounds> {
        let long = quote.to_string().repeat(3);
        let is_long = self.take(&long);
        let end = if is_long { long } else { quote.to_string() };
        if !is_long {
            self.position += 1;
        }
        loop {
            if self.take(&end) {
                return Ok(Token::Literal);
            }
            let Some(next) = self.rest().chars().next() else {
                return Err(malformed("a string has no end"));
            };
            match next {
                '\n' | '\r' if !is_long => return Err(malformed("a string has no end")),
                '\\' if escapes == Escapes::Read => self.escape()?,
                _ => self.position += next.len_utf8(),
            }
        }
    }

    fn escape(&mut self) -> Result<(), OutOfBounds> {
        self.position += 1;
        let rest = self.rest();
        let Some(kind) = rest.chars().next() else {
            return Err(malformed("a string has no end"));
        };
        let digits = match kind {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`' => "",
            '0'..='3' | 'x' | 'X' => rest.get(1..3).unwrap_or("?"),
            'u' => rest.get(1..5).unwrap_or("?"),
            'U' => rest.get(1..9).unwrap_or("?"),
            _ => "?",
        };
        let is_octal = kind.is_ascii_digit();
        let is_digit = |next: char| {
            if is_octal {
                matches!(next, '0'..='7')
            } else {
                next.is_ascii_hexdigit()
            }
        };
        if !digits.chars().all(is_digit) {
            return Err(malformed(format!(
                "a string has an escape that does not exist: \\{kind}"
            )));
        }
        self.position += kind.len_utf8() + digits.len();
        Ok(())
    }
}

fn malformed(message: impl Into<String>) -> OutOfBounds {
    OutOfBounds::Malformed(message.into())
}
