//! How findings are shown: under the first step, at the end of a build, and by `--check`.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use varve_types::Printable;

use super::Warning;
use crate::{error::DockerfileError, source::Source};

/// One line for each: `Rule: text (line 3)`, to stand as a warning under the step that loads the
/// Dockerfile.
pub fn progress_lines(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(short).collect()
}

fn short(warning: &Warning) -> String {
    format!("{}: {} (line {})", warning.rule.name(), Printable(&warning.text), warning.lines.first)
}

/// What stands at the end of a build, in yellow as docker writes it, terminal or not; `None` when
/// nothing was found.
pub fn summary(warnings: &[Warning]) -> Option<String> {
    let head = match warnings.len() {
        0 => return None,
        1 => "1 warning found".to_owned(),
        n => format!("{n} warnings found"),
    };
    let mut text = format!("\n \u{1b}[33m{head} (use docker --debug to expand):\n\u{1b}[0m");
    for warning in warnings {
        let _ = writeln!(text, " - {}", short(warning));
    }
    Some(text)
}

/// What `--check` prints. `source` has the name of the file as it was given. Findings come in the
/// order of their lines, then the error when there is one.
pub fn check_text(
    source: &Source,
    warnings: &[Warning],
    error: Option<&DockerfileError>,
) -> String {
    let mut text = match warnings.len() {
        0 if error.is_some() => String::new(),
        0 => "Check complete, no warnings found.\n".to_owned(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        n => format!("Check complete, {n} warnings have been found!\n"),
    };
    let mut sorted: Vec<&Warning> = warnings.iter().collect();
    sorted.sort_by_key(|warning| warning.lines.first);
    for warning in sorted {
        let _ = write!(text, "\nWARNING: {}", warning.rule.name());
        let url = warning.rule.url();
        if !url.is_empty() {
            let _ = write!(text, " - {url}");
        }
        let _ = write!(text, "\n{}\n", Printable(&warning.text));
        text.extend(source.excerpt(&[warning.lines]).map(|excerpt| excerpt.to_string()));
    }
    if let Some(error) = error {
        let _ = write!(text, "\n{error}\n");
        text.extend(source.excerpt(&error.at).map(|excerpt| excerpt.to_string()));
    }
    text
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    warnings: Vec<Entry<'a>>,
    sources: [File<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    build_error: Option<BuildError>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    rule_name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
    detail: &'a str,
    location: Location,
}

#[derive(Serialize)]
struct Location {
    ranges: Vec<Range>,
}

#[derive(Serialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Serialize)]
struct Position {
    line: usize,
}

#[derive(Serialize)]
struct File<'a> {
    filename: &'a str,
    data: String,
    language: &'static str,
}

#[derive(Serialize)]
struct BuildError {
    message: String,
    location: Location,
}

/// What `--call=check,format=json` prints, in docker's shape without the definition of the build in
/// the form of docker's builder.
pub fn check_json(
    source: &Source,
    warnings: &[Warning],
    error: Option<&DockerfileError>,
) -> String {
    let range = |lines: &crate::Lines| Range {
        start: Position { line: lines.first },
        end: Position { line: lines.last },
    };
    let entry = |warning: &'_ Warning| -> (String, Location) {
        (warning.rule.url(), Location { ranges: vec![range(&warning.lines)] })
    };
    let warnings = warnings.iter().map(|warning| {
        let (url, location) = entry(warning);
        Entry {
            rule_name: warning.rule.name(),
            description: warning.rule.description(),
            url,
            detail: &warning.text,
            location,
        }
    });
    let report = Report {
        warnings: warnings.collect(),
        sources: [File {
            filename: &source.name,
            data: STANDARD.encode(&source.bytes),
            language: "Dockerfile",
        }],
        build_error: error.map(|error| BuildError {
            message: error.to_string(),
            location: Location { ranges: error.at.iter().map(range).collect() },
        }),
    };
    let mut text = serde_json::to_string_pretty(&report).unwrap_or_default();
    text.push('\n');
    text
}
