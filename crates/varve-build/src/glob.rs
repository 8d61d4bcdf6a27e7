//! Patterns of paths as Go's `filepath.Match` reads them, and paths as Go cleans them.

use varve_types::limits;

/// A pattern is none: `[` without `]`, an escape at the end, or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct PatternError;

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// This character.
    Char(char),
    /// Any character but a slash.
    One,
    /// Any number of characters but slashes.
    Many,
    /// Any number of whole directories, with their slashes.
    Directories,
    /// Anything.
    Rest,
    /// One of these ranges, or none of them.
    Class(bool, Vec<(char, char)>),
}

/// Whether a path is a pattern.
pub fn has_wildcards(path: &str) -> bool {
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
    false
}

/// A pattern of `COPY` and of `filepath.Match`: `*`, `?`, `[a-z]`, `[^a]` and `\` as escape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<Part>);

impl Glob {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.chars().count() > limits::PATH_PATTERN_CHARS_MAX {
            return Err(PatternError);
        }
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '*' => Part::Many,
                '?' => Part::One,
                '[' => class(&mut chars)?,
                '\\' => Part::Char(chars.next().ok_or(PatternError)?),
                c => Part::Char(c),
            });
        }
        Ok(Self(parts))
    }

    /// Whether the whole path fits.
    pub fn matches(&self, path: &str) -> bool {
        matches(&self.0, path)
    }
}

/// Reads `[…]` after its bracket.
pub(crate) fn class(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Part, PatternError> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Ok(Part::Class(negated, ranges));
        }
        let low = class_char(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_char(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, PatternError> {
    match chars.next() {
        None | Some('-' | ']') => Err(PatternError),
        Some('\\') => chars.next().ok_or(PatternError),
        Some(c) => Ok(c),
    }
}

/// Whether the parts match the whole path. Time is parts times characters, whatever the stars.
pub(crate) fn matches(parts: &[Part], path: &str) -> bool {
    let chars: Vec<char> = path.chars().collect();
    let mut reached = vec![false; chars.len() + 1];
    reached[0] = true;
    for part in parts {
        let mut next = vec![false; reached.len()];
        let mut open = false;
        let mut entered = false;
        for at in 0..reached.len() {
            let before = at.checked_sub(1).map(|i| chars[i]);
            let one = |fits: bool| fits && at > 0 && reached[at - 1];
            next[at] = match part {
                Part::Char(c) => one(before == Some(*c)),
                Part::One => one(before != Some('/')),
                Part::Class(negated, ranges) => one(before.is_some_and(|b| {
                    ranges.iter().any(|(low, high)| (*low..=*high).contains(&b)) != *negated
                })),
                Part::Many => {
                    open = reached[at] || (open && before != Some('/'));
                    open
                }
                Part::Rest => {
                    open |= reached[at];
                    open
                }
                Part::Directories => {
                    let closed = entered && before == Some('/');
                    entered |= reached[at];
                    reached[at] || closed
                }
            };
        }
        if !next.contains(&true) {
            return false;
        }
        reached = next;
    }
    reached[chars.len()]
}

/// A path as Go's `path.Clean` writes it: no `.`, no `//`, `..` taken where it can be.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// A path below a directory, cleaned: an absolute path stays what it is, `..` ends at the root.
pub fn join(directory: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("/{directory}/{path}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, fits: bool) {
        assert_eq!(Glob::parse(pattern).unwrap().matches(path), fits, "{pattern} on {path}");
    }

    #[test]
    fn stars_stay_in_their_directory() {
        check("*.txt", "a.txt", true);
        check("*.txt", "d/a.txt", false);
        check("d/*/c", "d/b/c", true);
        check("a?c", "a/c", false);
        check("*", "", true);
    }

    #[test]
    fn classes_and_escapes_are_gos() {
        check("[a-c]x", "bx", true);
        check("[^a-c]x", "bx", false);
        check("[\\]a]x", "]x", true);
        check("\\*", "*", true);
        check("\\*", "a", false);
        for bad in ["[", "[a", "[]a]", "[-x]", "a\\", "[a-]"] {
            assert_eq!(Glob::parse(bad), Err(PatternError), "{bad}");
        }
    }

    #[test]
    fn paths_are_cleaned_as_gos() {
        for (path, cleaned) in [
            ("", "."),
            ("a//b/./c/..", "a/b"),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("/", "/"),
            ("a/..", "."),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
        assert_eq!(join("/app", "../../x"), "/x");
    }
}
