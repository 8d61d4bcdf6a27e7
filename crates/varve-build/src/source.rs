//! The text of a Dockerfile, places in it, and how a place is shown.

use std::fmt;

use varve_types::Printable;

/// Lines of a Dockerfile, both counted from 1 and included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lines {
    /// The first.
    pub first: usize,
    /// The last.
    pub last: usize,
}

impl Lines {
    /// One line.
    pub fn one(line: usize) -> Self {
        Self { first: line, last: line }
    }

    fn contain(self, line: usize) -> bool {
        self.first <= line && line <= self.last.max(self.first)
    }
}

/// A Dockerfile as it came, with the name under which its lines are shown.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name, such as `Dockerfile`.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Some lines of a Dockerfile with marks on those that are meant. Shown as docker does:
///
/// ```text
/// Dockerfile:2
/// --------------------
///    1 |     FROM busybox
///    2 | >>> FOO bar
///    3 |     
/// --------------------
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The name of the file.
    pub name: String,
    /// The first line that is meant.
    pub line: usize,
    /// The lines, in order.
    pub lines: Vec<ExcerptLine>,
}

/// One line of an [`Excerpt`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExcerptLine {
    /// Its number, from 1.
    pub number: usize,
    /// Whether it is meant, not only near.
    pub marked: bool,
    /// Its text without the line's end.
    pub text: String,
}

/// Lines shown around one that is meant, in both directions together (docker's rule).
const AROUND_ONE_LINE: usize = 4;
/// The same around several lines.
const AROUND_LINES: usize = 2;

impl Source {
    /// Joins name and bytes.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }

    /// The lines meant and some around them; `None` when there is no such line.
    pub fn excerpt(&self, at: &[Lines]) -> Option<Excerpt> {
        let texts: Vec<&[u8]> = self.bytes.split(|b| *b == b'\n').collect();
        let line = at.iter().map(|lines| lines.first).min()?;
        let mut end = at.iter().map(|lines| lines.last.max(lines.first)).max()?.min(texts.len());
        let mut start = line;
        if start == 0 || start > texts.len() {
            return None;
        }
        let around = if start == end { AROUND_ONE_LINE } else { AROUND_LINES };
        let mut shown = 0;
        while shown < around {
            if start > 1 {
                start -= 1;
                shown += 1;
            }
            if end != texts.len() {
                end += 1;
                shown += 1;
            }
            shown += 1;
        }
        let lines = (start..=end).map(|number| {
            let text = String::from_utf8_lossy(texts[number - 1]);
            let marked = at.iter().any(|lines| lines.contain(number));
            ExcerptLine { number, marked, text: text.trim_end_matches('\r').to_owned() }
        });
        Some(Excerpt { name: self.name.clone(), line, lines: lines.collect() })
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const RULE: &str = "--------------------";
        writeln!(f, "{}:{}\n{RULE}", Printable(&self.name), self.line)?;
        for line in &self.lines {
            let mark = if line.marked { ">>>" } else { "   " };
            write!(f, " {:>3} | {mark} ", line.number)?;
            for (index, part) in line.text.split('\t').enumerate() {
                if index > 0 {
                    f.write_str("\t")?;
                }
                write!(f, "{}", Printable(part))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "{RULE}")
    }
}
