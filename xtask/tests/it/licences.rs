//! Licences of everything that is linked, and crates that were refused, without any network.

use std::process::Command;

use serde_json::Value;

use crate::source::{none, workspace};

/// Packages of the resolved graph that do not come from this workspace.
fn packages() -> Vec<Value> {
    let host = host();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1", "--filter-platform", &host])
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let metadata: Value = serde_json::from_slice(&output.stdout).expect(&errors);
    let all = metadata["packages"].as_array().expect("packages").clone();
    all.into_iter().filter(|package| !package["source"].is_null()).collect()
}

/// The platform that cargo runs on.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host line");
    line.to_owned()
}

/// The strings of a list in deny.toml: of `key` itself or of `key = [{ name = "…" }]`.
fn listed(key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join("deny.toml")).expect("deny.toml");
    let start = text.find(&format!("\n{key} = [")).expect("the list is there");
    let list = &text[start..];
    let list = &list[..list.find("\n]").expect("the list ends")];
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met with the allowed licences alone.
fn is_met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    either(&mut words.as_slice(), allowed)
}

fn either(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = both(words, allowed);
    while words.first() == Some(&"OR") {
        *words = &words[1..];
        met |= both(words, allowed);
    }
    met
}

fn both(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while words.first() == Some(&"AND") {
        *words = &words[1..];
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &[String]) -> bool {
    if words.first() == Some(&"(") {
        *words = &words[1..];
        let met = either(words, allowed);
        *words = words.get(1..).unwrap_or_default();
        return met;
    }
    let mut licence = words.first().copied().unwrap_or_default().to_owned();
    *words = words.get(1..).unwrap_or_default();
    if words.first() == Some(&"WITH") {
        licence = format!("{licence} WITH {}", words.get(1).copied().unwrap_or_default());
        *words = words.get(2..).unwrap_or_default();
    }
    allowed.contains(&licence)
}

#[test]
fn every_linked_crate_is_permissive() {
    let allowed = listed("allow");
    let wrong: Vec<String> = packages()
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(|text| is_met(text, &allowed)))
        .map(|package| {
            format!("{} {}: {}", package["name"], package["version"], package["license"])
        })
        .collect();
    none("licences that deny.toml does not allow", &wrong);
}

#[test]
fn refused_crates_are_not_linked() {
    let refused = listed("deny");
    let linked: Vec<String> = packages()
        .iter()
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .filter(|name| refused.contains(name))
        .collect();
    none("crates that deny.toml refuses", &linked);
}

#[test]
fn expressions_are_judged_as_spdx_means_them() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
    assert!(is_met("GPL-3.0 OR MIT", &allowed));
    assert!(is_met("MIT/GPL-3.0", &allowed));
    assert!(!is_met("GPL-3.0 AND MIT", &allowed));
    assert!(is_met("(GPL-3.0 OR MIT) AND ISC", &allowed));
    assert!(is_met("Apache-2.0 WITH LLVM-exception", &allowed));
    assert!(!is_met("Apache-2.0", &allowed));
    assert!(!is_met("", &allowed));
}
