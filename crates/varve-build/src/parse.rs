//! The lines of a Dockerfile into nodes: one for each instruction, with directives, comments,
//! continuation lines and here-documents understood, and the words of its arguments told apart.
//!
//! What the words mean is read by [`crate::instruction`].

mod directive;
mod words;

pub use directive::{Directive, Directives};

use varve_types::limits;

use crate::{
    error::{DockerfileError, Problem, Result},
    heredoc::{Heredoc, announced},
    source::Lines,
};
use directive::DirectiveReader;

/// One instruction, before its words are understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The first word, as written.
    pub name: String,
    /// The whole line, continuation lines joined.
    pub original: String,
    /// Words that begin with `--`, before all others.
    pub flags: Vec<String>,
    /// What follows.
    pub arguments: Arguments,
    /// Whether the arguments were a JSON list.
    pub json: bool,
    /// Here-documents, in order.
    pub heredocs: Vec<Heredoc>,
    /// Where it is.
    pub lines: Lines,
    /// Comments right above it.
    pub comments: Vec<String>,
}

/// The words after an instruction's name and flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arguments {
    /// Words, or one text.
    List(Vec<String>),
    /// `name=value` pairs.
    Pairs(Vec<Pair>),
    /// The instruction after `ONBUILD`.
    Nested(Box<Node>),
}

/// A name and a value, of `ENV` or `LABEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub key: String,
    /// The value, with quotes as written.
    pub value: String,
    /// Whether an equals sign stood between them, not a blank (the old form).
    pub delimited: bool,
}

/// A Dockerfile as nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The directives.
    pub directives: Directives,
    /// Where an instruction ends that has an empty line inside.
    pub empty_continuations: Vec<Lines>,
}

/// Reads a Dockerfile. Bytes that are not UTF-8 become U+FFFD, and are refused in here-documents.
pub fn parse(bytes: &[u8]) -> Result<Nodes> {
    if bytes.is_empty() {
        return Err(Problem::Empty.into());
    }
    if bytes.len() > limits::DOCKERFILE_SIZE_BYTES_MAX {
        return Err(Problem::TooLarge(bytes.len()).into());
    }
    let mut reader = Reader {
        lines: bytes.split_inclusive(|b| *b == b'\n').collect(),
        at: 0,
        directives: DirectiveReader::new(bytes),
    };
    let mut result =
        Nodes { nodes: Vec::new(), directives: Directives::default(), empty_continuations: vec![] };
    let mut comments = Vec::new();
    while let Some(line) = reader.line()? {
        if let Some(comment) = line.trim_start().strip_prefix('#') {
            let directive =
                reader.directives.read(line.trim_start()).map_err(|p| reader.here(p))?;
            match comment.trim() {
                "" => comments.clear(),
                _ if directive => {}
                comment => comments.push(comment.to_owned()),
            }
            continue;
        }
        reader.directives.end();
        if line.trim_start().is_empty() {
            comments.clear();
            continue;
        }
        let node = reader.node(line.trim_start(), &mut result, std::mem::take(&mut comments))?;
        result.nodes.push(node);
        if result.nodes.len() > limits::DOCKERFILE_INSTRUCTIONS_MAX {
            return Err(reader.here(Problem::TooManyInstructions));
        }
    }
    if result.nodes.is_empty() {
        return Err(DockerfileError::from(Problem::NoInstructions).at(Lines::one(reader.at)));
    }
    result.directives = reader.directives.found();
    Ok(result)
}

struct Reader<'a> {
    lines: Vec<&'a [u8]>,
    /// Lines read so far, which is also the number of the last one.
    at: usize,
    directives: DirectiveReader,
}

impl<'a> Reader<'a> {
    fn here(&self, problem: Problem) -> DockerfileError {
        DockerfileError::from(problem).at(Lines::one(self.at))
    }

    /// The next line with its end.
    fn raw(&mut self) -> Result<Option<&'a [u8]>> {
        let Some(line) = self.lines.get(self.at).copied() else { return Ok(None) };
        self.at += 1;
        if line.len() > limits::DOCKERFILE_LINE_SIZE_BYTES_MAX {
            return Err(self.here(Problem::LineTooLong));
        }
        let mark: &[u8] = if self.at == 1 { b"\xef\xbb\xbf" } else { b"" };
        Ok(Some(line.strip_prefix(mark).unwrap_or(line)))
    }

    /// The next line without its end.
    fn line(&mut self) -> Result<Option<String>> {
        let line = self.raw()?;
        Ok(line.map(|line| String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Reads the rest of the instruction that begins with this line.
    fn node(&mut self, first: &str, result: &mut Nodes, comments: Vec<String>) -> Result<Node> {
        let escape = self.directives.escape();
        let start = self.at;
        let (part, mut goes_on) = continued(first, escape);
        let mut text = part.to_owned();
        let mut empty = false;
        while goes_on {
            let Some(line) = self.line()? else { break };
            if line.trim_start().starts_with('#') {
                continue;
            }
            if line.trim_start().is_empty() {
                empty = true;
                continue;
            }
            let (part, more) = continued(&line, escape);
            text.push_str(part);
            goes_on = more;
        }
        if empty {
            result.empty_continuations.push(Lines::one(self.at));
        }
        let lines = Lines { first: start, last: self.at };
        let at = |problem: Problem| DockerfileError::from(problem).at(lines);
        let mut node = words::node(&text, escape, lines).map_err(at)?;
        node.comments = comments;
        if takes_heredocs(&node) && text.contains("<<") {
            for heredoc in announced(&text).map_err(at)? {
                node.heredocs.push(self.heredoc(heredoc, start)?);
            }
            node.lines.last = self.at;
        }
        Ok(node)
    }

    fn heredoc(&mut self, mut heredoc: Heredoc, start: usize) -> Result<Heredoc> {
        let mut content = Vec::new();
        loop {
            let lines = Lines { first: start, last: self.at };
            let at = |problem: Problem| DockerfileError::from(problem).at(lines);
            let Some(line) = self.raw()? else { return Err(at(Problem::HeredocUnterminated)) };
            let text = String::from_utf8_lossy(line);
            let mut word = text.trim_end_matches(['\r', '\n']);
            if heredoc.chomp {
                word = word.trim_start_matches('\t');
            }
            if word == heredoc.name {
                heredoc.content =
                    String::from_utf8(content).map_err(|_| at(Problem::HeredocNotText))?;
                return Ok(heredoc);
            }
            content.extend_from_slice(line);
        }
    }
}

/// The line without the escape at its end, and whether there was one: the next line then belongs
/// to it. An escape that is escaped is none.
fn continued(line: &str, escape: char) -> (&str, bool) {
    let Some(rest) = line.trim_end_matches([' ', '\t']).strip_suffix(escape) else {
        return (line, false);
    };
    if rest.ends_with(escape) { (line, false) } else { (rest, true) }
}

fn takes_heredocs(node: &Node) -> bool {
    let node = match &node.arguments {
        Arguments::Nested(nested) => nested,
        _ => node,
    };
    let name = node.name.to_ascii_lowercase();
    matches!(name.as_str(), "add" | "copy" | "run") && !node.json
}

/// Reads a base image's trigger, which is one instruction; it is said to stand at `lines`.
pub(crate) fn parse_trigger(text: &str, lines: Lines) -> Result<Node> {
    let at = |problem: Problem| DockerfileError::from(problem).at(lines);
    let nodes = parse(text.as_bytes()).map_err(|e| at(*e.problem))?.nodes;
    let [mut node] = <[Node; 1]>::try_from(nodes).map_err(|_| at(Problem::OnBuildNotOne))?;
    node.lines = lines;
    Ok(node)
}
