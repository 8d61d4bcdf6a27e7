//! Names that are never right, because the thing behind them is not yet one thing.

use crate::source::{find_words, line_of, none, sources};

const FILES: &[&str] = &["util", "utils", "common", "misc"];
const TYPE_ENDINGS: &[&str] = &["Manager", "Handler", "Info", "Data", "Util", "Utils"];
const FUNCTION_STARTS: &[&str] = &["do_", "process_", "handle_"];

/// Types whose ending is the word of a specification or of the kernel.
const TYPES_ALLOWED: &[&str] = &[
    // `varve info`, docker's command.
    "SystemInfo",
    // A word of its own: bytes beside a file.
    "Metadata",
    // What HTTP's trait for bodies calls their pieces.
    "Data",
];

#[test]
fn files_are_named_by_what_they_hold() {
    let vague: Vec<String> = sources()
        .iter()
        .filter(|source| {
            source.path.with_extension("").iter().any(|part| FILES.iter().any(|name| part == *name))
        })
        .map(|source| source.path.display().to_string())
        .collect();
    none("files without a noun", &vague);
}

#[test]
fn types_are_named_by_what_they_are() {
    let mut vague = Vec::new();
    for source in sources() {
        for (line, name) in declared(&source.code, &["struct", "enum", "trait", "type", "union"]) {
            let bad = TYPE_ENDINGS.iter().any(|ending| name.ends_with(ending));
            if bad && !TYPES_ALLOWED.contains(&name.as_str()) {
                vague.push(format!("{}:{line}: {name}", source.path.display()));
            }
        }
    }
    none("types with a vague name", &vague);
}

#[test]
fn functions_are_named_by_what_they_do() {
    let mut vague = Vec::new();
    for source in sources() {
        for (line, name) in declared(&source.code, &["fn"]) {
            if FUNCTION_STARTS.iter().any(|start| name.starts_with(start)) {
                vague.push(format!("{}:{line}: {name}", source.path.display()));
            }
        }
    }
    none("functions with a vague name", &vague);
}

/// Line and name of each item that one of the keywords declares.
fn declared(code: &str, keywords: &[&str]) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for keyword in keywords {
        for at in find_words(code, keyword) {
            let rest = code[at + keyword.len()..].trim_start();
            let name: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                names.push((line_of(code, at), name));
            }
        }
    }
    names
}
