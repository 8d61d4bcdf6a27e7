//! Here-documents: `<<EOF`, `<<-EOF`, `<<"EOF"`.

use crate::{
    error::{Problem, Result},
    expand::{Expander, NoVariables},
};

/// A here-document of `RUN`, `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it; of `COPY`, the name of the file too.
    pub name: String,
    /// Whether variables in it are expanded: not when the word is quoted.
    pub expand: bool,
    /// Whether tabs at the beginning of lines do not count (`<<-`).
    pub chomp: bool,
    /// The text, with the ends of its lines.
    pub content: String,
}

impl Heredoc {
    /// The text, without leading tabs where they do not count.
    pub fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        let lines = self.content.split_inclusive('\n');
        lines.map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// Reads a word such as `<<EOF`, `3<<-"EOF"`; `None` when it is no such word.
pub(crate) fn parse_word(word: &str) -> Result<Option<Heredoc>, Problem> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let mut expander = Expander::new('\\');
    expander.keep_unset = true;
    let plain = expander.expand(rest, &NoVariables).map_err(Problem::HeredocWord)?;
    expander.keep_quotes = true;
    let quoted = expander.expand(rest, &NoVariables).map_err(Problem::HeredocWord)?;
    let ([name], [with_quotes]) = (plain.words.as_slice(), quoted.words.as_slice()) else {
        return Ok(None);
    };
    // A quote that is gone was one of the word's own.
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expand = quotes(name) == quotes(with_quotes);
    Ok(Some(Heredoc { name: name.clone(), expand, chomp, content: String::new() }))
}

/// The here-documents that a line announces, in order.
pub(crate) fn announced(line: &str) -> Result<Vec<Heredoc>, Problem> {
    let mut expander = Expander::new('\\');
    expander.keep_quotes = true;
    expander.keep_escapes = true;
    expander.keep_unset = true;
    let words = expander.expand(line, &NoVariables).map(|e| e.words).unwrap_or_default();
    words.iter().filter_map(|word| parse_word(word).transpose()).collect()
}
