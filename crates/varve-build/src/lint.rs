//! Build checks: what is doubtful in a Dockerfile, with place, address and text of docker's rules.

mod report;
mod rule;
mod rules;

pub use report::{check_json, check_text, progress_lines, summary};
pub use rule::Rule;

use std::collections::BTreeSet;

use varve_types::limits;

use crate::{
    error::{Problem, Result},
    instruction::NAMES,
    source::Lines,
};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule that says so.
    pub rule: Rule,
    /// What was found, in docker's words.
    pub text: String,
    /// Where.
    pub lines: Lines,
}

/// Collects findings, without those that are to be skipped.
#[derive(Debug, Clone, Default)]
pub struct Lint {
    skip: BTreeSet<String>,
    skip_all: bool,
    experimental: BTreeSet<String>,
    experimental_all: bool,
    fail: bool,
    fixed: bool,
    warnings: Vec<Warning>,
}

impl Lint {
    /// Takes all rules but the experimental ones, until a Dockerfile says otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes options as in `# check=`, and not the Dockerfile's (the build argument
    /// `BUILDKIT_DOCKERFILE_CHECK`).
    pub fn with_options(options: &str) -> Result<Self> {
        let mut lint = Self::default();
        lint.configure(options)?;
        lint.fixed = true;
        Ok(lint)
    }

    /// Takes options: `skip=Rule,…` or `skip=all`, `error=true`, `experimental=Rule,…` or
    /// `experimental=all`, separated by semicolons.
    pub(crate) fn configure(&mut self, options: &str) -> Result<()> {
        if self.fixed {
            return Ok(());
        }
        for option in options.trim().split(';').filter(|option| !option.is_empty()) {
            let bad = || Problem::CheckOption(option.to_owned());
            let (key, value) = option.split_once('=').ok_or_else(bad)?;
            let value = value.trim();
            let rules = value.split(',').map(|rule| rule.trim().to_owned());
            match key.trim() {
                "skip" if value == "all" => self.skip_all = true,
                "skip" => self.skip.extend(rules),
                "experimental" if value == "all" => self.experimental_all = true,
                "experimental" => self.experimental.extend(rules),
                "error" => {
                    self.fail = varve_types::go_bool(value).ok_or_else(bad)?;
                }
                _ => return Err(bad().into()),
            }
        }
        Ok(())
    }

    /// What was found so far, in the order of docker's own checks.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// An error when something was found and the Dockerfile wants that to be one.
    pub fn verdict(&self) -> Result<()> {
        if !self.fail || self.warnings.is_empty() {
            return Ok(());
        }
        let rules: BTreeSet<&str> = self.warnings.iter().map(|w| w.rule.name()).collect();
        Err(Problem::Lint(rules.into_iter().map(str::to_owned).collect()).into())
    }

    fn is_full(&self) -> bool {
        self.warnings.len() >= limits::DOCKERFILE_WARNINGS_MAX
    }

    fn warn(&mut self, rule: Rule, lines: Lines, text: String) {
        let name = rule.name();
        let wanted =
            !rule.is_experimental() || self.experimental_all || self.experimental.contains(name);
        if wanted && !self.is_full() && !self.skip_all && !self.skip.contains(name) {
            self.warnings.push(Warning { rule, text, lines });
        }
    }
}

/// The instruction's name in upper case, if it is one.
pub(crate) fn known_name(name: &str) -> Option<&'static str> {
    NAMES.iter().copied().find(|known| known.eq_ignore_ascii_case(name))
}
