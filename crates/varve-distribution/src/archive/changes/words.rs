//! Words of an instruction: splitting them, and what quotes, backslashes and `$` mean in them.

use super::ChangeError;

/// Splits at unquoted white space. Quotes and backslashes stay in the words.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None | Some('"'), '\\') => {
                // A backslash at the very end is dropped, as Docker does.
                if let Some(escaped) = chars.next() {
                    word.push(c);
                    word.push(escaped);
                }
            }
            (None, '\'' | '"') => {
                quote = Some(c);
                word.push(c);
            }
            (open, c) => {
                if open == Some(c) {
                    quote = None;
                }
                word.push(c);
            }
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The variables that words may name.
pub(super) struct Environment<'a>(pub(super) &'a [String]);

impl Environment<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let value = |pair: &'_ String| pair.split_once('=').is_some_and(|(key, _)| key == name);
        let pair = self.0.iter().rev().find(|pair| value(pair))?;
        pair.split_once('=').map(|(_, value)| value)
    }

    /// Takes quotes and backslashes out and puts variables in.
    pub(super) fn expand(&self, word: &str) -> Result<String, ChangeError> {
        let mut text = Text { rest: word, environment: self };
        text.until(None)
    }
}

struct Text<'a> {
    rest: &'a str,
    environment: &'a Environment<'a>,
}

impl Text<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn until(&mut self, stop: Option<char>) -> Result<String, ChangeError> {
        let mut out = String::new();
        while let Some(c) = self.next() {
            match c {
                c if Some(c) == stop => return Ok(out),
                '\'' => self.single_quoted(&mut out)?,
                '"' => self.double_quoted(&mut out)?,
                '$' => out.push_str(&self.dollar()?),
                '\\' => out.extend(self.next()),
                c => out.push(c),
            }
        }
        if stop.is_some() { Err(ChangeError::OpenSubstitution) } else { Ok(out) }
    }

    fn single_quoted(&mut self, out: &mut String) -> Result<(), ChangeError> {
        loop {
            match self.next().ok_or(ChangeError::OpenQuote("single"))? {
                '\'' => return Ok(()),
                c => out.push(c),
            }
        }
    }

    fn double_quoted(&mut self, out: &mut String) -> Result<(), ChangeError> {
        loop {
            match self.next().ok_or(ChangeError::OpenQuote("double"))? {
                '"' => return Ok(()),
                '$' => out.push_str(&self.dollar()?),
                '\\' => match self.next().ok_or(ChangeError::OpenQuote("double"))? {
                    c @ ('"' | '$' | '\\') => out.push(c),
                    c => out.extend(['\\', c]),
                },
                c => out.push(c),
            }
        }
    }

    fn dollar(&mut self) -> Result<String, ChangeError> {
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.environment.get(&name).unwrap_or_default().to_owned());
        }
        self.next();
        let name = self.name();
        if name.is_empty() {
            return Err(ChangeError::BadSubstitution);
        }
        let value = self.environment.get(&name).map(str::to_owned);
        match self.next().ok_or(ChangeError::OpenSubstitution)? {
            '}' => Ok(value.unwrap_or_default()),
            ':' => {
                let modifier = self.next().ok_or(ChangeError::OpenSubstitution)?;
                self.modified(&name, value.filter(|v| !v.is_empty()), modifier, ":")
            }
            modifier => self.modified(&name, value, modifier, ""),
        }
    }

    fn modified(
        &mut self,
        name: &str,
        value: Option<String>,
        modifier: char,
        colon: &str,
    ) -> Result<String, ChangeError> {
        if !matches!(modifier, '-' | '+' | '?') {
            return Err(ChangeError::Modifier(format!("{colon}{modifier}")));
        }
        let word = self.until(Some('}'))?;
        match (modifier, value) {
            ('-', value) => Ok(value.unwrap_or(word)),
            ('+', Some(_)) => Ok(word),
            ('?', None) => {
                let message =
                    if word.is_empty() { "is not allowed to be unset".to_owned() } else { word };
                Err(ChangeError::Unset { name: name.to_owned(), message })
            }
            (_, value) => Ok(value.unwrap_or_default()),
        }
    }

    /// A name, the digits of a positional parameter, or one special character.
    fn name(&mut self) -> String {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = match self.peek() {
            Some(c) if c.is_ascii_digit() => {
                self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len())
            }
            Some(c) if word(c) => self.rest.find(|c| !word(c)).unwrap_or(self.rest.len()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => 0,
        };
        let (name, rest) = self.rest.split_at(end);
        let name = name.to_owned();
        self.rest = rest;
        name
    }
}
