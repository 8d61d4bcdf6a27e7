//! `.dockerignore`: which files of a context are left out.
//!
//! The meaning is docker's, not git's: patterns are anchored at the context's root, the last one
//! that fits decides, and what fits a directory fits all in it.

use varve_types::{Kind, limits};

use crate::glob::{Glob, Part, PatternError, class, clean, matches};

/// Why a `.dockerignore` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// A pattern that is none.
    #[error("{arg1}: {}", varve_types::Printable(.0), arg1 = .1)]
    Pattern(String, PatternError),
    /// `!` alone.
    #[error("illegal exclusion pattern: \"!\"")]
    Negation,
    /// More bytes than [`limits::IGNORE_SIZE_BYTES_MAX`].
    #[error("ignore file of {arg0} bytes is larger than the limit of {limit} bytes", limit = limits::IGNORE_SIZE_BYTES_MAX, arg0 = .0)]
    TooLarge(usize),
    /// More patterns than [`limits::IGNORE_PATTERNS_MAX`].
    #[error("ignore file has more than the limit of {limit} patterns", limit = limits::IGNORE_PATTERNS_MAX)]
    TooMany,
}

impl IgnoreError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pattern(..) | Self::Negation => Kind::Invalid,
            Self::TooLarge(_) | Self::TooMany => Kind::Exhausted,
        }
    }
}

/// The files that may hold the patterns for a Dockerfile, in the order in which they are looked for:
/// the first one that is there counts alone.
pub fn file_names(dockerfile: &str) -> [String; 2] {
    [format!("{dockerfile}.dockerignore"), ".dockerignore".to_owned()]
}

/// Patterns of paths, in order.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    negated: bool,
    way: Way,
}

/// Most patterns need no matcher.
#[derive(Debug, Clone)]
enum Way {
    Equal(String),
    Start(String),
    End(String),
    Parts(Vec<Part>),
}

/// Which patterns fit a directory: its files need not be asked again.
#[derive(Debug, Clone, Default)]
pub struct Fits(Vec<bool>);

impl Ignore {
    /// Reads the text of a `.dockerignore`.
    pub fn parse(bytes: &[u8]) -> Result<Self, IgnoreError> {
        if bytes.len() > limits::IGNORE_SIZE_BYTES_MAX {
            return Err(IgnoreError::TooLarge(bytes.len()));
        }
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self::patterns(lines.map(str::trim).filter(|line| !line.is_empty()).map(from_root))
    }

    /// Takes patterns as they are, such as those of `--exclude`.
    pub fn patterns(
        patterns: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, IgnoreError> {
        let mut ignore = Self::default();
        for text in patterns {
            let text = text.as_ref().trim();
            if text.is_empty() {
                continue;
            }
            ignore.patterns.push(Pattern::parse(text)?);
            if ignore.patterns.len() > limits::IGNORE_PATTERNS_MAX {
                return Err(IgnoreError::TooMany);
            }
        }
        Ok(ignore)
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a pattern takes back what others leave out.
    pub fn has_negation(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.negated)
    }

    /// Whether a pattern leaves all out.
    pub(crate) fn is_everything(&self) -> bool {
        let all = |text: &str| matches!(text, "*" | "**" | "**/*");
        self.patterns.iter().any(|pattern| !pattern.negated && all(&pattern.text))
    }

    /// Whether a path, or a directory it is in, is left out. Paths have no slash at their
    /// beginning.
    pub fn matches(&self, path: &str) -> bool {
        let mut fits = Fits::default();
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let mut ignored = false;
        for end in ends {
            (ignored, fits) = self.matches_in(&path[..end], &fits);
        }
        ignored
    }

    /// The same for a path in a directory of which the answer is known; of what lies in the root,
    /// that is the default. For a walk over many files.
    pub fn matches_in(&self, path: &str, directory: &Fits) -> (bool, Fits) {
        let mut ignored = false;
        let fits = self.patterns.iter().enumerate().map(|(index, pattern)| {
            let fits = directory.0.get(index).copied().unwrap_or(false) || pattern.fits(path);
            if fits {
                ignored = !pattern.negated;
            }
            fits
        });
        let fits = fits.collect();
        (ignored, Fits(fits))
    }

    /// Whether something in a directory that is left out may be taken back, so that it must be
    /// walked.
    pub fn may_hold(&self, directory: &str) -> bool {
        let prefix = format!("{directory}/");
        self.patterns.iter().filter(|pattern| pattern.negated).any(|pattern| {
            let fixed = pattern.text.find(['*', '?', '[', '\\']).unwrap_or(pattern.text.len());
            let fixed = &pattern.text[..fixed];
            fixed.starts_with(&prefix)
                || (fixed.len() < pattern.text.len() && prefix.starts_with(fixed))
        })
    }
}

/// A pattern of a `.dockerignore` seen from the context's root: slashes at its beginning and end
/// do not count.
fn from_root(line: &str) -> String {
    let (mark, rest) = match line.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", line),
    };
    if rest.is_empty() {
        return mark.to_owned();
    }
    let cleaned = clean(rest);
    let cleaned = if cleaned.len() > 1 { cleaned.trim_start_matches('/') } else { &cleaned };
    format!("{mark}{cleaned}")
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, IgnoreError> {
        let cleaned = clean(text);
        let (negated, text) = match cleaned.strip_prefix('!') {
            Some("") => return Err(IgnoreError::Negation),
            Some(rest) => (true, rest),
            None => (false, cleaned.as_str()),
        };
        let bad = |error| IgnoreError::Pattern(text.to_owned(), error);
        Glob::parse(text).map_err(bad)?;
        let way = way(text).map_err(bad)?;
        Ok(Self { text: text.to_owned(), negated, way })
    }

    fn fits(&self, path: &str) -> bool {
        match &self.way {
            Way::Equal(text) => path == text,
            Way::Start(text) => path.starts_with(text.as_str()),
            Way::End(text) => {
                path.ends_with(text.as_str()) || text.strip_prefix('/').is_some_and(|t| t == path)
            }
            Way::Parts(parts) => matches(parts, path),
        }
    }
}

fn way(text: &str) -> Result<Way, PatternError> {
    let special = |text: &str| text.contains(['*', '?', '[', ']', '\\']);
    if !special(text) {
        return Ok(Way::Equal(text.to_owned()));
    }
    if let Some(rest) = text.strip_prefix("**").filter(|rest| !special(rest)) {
        return Ok(Way::End(rest.to_owned()));
    }
    if let Some(rest) = text.strip_suffix("**").filter(|rest| !special(rest)) {
        return Ok(Way::Start(rest.to_owned()));
    }
    let mut parts = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                if chars.peek().is_none() { Part::Rest } else { Part::Directories }
            }
            '*' => Part::Many,
            '?' => Part::One,
            '[' => class(&mut chars)?,
            '\\' => Part::Char(chars.next().ok_or(PatternError)?),
            c => Part::Char(c),
        });
    }
    Ok(Way::Parts(parts))
}
