//! `cargo xtask test`: packages, formatting, lints, every test, one closing line.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{cargo, step, succeeds, workspace};
use crate::summary::Counts;
use crate::{ordinary, packages, run};

/// Tests append a line `capability: reason` here when they skip; `varve_testkit` does it.
pub(crate) const SKIPS_VARIABLE: &str = "VARVE_TEST_SKIPS";
/// What may be skipped where `CI=true`, for `varve_testkit`.
pub(crate) const MAY_LACK_VARIABLE: &str = "VARVE_TEST_MAY_LACK";
/// Where the tests look for a real root file system, under cargo's target directory.
pub(crate) const ROOT: &str = "tmp/debian-root.tar";

/// Runs everything. `Ok(false)` when something is wrong and has been said.
pub(crate) fn test(options: &[&str]) -> Result<bool> {
    let may_install = match options {
        [] => true,
        ["--no-install"] => false,
        other => bail!("unknown options {}; see `cargo xtask help`", other.join(" ")),
    };
    let mut skipped = packages::install(may_install);
    let skips = skips_file()?;
    skipped.extend(debian_root(may_install)?);

    let format = step("format", &mut cargo(&["fmt", "--all", "--check"]))?.passed;
    let lint = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    let lints = step("lints", &mut cargo(&lint))?.passed;
    let mut counts = Counts::default();
    let role = Role::of_this_process();
    let tests = tests(&skips, role, &mut counts, &mut skipped)?;
    let mut skipped_by_user = Vec::new();
    let as_user = match role {
        Role::Root => as_user(&mut counts, &mut skipped, &mut skipped_by_user)?,
        Role::User => true,
    };
    let advisories = advisories(&mut skipped)?;

    skipped.extend(lines(&skips));
    let skips_allowed =
        report_skipped(skipped, role)? & report_skipped(skipped_by_user, Role::User)?;

    let checks = [
        ("format", format),
        ("lints", lints),
        ("tests", tests),
        ("tests as an ordinary user", as_user),
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

/// Who runs tests: not everybody may lack the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Root,
    User,
}

impl Role {
    fn of_this_process() -> Self {
        if run::is_root() { Self::Root } else { Self::User }
    }

    /// As `.ci/may-skip` has it.
    fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
        }
    }
}

/// The tests that privileges matter to, once more without.
fn as_user(
    counts: &mut Counts,
    skipped: &mut Vec<String>,
    skipped_by_user: &mut Vec<String>,
) -> Result<bool> {
    if let Some(obstacle) = ordinary::obstacle() {
        skipped.push(format!("ordinary-user: {obstacle}, nothing is tested without privileges"));
        return Ok(true);
    }
    let skips = workspace().join("target/skipped-by-user");
    let may_lack = may_skip(Role::User)?.join(",");
    let (passed, output) = ordinary::test(&ordinary::Run { skips: &skips, may_lack })?;
    counts.add(&output);
    skipped_by_user.extend(lines(&skips));
    Ok(passed)
}

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn tests(skips: &Path, role: Role, counts: &mut Counts, skipped: &mut Vec<String>) -> Result<bool> {
    let main = if succeeds(&mut cargo(&["nextest", "--version"])) {
        let arguments = ["nextest", "run", "--workspace", "--no-fail-fast"];
        step("tests", with_skips(&mut cargo(&arguments), skips, role)?)?
    } else {
        skipped.push("cargo-nextest: not installed, using `cargo test`".to_owned());
        let arguments = ["test", "--workspace", "--all-targets", "--no-fail-fast"];
        step("tests", with_skips(&mut cargo(&arguments), skips, role)?)?
    };
    counts.add(&main.output);
    let arguments = ["test", "--workspace", "--doc", "--no-fail-fast"];
    let documentation =
        step("documentation tests", with_skips(&mut cargo(&arguments), skips, role)?)?;
    counts.add(&documentation.output);
    Ok(main.passed && documentation.passed)
}

fn with_skips<'a>(command: &'a mut Command, skips: &Path, role: Role) -> Result<&'a mut Command> {
    Ok(command.env(SKIPS_VARIABLE, skips).env(MAY_LACK_VARIABLE, may_skip(role)?.join(",")))
}

/// Makes a Debian root for the tests once, where packages may be fetched. Says what is skipped.
pub(crate) fn debian_root(may_fetch: bool) -> Result<Option<String>> {
    let (root, draft) = (run::target(ROOT)?, run::target(&format!("{ROOT}.draft.tar"))?);
    if root.is_file() {
        return Ok(None);
    }
    std::fs::create_dir_all(root.parent().unwrap_or(&root))?;
    let skipped = "debian-root: not made, a smaller root takes its place".to_owned();
    if !may_fetch || !run::is_installed("mmdebstrap") {
        return Ok(Some(skipped));
    }
    // What an earlier run that was cut off left would be refused.
    let _ = std::fs::remove_file(&draft);
    // Offline it would try for a long time.
    let mut command = Command::new("timeout");
    command
        .args(["240", "mmdebstrap", "--variant=minbase", "--format=tar", "--quiet", &suite()])
        .arg(&draft);
    if step("a Debian root for the tests", &mut command)?.passed {
        std::fs::rename(draft, root)?;
        return Ok(None);
    }
    let _ = std::fs::remove_file(draft);
    Ok(Some(skipped))
}

/// The release of Debian that this machine runs: the one whose keys it has.
fn suite() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let debian = release.lines().any(|line| line == "ID=debian");
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    codename.filter(|_| debian).unwrap_or("stable").to_owned()
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

/// Says what was skipped. With `CI=true`, whatever `.ci/may-skip` does not name for this role is a
/// failure.
fn report_skipped(mut skipped: Vec<String>, role: Role) -> Result<bool> {
    let allowed = may_skip(role)?;
    let strict = std::env::var("CI").is_ok_and(|value| value == "true");
    let mut fine = true;
    skipped.sort();
    skipped.dedup();
    println!();
    for line in skipped {
        let capability = line.split(':').next().unwrap_or_default();
        let refused = strict && !allowed.iter().any(|name| name == capability);
        fine &= !refused;
        let remark = if refused { " [not in .ci/may-skip]" } else { "" };
        println!("skipped as {} {line}{remark}", role.name());
    }
    Ok(fine)
}

/// The names that `.ci/may-skip` lists for a role.
fn may_skip(role: Role) -> Result<Vec<String>> {
    let list = std::fs::read_to_string(workspace().join(".ci/may-skip"))?;
    Ok(listed(&list, role))
}

/// Each line has a capability, who may lack it (`root`, `user` or `any`), and the reason.
fn listed(list: &str, role: Role) -> Vec<String> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let named = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, who) = (words.next()?, words.next()?);
        (who == "any" || who == role.name()).then(|| name.to_owned())
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::{Role, listed};

    #[test]
    fn who_may_lack_what_is_told_apart() {
        let list = "# comment root\nroot user why\nnot-root root why\nloop any why\n\nbroken\n";
        assert_eq!(listed(list, Role::Root), ["not-root", "loop"]);
        assert_eq!(listed(list, Role::User), ["root", "loop"]);
    }
}
