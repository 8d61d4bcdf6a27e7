//! Words of a Dockerfile: quotes, escapes and variables, as docker's builder understands them.
//!
//! Which part of an instruction is expanded, and with which variables, is the plan's business.

use std::collections::BTreeSet;

use varve_types::{Kind, Printable, limits};

use crate::pattern::{Pattern, Steps};

/// Where variables are looked up.
pub trait Variables {
    /// The value; `None` when it is not set, which is not the same as empty.
    fn get(&self, name: &str) -> Option<&str>;
}

/// No variable is set.
pub struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

/// Why a word cannot be expanded. The texts are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// `'` without its twin.
    #[error("unexpected end of statement while looking for matching single-quote")]
    SingleQuote,
    /// `"` without its twin.
    #[error("unexpected end of statement while looking for matching double-quote")]
    DoubleQuote,
    /// `${` without `}`.
    #[error("syntax error: missing '}}'")]
    Brace,
    /// `${a/b` without the second `/`.
    #[error("syntax error: missing '/' in ${{}}")]
    Slash,
    /// `${}`, `${:…}`, `${{…}`.
    #[error("syntax error: bad substitution")]
    Substitution,
    /// `${a!}` and the like.
    #[error("unsupported modifier ({}) in substitution", Printable(.0))]
    Modifier(String),
    /// `${a?}` and `${a:?}` where there is no value.
    #[error("{}: {}", Printable(.0), Printable(.1))]
    Required(String, String),
    /// An escape in a pattern that escapes nothing.
    #[error("invalid pattern ({}) in substitution: invalid escape '\\{arg1}'", Printable(.0), arg1 = .1)]
    Pattern(String, char),
    /// More than [`limits::EXPANSION_PATTERN_CHARS_MAX`].
    #[error("pattern in substitution is longer than the limit of {limit} characters", limit = limits::EXPANSION_PATTERN_CHARS_MAX)]
    PatternTooLong,
    /// More than [`limits::EXPANSION_STEPS_MAX`].
    #[error("patterns in substitution take more than the limit of {limit} steps", limit = limits::EXPANSION_STEPS_MAX)]
    Steps,
    /// More than [`limits::EXPANSION_SIZE_BYTES_MAX`].
    #[error("word expands to more than the limit of {limit} bytes", limit = limits::EXPANSION_SIZE_BYTES_MAX)]
    TooLarge,
    /// More than [`limits::EXPANSION_DEPTH_MAX`].
    #[error("substitutions are nested deeper than the limit of {limit}", limit = limits::EXPANSION_DEPTH_MAX)]
    TooDeep,
}

impl ExpandError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::PatternTooLong | Self::Steps | Self::TooLarge | Self::TooDeep => Kind::Exhausted,
            _ => Kind::Invalid,
        }
    }
}

/// What a word expanded to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The whole text.
    pub text: String,
    /// The text split at blanks that are not quoted.
    pub words: Vec<String>,
    /// Variables that were asked for and set.
    pub matched: BTreeSet<String>,
    /// Variables that were asked for and not set.
    pub unmatched: BTreeSet<String>,
}

/// How words are expanded.
#[derive(Debug, Clone, Copy)]
pub struct Expander {
    /// The character that escapes: `\`, or what `# escape=` says.
    pub escape: char,
    /// Whether quotes stay in the text.
    pub keep_quotes: bool,
    /// Whether escapes stay in the text.
    pub keep_escapes: bool,
    /// Whether quotes are characters like others (the text of here-documents).
    pub plain_quotes: bool,
    /// Whether variables that are not set stay in the text.
    pub keep_unset: bool,
}

impl Expander {
    /// Expands as values of instructions are.
    pub fn new(escape: char) -> Self {
        Self {
            escape,
            keep_quotes: false,
            keep_escapes: false,
            plain_quotes: false,
            keep_unset: false,
        }
    }

    /// Expands a word.
    pub fn expand(self, word: &str, variables: &dyn Variables) -> Result<Expanded, ExpandError> {
        let mut run = Run {
            rules: self,
            raw: self.keep_escapes,
            chars: word.chars().collect(),
            at: 0,
            depth: 0,
            size: 0,
            steps: Steps::new(),
            variables,
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
        };
        let raw = run.raw;
        let (text, words) = run.until(None, raw)?;
        Ok(Expanded { text, words, matched: run.matched, unmatched: run.unmatched })
    }
}

struct Run<'a> {
    rules: Expander,
    raw: bool,
    chars: Vec<char>,
    at: usize,
    depth: usize,
    size: usize,
    steps: Steps,
    variables: &'a dyn Variables,
    matched: BTreeSet<String>,
    unmatched: BTreeSet<String>,
}

/// Collects words: blanks end one, unless they were quoted or escaped.
#[derive(Default)]
struct Words {
    word: String,
    words: Vec<String>,
}

impl Words {
    fn add(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_whitespace() {
                self.end();
            } else {
                self.word.push(c);
            }
        }
    }

    fn end(&mut self) {
        if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }
}

impl Run<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    fn count(&mut self, text: &str) -> Result<(), ExpandError> {
        self.size += text.len();
        if self.size > limits::EXPANSION_SIZE_BYTES_MAX {
            Err(ExpandError::TooLarge)
        } else {
            Ok(())
        }
    }

    /// Reads up to `stop`, or to the end when there is none to look for.
    fn until(
        &mut self,
        stop: Option<char>,
        raw: bool,
    ) -> Result<(String, Vec<String>), ExpandError> {
        if self.depth > limits::EXPANSION_DEPTH_MAX {
            return Err(ExpandError::TooDeep);
        }
        self.depth += 1;
        let before = std::mem::replace(&mut self.raw, raw);
        let result = self.until_stop(stop);
        self.raw = before;
        self.depth -= 1;
        result
    }

    fn until_stop(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), ExpandError> {
        let (mut text, mut words) = (String::new(), Words::default());
        while let Some(c) = self.peek() {
            if stop == Some(c) {
                self.at += 1;
                words.end();
                return Ok((text, words.words));
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    words.add(&value);
                    text.push_str(&value);
                }
                '\'' | '"' if !self.rules.plain_quotes => {
                    let value = if c == '"' { self.double_quote()? } else { self.single_quote()? };
                    words.word.push_str(&value);
                    text.push_str(&value);
                }
                _ => {
                    self.at += 1;
                    if c != self.rules.escape {
                        words.add(c.encode_utf8(&mut [0; 4]));
                        text.push(c);
                        continue;
                    }
                    if self.raw {
                        words.word.push(c);
                        text.push(c);
                    }
                    let Some(escaped) = self.next() else { break };
                    words.word.push(escaped);
                    text.push(escaped);
                }
            }
        }
        match stop {
            // The callers say what is missing.
            Some('/') => Err(ExpandError::Slash),
            Some(_) => Err(ExpandError::Brace),
            None => {
                words.end();
                Ok((text, words.words))
            }
        }
    }

    fn single_quote(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        let quote = self.next();
        text.extend(quote.filter(|_| self.rules.keep_quotes));
        loop {
            match self.next() {
                None => return Err(ExpandError::SingleQuote),
                Some('\'') => {
                    text.extend(quote.filter(|_| self.rules.keep_quotes));
                    return Ok(text);
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn double_quote(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        let quote = self.next();
        text.extend(quote.filter(|_| self.rules.keep_quotes));
        loop {
            match self.peek() {
                None => return Err(ExpandError::DoubleQuote),
                Some('"') => {
                    self.at += 1;
                    text.extend(quote.filter(|_| self.rules.keep_quotes));
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) => {
                    self.at += 1;
                    if c != self.rules.escape {
                        text.push(c);
                        continue;
                    }
                    if self.raw {
                        text.push(c);
                    }
                    match self.peek() {
                        None => {}
                        // Only these can be escaped; before others the escape stays.
                        Some(next) if next == '"' || next == '$' || next == c => {
                            self.at += 1;
                            text.push(next);
                        }
                        Some(_) => text.push(c),
                    }
                }
            }
        }
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.at += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.value(&name)? {
                Some(value) => value,
                None if self.rules.keep_unset => format!("${name}"),
                None => String::new(),
            });
        }
        self.at += 1;
        match self.peek() {
            None => return Err(ExpandError::Brace),
            Some('{' | '}' | ':') => return Err(ExpandError::Substitution),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            Some('}') => Ok(match self.value(&name)? {
                Some(value) => value,
                None if self.rules.keep_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some('/') => self.replacement(&name),
            Some(':') => {
                let modifier = self.next();
                self.modifier(&name, modifier, true)
            }
            modifier @ Some('+' | '-' | '?' | '#' | '%') => self.modifier(&name, modifier, false),
            other => {
                let shown = other.unwrap_or(char::REPLACEMENT_CHARACTER).to_string();
                Err(ExpandError::Modifier(shown))
            }
        }
    }

    /// What follows the name and, where `colon`, the colon: `empty` then counts as not set.
    fn modifier(
        &mut self,
        name: &str,
        modifier: Option<char>,
        colon: bool,
    ) -> Result<String, ExpandError> {
        let modifier = modifier.unwrap_or(char::REPLACEMENT_CHARACTER);
        let (mut word, _) = self.until(Some('}'), matches!(modifier, '#' | '%'))?;
        // These say what happens when there is no value, so its absence is no surprise.
        let value = match modifier {
            '-' | '+' | '?' => self.quiet_value(name)?,
            _ => self.value(name)?,
        };
        let shown = if colon { format!(":{modifier}") } else { modifier.to_string() };
        if self.rules.keep_unset && value.is_none() {
            return Ok(format!("${{{name}{shown}{word}}}"));
        }
        let given = value.clone().filter(|value| !(colon && value.is_empty()));
        match modifier {
            '-' => Ok(given.unwrap_or(word)),
            '+' => Ok(given.map(|_| word).unwrap_or_default()),
            '?' => given.ok_or_else(|| {
                if word.is_empty() {
                    let what = if value.is_some() { "empty" } else { "unset" };
                    word = format!("is not allowed to be {what}");
                }
                ExpandError::Required(name.to_owned(), word)
            }),
            '#' | '%' => {
                let value = value.unwrap_or_default();
                let longest = word.starts_with(modifier);
                let pattern = Pattern::parse(&word[usize::from(longest)..], longest)?;
                if modifier == '#' {
                    pattern.trim_start(&value, &mut self.steps)
                } else {
                    pattern.trim_end(&value, &mut self.steps)
                }
            }
            _ => Err(ExpandError::Modifier(shown)),
        }
    }

    fn replacement(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.peek() == Some('/');
        self.at += usize::from(all);
        let (pattern, _) = self.until(Some('/'), true)?;
        let (text, _) = self.until(Some('}'), true)?;
        let value = self.value(name)?;
        if self.rules.keep_unset && value.is_none() {
            return Ok(format!("${{{name}/{pattern}/{text}}}"));
        }
        let pattern = Pattern::parse(&pattern, true)?;
        pattern.replace(&value.unwrap_or_default(), &text, all, &mut self.steps)
    }

    /// A name, a number, or one of the shell's special parameters.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.peek() {
            Some(c) if c.is_numeric() => {
                while let Some(c) = self.peek().filter(|c| c.is_numeric()) {
                    name.push(c);
                    self.at += 1;
                }
            }
            Some(c @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) => {
                name.push(c);
                self.at += 1;
            }
            _ => {
                let fits = |c: &char| c.is_alphabetic() || c.is_numeric() || *c == '_';
                while let Some(c) = self.peek().filter(fits) {
                    name.push(c);
                    self.at += 1;
                }
            }
        }
        name
    }

    fn value(&mut self, name: &str) -> Result<Option<String>, ExpandError> {
        let value = self.quiet_value(name)?;
        if value.is_none() {
            self.unmatched.insert(name.to_owned());
        }
        Ok(value)
    }

    fn quiet_value(&mut self, name: &str) -> Result<Option<String>, ExpandError> {
        let variables = self.variables;
        let Some(value) = variables.get(name) else { return Ok(None) };
        self.count(value)?;
        self.matched.insert(name.to_owned());
        Ok(Some(value.to_owned()))
    }
}
