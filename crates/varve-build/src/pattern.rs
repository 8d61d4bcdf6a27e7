//! Patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`: `*` and `?`, with
//! `\` before what is meant literally. Neither matches the end of a line (docker's rule).

use varve_types::limits;

use crate::expand::ExpandError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Many,
}

/// A pattern, ready to be matched.
#[derive(Debug)]
pub(crate) struct Pattern {
    tokens: Vec<Token>,
    longest: bool,
}

/// Steps that matching may still take.
pub(crate) struct Steps(usize);

impl Steps {
    /// As many as one word may take.
    pub(crate) fn new() -> Self {
        Self(limits::EXPANSION_STEPS_MAX)
    }

    fn take(&mut self) -> Result<(), ExpandError> {
        self.0 = self.0.checked_sub(1).ok_or(ExpandError::Steps)?;
        Ok(())
    }
}

impl Pattern {
    /// Reads a pattern that matches as much as it can, or as little.
    pub(crate) fn parse(text: &str, longest: bool) -> Result<Self, ExpandError> {
        let mut tokens: Vec<Token> = Vec::new();
        let mut chars = text.chars().peekable();
        if text.chars().count() > limits::EXPANSION_PATTERN_CHARS_MAX {
            return Err(ExpandError::PatternTooLong);
        }
        while let Some(c) = chars.next() {
            let token = match c {
                '*' if tokens.last() == Some(&Token::Many) => continue,
                '*' => Token::Many,
                '?' => Token::One,
                // `}` and `/` need an escape inside `${}`, which is not part of the pattern.
                '\\' if matches!(chars.peek(), Some('}' | '/')) => continue,
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\')) => Token::Char(c),
                    other => {
                        let escape = other.unwrap_or(char::REPLACEMENT_CHARACTER);
                        return Err(ExpandError::Pattern(text.to_owned(), escape));
                    }
                },
                c => Token::Char(c),
            };
            tokens.push(token);
        }
        Ok(Self { tokens, longest })
    }

    /// The value without what the pattern matches at its beginning.
    pub(crate) fn trim_start(&self, value: &str, steps: &mut Steps) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        let end = self.end(&chars, 0, steps)?.unwrap_or(0);
        Ok(chars[end..].iter().collect())
    }

    /// The value without what the pattern matches at its end.
    pub(crate) fn trim_end(
        mut self,
        value: &str,
        steps: &mut Steps,
    ) -> Result<String, ExpandError> {
        self.tokens.reverse();
        let chars: Vec<char> = value.chars().rev().collect();
        let end = self.end(&chars, 0, steps)?.unwrap_or(0);
        Ok(chars[end..].iter().rev().collect())
    }

    /// The value with the first match replaced, or all.
    pub(crate) fn replace(
        &self,
        value: &str,
        text: &str,
        all: bool,
        steps: &mut Steps,
    ) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        let mut last_end = None;
        while at <= chars.len() {
            let end = self.end(&chars, at, steps)?;
            match end {
                Some(end) if end > at || last_end != Some(at) => {
                    out.push_str(text);
                    if out.len() > limits::EXPANSION_SIZE_BYTES_MAX {
                        return Err(ExpandError::TooLarge);
                    }
                    last_end = Some(end);
                    if end == at {
                        out.extend(chars.get(at));
                        at += 1;
                    } else {
                        at = end;
                    }
                    if !all {
                        break;
                    }
                }
                _ => {
                    out.extend(chars.get(at));
                    at += 1;
                }
            }
        }
        out.extend(chars.get(at..).unwrap_or_default());
        Ok(out)
    }

    /// Where the match that begins at `from` ends.
    fn end(
        &self,
        chars: &[char],
        from: usize,
        steps: &mut Steps,
    ) -> Result<Option<usize>, ExpandError> {
        // Positions that the tokens so far can reach: a set for each, so that time stays
        // pattern times value whatever the stars.
        let mut reached = vec![false; chars.len() + 1 - from];
        reached[0] = true;
        for token in &self.tokens {
            let mut next = vec![false; reached.len()];
            let mut open = false;
            for at in 0..reached.len() {
                steps.take()?;
                let before = at.checked_sub(1).map(|i| chars[from + i]);
                match token {
                    Token::Many => {
                        open = reached[at] || (open && before != Some('\n'));
                        next[at] = open;
                    }
                    Token::One => next[at] = at > 0 && reached[at - 1] && before != Some('\n'),
                    Token::Char(c) => next[at] = at > 0 && reached[at - 1] && before == Some(*c),
                }
            }
            reached = next;
        }
        let found = if self.longest {
            reached.iter().rposition(|at| *at)
        } else {
            reached.iter().position(|at| *at)
        };
        Ok(found.map(|at| from + at))
    }
}
