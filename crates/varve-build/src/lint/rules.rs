//! When each rule speaks, and what it says.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use varve_types::Platform;

use super::{Lint, Rule};
use crate::{
    dockerfile::Stage, expand::Expanded, go_text::quote, ignore::Ignore, source::Lines,
    suggest::nearest,
};

/// Words that make a name look like a secret's.
const SECRET_WORDS: &[&str] = &[
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
/// Words that make it look harmless after all.
const HARMLESS_WORDS: &[&str] = &["public", "file", "version"];
const RESERVED_STAGES: &[&str] = &["context", "scratch"];

impl Lint {
    pub(crate) fn empty_continuation(&mut self, lines: Lines) {
        self.warn(Rule::NoEmptyContinuation, lines, "Empty continuation line".to_owned());
    }

    pub(crate) fn maintainer(&mut self, lines: Lines) {
        let text = "Maintainer instruction is deprecated in favor of using label";
        self.warn(Rule::MaintainerDeprecated, lines, text.to_owned());
    }

    pub(crate) fn stage_name_casing(&mut self, name: &str, lines: Lines) {
        if name != name.to_lowercase() {
            let text = format!("Stage name '{name}' should be lowercase");
            self.warn(Rule::StageNameCasing, lines, text);
        }
    }

    pub(crate) fn casing_of_as(&mut self, from: &str, word: &str, lines: Lines) {
        let lower = from == from.to_lowercase();
        let mixed = !lower && from != from.to_uppercase();
        let fits = word == if lower { word.to_lowercase() } else { word.to_uppercase() };
        if !mixed && !fits {
            let text = format!("'{word}' and '{from}' keywords' casing do not match");
            self.warn(Rule::FromAsCasing, lines, text);
        }
    }

    pub(crate) fn definition_description(
        &mut self,
        instruction: &str,
        names: &[&str],
        comments: &[String],
        lines: Lines,
    ) {
        let Some(comment) = comments.last() else { return };
        let first = comment.split(' ').next().unwrap_or_default();
        if names.is_empty() || names.contains(&first) {
            return;
        }
        let name = if names.len() > 1 { "<arg_key>" } else { names[0] };
        let text =
            format!("Comment for {instruction} should follow the format: `# {name} <description>`");
        self.warn(Rule::InvalidDefinitionDescription, lines, text);
    }

    pub(crate) fn stage_names(&mut self, stages: &[Stage]) {
        let mut seen = BTreeSet::new();
        for stage in stages {
            let Some(name) = &stage.from.name else { continue };
            if RESERVED_STAGES.contains(&name.as_str()) {
                let text = format!(
                    "Stage name should not use the same name as reserved stage {}",
                    quote(name)
                );
                self.warn(Rule::ReservedStageName, stage.lines, text);
            }
            if !seen.insert(name) {
                let text =
                    format!("Duplicate stage name {}, stage names should be unique", quote(name));
                self.warn(Rule::DuplicateStageName, stage.lines, text);
            }
        }
    }

    pub(crate) fn instruction_casing(&mut self, stages: &[Stage]) {
        let names: Vec<(&str, Lines)> = stages
            .iter()
            .flat_map(|stage| {
                let rest = stage.instructions.iter().map(|i| (i.name.as_str(), i.lines));
                std::iter::once((stage.name_of_from.as_str(), stage.lines)).chain(rest)
            })
            .collect();
        let lower = names.iter().filter(|(name, _)| *name == name.to_lowercase()).count();
        let upper = names.iter().filter(|(name, _)| *name == name.to_uppercase()).count();
        let majority = if lower > upper { "lowercase" } else { "uppercase" };
        for (name, lines) in names {
            let fits =
                name == if lower > upper { name.to_lowercase() } else { name.to_uppercase() };
            if !fits {
                let text = format!(
                    "Command '{name}' should match the case of the command majority ({majority})"
                );
                self.warn(Rule::ConsistentInstructionCasing, lines, text);
            }
        }
    }

    /// `unmatched` were asked for in a FROM and are none of the `declared`.
    pub(crate) fn undefined_in_from(
        &mut self,
        unmatched: &BTreeSet<String>,
        declared: &BTreeSet<&str>,
        lines: Lines,
    ) {
        for name in unmatched.iter().filter(|name| !declared.contains(name.as_str())) {
            let mut text = format!("FROM argument '{name}' is not declared");
            if let Some(near) = nearest(name, declared.iter().copied()) {
                let _ = write!(text, " (did you mean {near}?)");
            }
            self.warn(Rule::UndefinedArgInFrom, lines, text);
        }
    }

    pub(crate) fn undefined_variable<'a>(
        &mut self,
        name: &str,
        known: impl Iterator<Item = &'a str>,
        lines: Lines,
    ) {
        if self.is_full() {
            return;
        }
        let mut text = format!("Usage of undefined variable '${name}'");
        if let Some(near) = nearest(name, known) {
            let _ = write!(text, " (did you mean ${near}?)");
        }
        self.warn(Rule::UndefinedVar, lines, text);
    }

    pub(crate) fn invalid_default(&mut self, base: &str, lines: Lines) {
        let text =
            format!("Default value for ARG {base} results in empty or invalid base image name");
        self.warn(Rule::InvalidDefaultArgInFrom, lines, text);
    }

    /// Looks at `--platform` of a FROM: as written, expanded, and what the target's is.
    pub(crate) fn platform_flag(
        &mut self,
        written: &str,
        expanded: &Expanded,
        target: Option<&str>,
        stage: &str,
        lines: Lines,
    ) {
        let only_target = expanded.matched.iter().eq(["TARGETPLATFORM"]);
        if only_target && expanded.unmatched.is_empty() && target == Some(&expanded.text) {
            let text = format!(
                "Setting platform to predefined {written} in FROM is redundant as this is the default behavior"
            );
            self.warn(Rule::RedundantTargetPlatform, lines, text);
        }
        if !expanded.matched.is_empty() || !expanded.unmatched.is_empty() {
            return;
        }
        let Ok(platform) = expanded.text.parse::<Platform>() else { return };
        if !stage.contains(&platform.os) && !stage.contains(&platform.architecture) {
            let text = format!(
                "FROM --platform flag should not use constant value {}",
                quote(&expanded.text)
            );
            self.warn(Rule::FromPlatformFlagConstDisallowed, lines, text);
        }
    }

    pub(crate) fn base_platform(
        &mut self,
        name: &str,
        expected: &Platform,
        actual: &Platform,
        lines: Lines,
    ) {
        let (expected, actual) = (expected.normalized(), actual.normalized());
        if expected.os != actual.os || expected.architecture != actual.architecture {
            let text = format!(
                "Base image {name} was pulled with platform {}, expected {} for current build",
                quote(&actual.to_string()),
                quote(&expected.to_string())
            );
            self.warn(Rule::InvalidBaseImagePlatform, lines, text);
        }
    }

    pub(crate) fn legacy_pair(&mut self, instruction: &str, lines: Lines) {
        let text = format!(
            "\"{instruction} key=value\" should be used instead of legacy \"{instruction} key value\" format"
        );
        self.warn(Rule::LegacyKeyValueFormat, lines, text);
    }

    pub(crate) fn secret(&mut self, instruction: &str, name: &str, lines: Lines) {
        let lower = name.to_lowercase();
        let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
        if has(SECRET_WORDS) && !has(HARMLESS_WORDS) {
            let text = format!(
                "Do not use ARG or ENV instructions for sensitive data ({instruction} {})",
                quote(name)
            );
            self.warn(Rule::SecretsUsedInArgOrEnv, lines, text);
        }
    }

    pub(crate) fn relative_workdir(&mut self, path: &str, lines: Lines) {
        let text = format!(
            "Relative workdir {} can have unexpected results if the base image changes",
            quote(path)
        );
        self.warn(Rule::WorkdirRelativePath, lines, text);
    }

    pub(crate) fn json_recommended(&mut self, instruction: &str, lines: Lines) {
        let text = format!(
            "JSON arguments recommended for {instruction} to prevent unintended behavior related to OS signals"
        );
        self.warn(Rule::JSONArgsRecommended, lines, text);
    }

    /// `lines` are those of the instruction that counts no more.
    pub(crate) fn again(&mut self, instruction: &str, lines: Lines) {
        let text = format!(
            "Multiple {instruction} instructions should not be used in the same stage because only the last one will be used"
        );
        self.warn(Rule::MultipleInstructionsDisallowed, lines, text);
    }

    pub(crate) fn port_casing(&mut self, port: &str, lines: Lines) {
        let text = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
        self.warn(Rule::ExposeProtoCasing, lines, text);
    }

    pub(crate) fn port_format(&mut self, port: &str, lines: Lines) {
        let text = format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
        );
        self.warn(Rule::ExposeInvalidFormat, lines, text);
    }

    pub(crate) fn ignored_source(
        &mut self,
        add: bool,
        source: &str,
        ignore: Option<&Ignore>,
        lines: Lines,
    ) {
        // What a later pattern takes back cannot be judged without the files.
        let Some(ignore) = ignore.filter(|ignore| !ignore.has_negation()) else { return };
        let path = crate::glob::clean(source);
        let root = path == "." || path == "/";
        let ignored = if root { ignore.is_everything() } else { ignore.matches(&path) };
        if ignored {
            let verb = if add { "Add" } else { "Copy" };
            let text = format!(
                "Attempting to {verb} file {} that is excluded by .dockerignore",
                quote(&path)
            );
            self.warn(Rule::CopyIgnoredFile, lines, text);
        }
    }
}
