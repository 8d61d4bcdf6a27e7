//! Templates cut into tokens.

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Where it begins, in bytes.
    pub(crate) at: usize,
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Left,
    Right,
    Space,
    /// `.Name`
    Field,
    /// `$` or `$name`
    Variable,
    Identifier,
    Keyword,
    Dot,
    Nil,
    Bool,
    Number,
    Char,
    Quoted,
    Raw,
    Pipe,
    Open,
    Close,
    Assign,
    Declare,
    Comma,
    End,
    /// The text says what is wrong.
    Error,
}

const KEYWORDS: &[&str] =
    &["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

impl Token {
    /// The token as error texts show it.
    pub(crate) fn shown(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Keyword | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ if self.text.chars().count() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                format!("{}...", super::quote::go_quoted(&head))
            }
            _ => super::quote::go_quoted(&self.text),
        }
    }
}

/// Cuts a template into tokens. The last one is [`Kind::End`] or [`Kind::Error`].
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { source, at: 0, parens: 0, tokens: Vec::new() };
    match lexer.run() {
        Ok(()) => lexer.push(Kind::End, source.len(), source.len()),
        Err((start, text)) => {
            let line = lexer.line_of(start);
            lexer.tokens.push(Token { kind: Kind::Error, at: start, line, text });
        }
    }
    lexer.tokens
}

type Wrong = (usize, String);

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    parens: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), Wrong> {
        let mut trim = false;
        while self.at < self.source.len() {
            let start = self.at;
            let rest = &self.source[start..];
            let Some(found) = rest.find("{{") else {
                self.push_text(start, self.source.len(), trim, false);
                self.at = self.source.len();
                return Ok(());
            };
            let left = start + found;
            let after = &self.source[left + 2..];
            let trim_before = after.starts_with('-') && after[1..].starts_with(is_space);
            self.push_text(start, left, trim, trim_before);
            self.at = left + 2 + if trim_before { 2 } else { 0 };
            trim = self.action(left)?;
        }
        Ok(())
    }

    fn push_text(&mut self, start: usize, end: usize, trim_start: bool, trim_end: bool) {
        let (mut start, mut end) = (start, end);
        if trim_start {
            start += self.source[start..end].len()
                - self.source[start..end].trim_start_matches(is_space).len();
        }
        if trim_end {
            end = start + self.source[start..end].trim_end_matches(is_space).len();
        }
        if start < end {
            self.push(Kind::Text, start, end);
        }
    }

    /// Reads an action behind its `{{`. Says whether the text behind it is to be trimmed.
    fn action(&mut self, left: usize) -> Result<bool, Wrong> {
        if self.rest().starts_with("/*") {
            return self.comment();
        }
        self.push(Kind::Left, left, left + 2);
        self.parens = 0;
        loop {
            let start = self.at;
            if let Some((length, trim)) = self.right_delimiter() {
                if self.parens > 0 {
                    return Err((start, "unclosed left paren".to_owned()));
                }
                self.push(Kind::Right, start + length - 2, start + length);
                self.at = start + length;
                return Ok(trim);
            }
            let Some(next) = self.rest().chars().next() else {
                return Err((left, "unclosed action".to_owned()));
            };
            self.token(next)?;
        }
    }

    fn right_delimiter(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        if rest.starts_with("}}") {
            return Some((2, false));
        }
        let trimmed = rest.strip_prefix(is_space)?;
        (trimmed.starts_with("-}}")).then(|| (rest.len() - trimmed.len() + 3, true))
    }

    fn comment(&mut self) -> Result<bool, Wrong> {
        let start = self.at;
        let Some(end) = self.rest().find("*/") else {
            return Err((start, "unclosed comment".to_owned()));
        };
        self.at += end + 2;
        match self.right_delimiter() {
            Some((length, trim)) => {
                self.at += length;
                Ok(trim)
            }
            None => Err((start, "comment ends before closing delimiter".to_owned())),
        }
    }

    fn token(&mut self, next: char) -> Result<(), Wrong> {
        let start = self.at;
        match next {
            c if is_space(c) => {
                while self.right_delimiter().is_none() && self.rest().starts_with(is_space) {
                    self.at += 1;
                }
                self.push(Kind::Space, start, self.at);
            }
            '=' => self.take(Kind::Assign, 1),
            ':' if self.rest().starts_with(":=") => self.take(Kind::Declare, 2),
            ':' => return Err((start, "expected :=".to_owned())),
            '|' => self.take(Kind::Pipe, 1),
            ',' => self.take(Kind::Comma, 1),
            '"' => self.quoted('"', Kind::Quoted, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::Char, "unterminated character constant")?,
            '`' => {
                let Some(end) = self.rest()[1..].find('`') else {
                    return Err((start, "unterminated raw quoted string".to_owned()));
                };
                self.take(Kind::Raw, end + 2);
            }
            '(' => {
                self.parens += 1;
                self.take(Kind::Open, 1);
            }
            ')' if self.parens == 0 => {
                return Err((start, "unexpected right paren".to_owned()));
            }
            ')' => {
                self.parens -= 1;
                self.take(Kind::Close, 1);
            }
            '$' => self.word(Kind::Variable, 1)?,
            '.' if !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                if self.rest()[1..].starts_with(is_alphanumeric) {
                    self.word(Kind::Field, 1)?;
                } else {
                    self.word(Kind::Dot, 1)?;
                }
            }
            '+' | '-' | '.' | '0'..='9' => self.number()?,
            c if is_alphanumeric(c) => self.word(Kind::Identifier, 0)?,
            c => {
                let text = format!("unrecognized character in action: {}", code_point(c));
                return Err((start, text));
            }
        }
        Ok(())
    }

    fn take(&mut self, kind: Kind, length: usize) {
        self.push(kind, self.at, self.at + length);
        self.at += length;
    }

    fn quoted(&mut self, mark: char, kind: Kind, unterminated: &str) -> Result<(), Wrong> {
        let start = self.at;
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            match c {
                '\\' if chars.next().is_some_and(|(_, c)| c != '\n') => {}
                '\\' | '\n' => break,
                c if c == mark => {
                    self.take(kind, offset + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err((start, unterminated.to_owned()))
    }

    fn word(&mut self, kind: Kind, skip: usize) -> Result<(), Wrong> {
        let start = self.at;
        let rest = &self.rest()[skip..];
        let length = rest.find(|c: char| !is_alphanumeric(c)).unwrap_or(rest.len());
        let end = start + skip + length;
        let text = &self.source[start..end];
        self.at = end;
        if let Some(c) = self.rest().chars().next().filter(|&c| !self.is_terminator(c)) {
            return Err((start, format!("bad character {}", code_point(c))));
        }
        let kind = match text {
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            text if KEYWORDS.contains(&text) => Kind::Keyword,
            _ => kind,
        };
        self.push(kind, start, end);
        Ok(())
    }

    fn is_terminator(&self, c: char) -> bool {
        is_space(c)
            || matches!(c, '.' | ',' | '|' | ':' | ')' | '(' | '=')
            || self.rest().starts_with("}}")
    }

    fn number(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        let rest = self.rest();
        let sign = usize::from(rest.starts_with(['+', '-']));
        let mut length = sign;
        for (offset, c) in rest.char_indices().skip(sign) {
            let exponent = rest[..offset].ends_with(['e', 'E', 'p', 'P']);
            if is_alphanumeric(c) || c == '.' || (matches!(c, '+' | '-') && exponent) {
                length = offset + c.len_utf8();
            } else {
                break;
            }
        }
        let text = &rest[..length];
        if super::number::parse(text).is_none() {
            return Err((start, format!("bad number syntax: {}", super::quote::go_quoted(text))));
        }
        self.take(Kind::Number, length);
        Ok(())
    }

    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn line_of(&self, at: usize) -> usize {
        1 + self.source[..at].matches('\n').count()
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        let (line, text) = (self.line_of(start), self.source[start..end].to_owned());
        self.tokens.push(Token { kind, at: start, line, text });
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// A character as Go's `%#U` shows it.
fn code_point(c: char) -> String {
    format!("U+{:04X} '{}'", c as u32, varve_types::Printable(c.encode_utf8(&mut [0; 4])))
}
