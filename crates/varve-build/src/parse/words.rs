//! One instruction's line into words: each instruction has its own way.

use super::{Arguments, Node, Pair};
use crate::{
    error::{Problem, Result},
    source::Lines,
};

/// Reads a line whose continuation lines are joined.
pub(super) fn node(line: &str, escape: char, lines: Lines) -> Result<Node, Problem> {
    let trimmed = line.trim();
    let (name, rest) = trimmed.split_once(BLANKS).unwrap_or((trimmed, ""));
    let (flags, rest) = flags(rest.trim_start_matches(BLANKS));
    let rest = rest.trim();
    let (arguments, json) = arguments(&name.to_ascii_lowercase(), rest, escape, lines)?;
    Ok(Node {
        name: name.to_owned(),
        original: line.to_owned(),
        flags,
        arguments,
        json,
        heredocs: Vec::new(),
        lines,
        comments: Vec::new(),
    })
}

/// What separates words.
const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

fn arguments(
    name: &str,
    rest: &str,
    escape: char,
    lines: Lines,
) -> Result<(Arguments, bool), Problem> {
    let list = |words: Vec<String>| Ok((Arguments::List(words), false));
    let text = || if rest.is_empty() { Vec::new() } else { vec![rest.to_owned()] };
    match name {
        "add" | "copy" | "volume" => match json(rest)? {
            Some(words) => Ok((Arguments::List(words), true)),
            None => list(blank_separated(rest)),
        },
        "cmd" | "entrypoint" | "run" | "shell" => match json(rest)? {
            Some(words) => Ok((Arguments::List(words), true)),
            None => list(text()),
        },
        "env" => pairs(rest, "ENV", escape),
        "label" => pairs(rest, "LABEL", escape),
        "arg" => list(quoted_words(rest, escape)),
        "expose" | "from" => list(blank_separated(rest)),
        "maintainer" | "stopsignal" | "user" | "workdir" => list(text()),
        "healthcheck" => healthcheck(rest),
        // An instruction inside ONBUILD ONBUILD is not looked at, so that this cannot go deep.
        "onbuild" if rest.is_empty() => list(Vec::new()),
        "onbuild" if first_word(rest).eq_ignore_ascii_case("onbuild") => {
            list(vec![first_word(rest).to_owned()])
        }
        "onbuild" => Ok((Arguments::Nested(Box::new(node(rest, escape, lines)?)), false)),
        _ => list(Vec::new()),
    }
}

fn first_word(text: &str) -> &str {
    text.split(BLANKS).next().unwrap_or_default()
}

fn blank_separated(rest: &str) -> Vec<String> {
    rest.split(BLANKS).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A JSON list of strings; `None` when it is not one, which makes it a shell's line.
fn json(rest: &str) -> Result<Option<Vec<String>>, Problem> {
    if !rest.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(rest) else { return Ok(None) };
    let words = values.into_iter().map(|value| match value {
        serde_json::Value::String(word) => Ok(word),
        _ => Err(Problem::JsonNotStrings),
    });
    words.collect::<Result<_, _>>().map(Some)
}

fn healthcheck(rest: &str) -> Result<(Arguments, bool), Problem> {
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim_start();
    if kind.is_empty() {
        return Ok((Arguments::List(Vec::new()), false));
    }
    let mut words = vec![kind.to_owned()];
    let command = json(rest)?;
    let is_json = command.is_some();
    words.extend(command.unwrap_or_default());
    words.extend((!is_json && !rest.is_empty()).then(|| rest.to_owned()));
    Ok((Arguments::List(words), is_json))
}

/// `name=value …`, or the old form `name the rest`.
fn pairs(rest: &str, name: &str, escape: char) -> Result<(Arguments, bool), Problem> {
    let words = quoted_words(rest, escape);
    let Some(first) = words.first() else { return Ok((Arguments::Pairs(Vec::new()), false)) };
    if !first.contains('=') {
        let Some((key, value)) = rest.split_once(BLANKS) else {
            return Err(Problem::KeyWithoutValue(name.to_owned()));
        };
        let value = value.trim_start_matches(BLANKS).to_owned();
        let pair = Pair { key: key.to_owned(), value, delimited: false };
        return Ok((Arguments::Pairs(vec![pair]), false));
    }
    let pairs = words.into_iter().map(|word| match word.split_once('=') {
        Some((key, value)) => {
            Ok(Pair { key: key.to_owned(), value: value.to_owned(), delimited: true })
        }
        None => Err(Problem::NoEqualsSign(word)),
    });
    Ok((Arguments::Pairs(pairs.collect::<Result<_, _>>()?), false))
}

/// Words separated by blanks that are neither quoted nor escaped; quotes and escapes stay.
fn quoted_words(rest: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            continue;
        }
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        if c == escape && quote != Some('\'') {
            // An escape at the very end is left out.
            let Some(next) = chars.next() else { break };
            word.push(c);
            word.push(next);
        } else {
            word.push(c);
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// The words at the beginning that start with `--`, without quotes and escapes, and the rest.
fn flags(line: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let (word, quoted, end) = flag_word(rest);
        rest = &rest[end..];
        if word == "--" {
            return (flags, rest);
        }
        if quoted || !word.is_empty() {
            flags.push(word);
        }
    }
}

/// One word, whether it had quotes, and where it ends.
fn flag_word(text: &str) -> (String, bool, usize) {
    let mut word = String::new();
    let (mut quote, mut quoted) = (None, false);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, quoted, at),
            None if c == '\'' || c == '"' => (quote, quoted) = (Some(c), true),
            Some(open) if c == open => quote = None,
            _ if c == '\\' => word.extend(chars.next().map(|(_, c)| c)),
            _ => word.push(c),
        }
    }
    (word, quoted, text.len())
}
