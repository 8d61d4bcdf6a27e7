//! Floors: a crate uses lower floors only.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::source::{none, workspace};

/// Which of our crates each crate may use. To change this table is to change the design.
const MAY_USE: &[(&str, &[&str])] = &[
    ("varve-types", &[]),
    ("varve-fs", &["types"]),
    ("varve-init", &[]),
    ("varve-store", &["types", "fs"]),
    ("varve-distribution", &["types", "fs", "store"]),
    ("varve-build", &["types", "fs", "store"]),
    ("varve-runtime", &["types", "fs"]),
    ("varve-engine", &["types", "fs", "store", "distribution", "build", "runtime", "init"]),
    ("varve-serve", &["types", "distribution", "engine"]),
    ("varve", &["types", "engine", "serve"]),
    ("varve-testkit", &["types", "fs", "store", "distribution"]),
    ("xtask", &[]),
];

/// Crates from outside that only some of ours may use: each kind of outside world has one owner.
const OWNERS: &[(&str, &[&str])] = &[
    ("clap", &["varve"]),
    ("indicatif", &["varve"]),
    ("gtmpl-ng", &["varve"]),
    ("tokio", &["varve-serve"]),
    ("hyper", &["varve-serve"]),
    ("axum", &["varve-serve"]),
    ("ureq", &["varve-distribution"]),
    ("oci-spec", &["varve-runtime"]),
    ("seccompiler", &["varve-runtime"]),
    ("zstd", &["varve-fs", "varve-testkit"]),
    ("bzip2", &["varve-fs", "varve-testkit"]),
    ("liblzma", &["varve-fs", "varve-testkit"]),
    ("anyhow", &["xtask"]),
];

/// Package → its dependencies as (name, kind); kind is `null` for ordinary ones.
fn dependencies() -> BTreeMap<String, Vec<(String, Value)>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let edges = package["dependencies"].as_array().expect("dependencies").iter();
            let edges = edges.map(|edge| (text(&edge["name"]), edge["kind"].clone())).collect();
            (text(&package["name"]), edges)
        })
        .collect()
}

#[test]
fn crates_use_lower_floors_only() {
    let mut wrong = Vec::new();
    for (package, edges) in dependencies() {
        let Some((_, allowed)) = MAY_USE.iter().find(|row| row.0 == package) else {
            wrong.push(format!("{package} is not in the table"));
            continue;
        };
        for (used, kind) in edges.iter().filter(|edge| edge.0.starts_with("varve")) {
            let floor = used.trim_start_matches("varve-");
            let for_tests = kind == "dev" && floor == "testkit";
            if !allowed.contains(&floor) && !for_tests {
                wrong.push(format!("{package} → {used}"));
            }
        }
    }
    none("edges that the design does not have", &wrong);
}

#[test]
fn every_row_of_the_table_is_a_crate() {
    let packages = dependencies();
    let gone: Vec<String> = MAY_USE
        .iter()
        .map(|row| row.0.to_owned())
        .filter(|name| !packages.contains_key(name))
        .collect();
    none("rows without a crate", &gone);
}

#[test]
fn each_outside_world_has_its_owner() {
    let mut wrong = Vec::new();
    for (package, edges) in dependencies() {
        for (used, kind) in &edges {
            let owners = OWNERS.iter().find(|row| row.0 == used).map(|row| row.1);
            if kind.is_null() && owners.is_some_and(|owners| !owners.contains(&package.as_str())) {
                wrong.push(format!("{package} → {used}"));
            }
        }
    }
    none("crates that belong to others", &wrong);
}
