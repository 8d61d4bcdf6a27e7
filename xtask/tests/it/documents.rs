//! Documents: links lead somewhere, change notes have their form, no path of one machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::source::{files, none, workspace};

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(workspace().join(path)).expect("readable")).into_owned()
}

fn markdown() -> Vec<PathBuf> {
    files().into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in markdown() {
        let text = text(&document);
        for target in links(&text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            let path = match file {
                "" => document.clone(),
                _ => document.parent().unwrap_or(Path::new("")).join(file),
            };
            let found = workspace().join(&path).exists();
            let anchored = anchor.is_empty()
                || (found && anchors(&self::text(&path)).iter().any(|a| a == anchor));
            if !found || !anchored {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    none("links that lead nowhere", &broken);
}

/// Targets of inline links outside code blocks and code spans.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let in_span = line[..at].matches('`').count() % 2 == 1;
            let target = line[at + 2..].split(')').next().unwrap_or_default();
            if !in_span {
                found.push(target.split(' ').next().unwrap_or_default());
            }
        }
    }
    found
}

/// Headings as the usual viewers turn them into anchors.
fn anchors(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// `changes/README.md` has the form in words.
#[test]
fn change_notes_have_their_form() {
    let kinds = ["added", "changed", "fixed", "removed", "security"];
    let mut wrong = Vec::new();
    for note in markdown().iter().filter(|path| path.starts_with("changes")) {
        if note.file_name().is_some_and(|name| name == "README.md") {
            continue;
        }
        let text = text(note);
        let first = text.lines().next().unwrap_or_default();
        let kind = first.split(':').next().unwrap_or_default();
        let named = first.split_once(": ").is_some_and(|(_, words)| !words.trim().is_empty());
        if !kinds.contains(&kind) || !named || first.ends_with('.') || first.len() > 100 {
            wrong.push(format!("{}: first line `{first}`", note.display()));
        }
        if text.lines().nth(1).is_some_and(|line| !line.is_empty()) {
            wrong.push(format!("{}: the second line is not empty", note.display()));
        }
    }
    none("change notes out of form", &wrong);
}

/// A path of the machine this runs on, in a file, would be true nowhere else.
#[test]
fn no_file_names_a_place_on_this_machine() {
    let mut places = vec![workspace()];
    let above = workspace().parent().map(Path::to_path_buf);
    places.extend(above.filter(|path| path.components().count() > 2));
    places.extend(std::env::var_os("CARGO_HOME").map(PathBuf::from));
    let mut found = Vec::new();
    for file in files() {
        let text = text(&file);
        for place in &places {
            if text.contains(&format!("{}/", place.display())) {
                found.push(format!("{}: {}", file.display(), place.display()));
            }
        }
    }
    none("paths of this machine", &found);
}

/// `docs/dependencies.md` has a row for every crate from outside, and none for others.
#[test]
fn every_dependency_says_why() {
    let manifest = text(Path::new("Cargo.toml"));
    let list = manifest.split("[workspace.dependencies]").nth(1).expect("the list");
    let list = list.split("\n[").next().unwrap_or_default();
    let crates: BTreeSet<&str> = list
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
        .filter(|name| !name.starts_with("varve"))
        .collect();
    let document = text(Path::new("docs/dependencies.md"));
    let rows: BTreeSet<&str> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert_eq!(rows, crates, "docs/dependencies.md against Cargo.toml");
}
