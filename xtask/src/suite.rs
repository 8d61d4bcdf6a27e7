//! `cargo xtask test`: packages, formatting, lints, every test, one closing line.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::run::{cargo, step, succeeds, workspace};
use crate::summary::Counts;
use crate::{packages, run};

/// Tests append a line `capability: reason` here when they skip; `varve_testkit` does it.
const SKIPS_VARIABLE: &str = "VARVE_TEST_SKIPS";

/// Runs everything. `Ok(false)` when something is wrong and has been said.
pub(crate) fn test(options: &[&str]) -> Result<bool> {
    let may_install = match options {
        [] => true,
        ["--no-install"] => false,
        other => bail!("unknown options {}; see `cargo xtask help`", other.join(" ")),
    };
    let mut skipped = packages::install(may_install);
    let skips = skips_file()?;

    let format = step("format", &mut cargo(&["fmt", "--all", "--check"]))?.passed;
    let lint = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    let lints = step("lints", &mut cargo(&lint))?.passed;
    let mut counts = Counts::default();
    let tests = tests(&skips, &mut counts, &mut skipped)?;
    let advisories = advisories(&mut skipped)?;

    skipped.extend(std::fs::read_to_string(&skips).unwrap_or_default().lines().map(str::to_owned));
    skipped.sort();
    skipped.dedup();
    let skips_allowed = report_skipped(&skipped)?;

    let checks = [
        ("format", format),
        ("lints", lints),
        ("tests", tests),
        ("advisories", advisories),
        ("skips", skips_allowed),
    ];
    let failed: Vec<&str> = checks.iter().filter(|check| !check.1).map(|check| check.0).collect();
    println!();
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("{counts}");
    Ok(failed.is_empty())
}

/// Runs only the tests about the code itself.
pub(crate) fn tidy() -> Result<bool> {
    Ok(step("tidy", &mut cargo(&["test", "--quiet", "--package", "xtask"]))?.passed)
}

fn tests(skips: &PathBuf, counts: &mut Counts, skipped: &mut Vec<String>) -> Result<bool> {
    let main = if succeeds(&mut cargo(&["nextest", "--version"])) {
        let arguments = ["nextest", "run", "--workspace", "--no-fail-fast"];
        step("tests", cargo(&arguments).env(SKIPS_VARIABLE, skips))?
    } else {
        skipped.push("cargo-nextest: not installed, using `cargo test`".to_owned());
        let arguments = ["test", "--workspace", "--all-targets", "--no-fail-fast"];
        step("tests", cargo(&arguments).env(SKIPS_VARIABLE, skips))?
    };
    counts.add(&main.output);
    let documentation = step(
        "documentation tests",
        cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]).env(SKIPS_VARIABLE, skips),
    )?;
    counts.add(&documentation.output);
    Ok(main.passed && documentation.passed)
}

/// The licence test of this crate covers licences and refused crates; the advisory database
/// needs `cargo-deny` and a copy of it on this machine.
fn advisories(skipped: &mut Vec<String>) -> Result<bool> {
    if !run::is_installed("cargo-deny") && !succeeds(&mut cargo(&["deny", "--version"])) {
        skipped.push("cargo-deny: not installed, advisories are not checked".to_owned());
        return Ok(true);
    }
    let arguments = ["deny", "--offline", "check", "licenses", "bans", "sources"];
    Ok(step("licences and refused crates", &mut cargo(&arguments))?.passed)
}

fn skips_file() -> Result<PathBuf> {
    let directory = workspace().join("target");
    std::fs::create_dir_all(&directory)?;
    let file = directory.join("skipped");
    std::fs::write(&file, "")?;
    Ok(file)
}

/// Says what was skipped. With `CI=true`, whatever `.ci/may-skip` does not name is a failure.
fn report_skipped(skipped: &[String]) -> Result<bool> {
    let list = std::fs::read_to_string(workspace().join(".ci/may-skip"))?;
    let allowed: Vec<&str> = list
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let strict = std::env::var("CI").is_ok_and(|value| value == "true");
    let mut fine = true;
    println!();
    for line in skipped {
        let capability = line.split(':').next().unwrap_or_default();
        let refused = strict && !allowed.contains(&capability);
        fine &= !refused;
        println!("skipped {line}{}", if refused { " [not in .ci/may-skip]" } else { "" });
    }
    Ok(fine)
}
