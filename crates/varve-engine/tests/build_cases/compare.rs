//! Expected against found.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Map, Value};

/// Says what differs between the expected lines and those found; the order counts.
pub(crate) fn lines(what: &str, expected: &[String], found: &[String]) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let mut text = format!("{what} differs (- expected, + found)\n");
    for line in expected {
        let mark = if found.contains(line) { ' ' } else { '-' };
        writeln!(text, "  {mark} {line}").unwrap();
    }
    for line in found.iter().filter(|line| !expected.contains(line)) {
        writeln!(text, "  + {line}").unwrap();
    }
    if expected.iter().all(|line| found.contains(line)) && expected.len() == found.len() {
        writeln!(text, "  found in another order: {found:#?}").unwrap();
    }
    Err(text)
}

/// The same, whatever the order.
pub(crate) fn sets(what: &str, expected: &[String], found: &[String]) -> Result<(), String> {
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    self::lines(what, &sorted(expected), &sorted(found))
}

/// Lines that a tree has and its base has not; `- path` for what is gone.
pub(crate) fn added(
    base: &BTreeMap<String, String>,
    tree: &BTreeMap<String, String>,
) -> Vec<String> {
    let gone = |path: &String| !tree.contains_key(path);
    let is_below_gone = |path: &str| {
        let parent = path.rsplit_once('/').map(|(parent, _)| parent.to_owned());
        parent.is_some_and(|parent| gone(&parent))
    };
    let mut found: BTreeMap<&String, String> = tree
        .iter()
        .filter(|(path, line)| base.get(*path) != Some(*line))
        .map(|(path, line)| (path, line.clone()))
        .collect();
    for path in base.keys().filter(|path| gone(path) && !is_below_gone(path)) {
        found.insert(path, format!("- {path}"));
    }
    found.into_values().collect()
}

/// Members of a config that the base's has not, as `Name: JSON`; `null` for what is gone.
pub(crate) fn members(base: &Map<String, Value>, config: &Map<String, Value>) -> Vec<String> {
    let changed = config.iter().filter(|(name, value)| base.get(*name) != Some(*value));
    let mut found: Vec<String> = changed.map(|(name, value)| format!("{name}: {value}")).collect();
    let gone = base.keys().filter(|name| !config.contains_key(*name));
    found.extend(gone.map(|name| format!("{name}: null")));
    found.sort();
    found
}

/// Members as a case has them, in the form that [`members`] gives.
pub(crate) fn expected_members(text: &str) -> Vec<String> {
    let mut expected: Vec<String> = text
        .lines()
        .map(|line| {
            let (name, json) = line.split_once(": ").unwrap_or_else(|| panic!("no `: ` in {line}"));
            let mut value: Value =
                serde_json::from_str(json).unwrap_or_else(|error| panic!("{line}: {error}"));
            if ["Labels", "ExposedPorts", "Volumes"].contains(&name) {
                // Maps in Go, and so written in the order of their keys.
                value.sort_all_objects();
            }
            format!("{name}: {value}")
        })
        .collect();
    expected.sort();
    expected
}
