//! Parser directives: `# syntax=`, `# escape=`, `# check=` in the first lines.

use crate::{error::Problem, source::Lines};

/// What the first lines of a Dockerfile say about the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directives {
    /// The frontend asked for; here there is one, which takes all.
    pub syntax: Option<Directive>,
    /// Options of the build checks.
    pub check: Option<Directive>,
    /// The character that escapes and continues lines, when it is not `\`.
    pub escape: Option<char>,
}

/// A directive's value and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The value.
    pub value: String,
    /// The line.
    pub lines: Lines,
}

pub(super) struct DirectiveReader {
    found: Directives,
    line: usize,
    ended: bool,
    /// A first line `#!…` ends directives for the escape character only.
    shebang: bool,
}

impl DirectiveReader {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let shebang = bytes.starts_with(b"#!");
        Self { found: Directives::default(), line: 0, ended: false, shebang }
    }

    pub(super) fn escape(&self) -> char {
        self.found.escape.unwrap_or('\\')
    }

    pub(super) fn found(self) -> Directives {
        self.found
    }

    /// No directive follows.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Reads a comment line; returns whether it was a directive.
    pub(super) fn read(&mut self, comment: &str) -> Result<bool, Problem> {
        self.line += 1;
        if self.ended || (self.shebang && self.line == 1) {
            return Ok(false);
        }
        let Some((key, value)) = key_and_value(comment) else {
            self.ended = true;
            return Ok(false);
        };
        let lines = Lines::one(self.line);
        let directive = Directive { value: value.to_owned(), lines };
        let slot = match key.as_str() {
            "syntax" => &mut self.found.syntax,
            "check" => &mut self.found.check,
            "escape" if self.found.escape.is_some() => return Err(Problem::DirectiveTwice(key)),
            "escape" if self.shebang => return Ok(true),
            "escape" => {
                let escape = match value {
                    "\\" => '\\',
                    "`" => '`',
                    other => return Err(Problem::Escape(other.to_owned())),
                };
                self.found.escape = Some(escape);
                return Ok(true);
            }
            _ => {
                self.ended = true;
                return Ok(false);
            }
        };
        match slot.replace(directive) {
            Some(_) => Err(Problem::DirectiveTwice(key)),
            None => Ok(true),
        }
    }
}

/// `# key = value`, the key in lower case.
fn key_and_value(comment: &str) -> Option<(String, &str)> {
    let (key, value) = comment.strip_prefix('#')?.trim_start().split_once('=')?;
    let (key, value) = (key.trim_end(), value.trim());
    let fits = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric());
    (fits && !value.is_empty()).then(|| (key.to_ascii_lowercase(), value))
}
