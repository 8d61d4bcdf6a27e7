//! The rules: names, descriptions, addresses and what to do.

/// A rule of the build checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each has its description in the table")]
pub enum Rule {
    StageNameCasing,
    FromAsCasing,
    NoEmptyContinuation,
    ConsistentInstructionCasing,
    DuplicateStageName,
    ReservedStageName,
    JSONArgsRecommended,
    MaintainerDeprecated,
    UndefinedArgInFrom,
    WorkdirRelativePath,
    UndefinedVar,
    MultipleInstructionsDisallowed,
    LegacyKeyValueFormat,
    InvalidBaseImagePlatform,
    RedundantTargetPlatform,
    SecretsUsedInArgOrEnv,
    InvalidDefaultArgInFrom,
    FromPlatformFlagConstDisallowed,
    CopyIgnoredFile,
    InvalidDefinitionDescription,
    ExposeProtoCasing,
    ExposeInvalidFormat,
}

/// Name, end of the address (none where docker has none), description, remedy.
type Row = (Rule, &'static str, &'static str, &'static str, &'static str);

const RULES: &[Row] = &[
    (
        Rule::StageNameCasing,
        "StageNameCasing",
        "stage-name-casing",
        "Stage names should be lowercase",
        "write the stage's name in lower case",
    ),
    (
        Rule::FromAsCasing,
        "FromAsCasing",
        "from-as-casing",
        "The 'as' keyword should match the case of the 'from' keyword",
        "write FROM and AS both in upper or both in lower case",
    ),
    (
        Rule::NoEmptyContinuation,
        "NoEmptyContinuation",
        "no-empty-continuation",
        "Empty continuation lines will become errors in a future release",
        "remove the empty line, or begin it with #",
    ),
    (
        Rule::ConsistentInstructionCasing,
        "ConsistentInstructionCasing",
        "consistent-instruction-casing",
        "All commands within the Dockerfile should use the same casing (either upper or lower)",
        "write all instructions in upper or all in lower case",
    ),
    (
        Rule::DuplicateStageName,
        "DuplicateStageName",
        "duplicate-stage-name",
        "Stage names should be unique",
        "give one of the stages another name",
    ),
    (
        Rule::ReservedStageName,
        "ReservedStageName",
        "reserved-stage-name",
        "Reserved words should not be used as stage names",
        "give the stage another name than scratch or context",
    ),
    (
        Rule::JSONArgsRecommended,
        "JSONArgsRecommended",
        "json-args-recommended",
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
        "write [\"program\", \"argument\"], or say which shell with SHELL",
    ),
    (
        Rule::MaintainerDeprecated,
        "MaintainerDeprecated",
        "maintainer-deprecated",
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
        "write LABEL org.opencontainers.image.authors=…",
    ),
    (
        Rule::UndefinedArgInFrom,
        "UndefinedArgInFrom",
        "undefined-arg-in-from",
        "FROM command must use declared ARGs",
        "declare the argument with ARG before the first FROM",
    ),
    (
        Rule::WorkdirRelativePath,
        "WorkdirRelativePath",
        "workdir-relative-path",
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
        "write an absolute path",
    ),
    (
        Rule::UndefinedVar,
        "UndefinedVar",
        "undefined-var",
        "Variables should be defined before their use",
        "set the variable with ARG or ENV, or write ${name:-}",
    ),
    (
        Rule::MultipleInstructionsDisallowed,
        "MultipleInstructionsDisallowed",
        "multiple-instructions-disallowed",
        "Multiple instructions of the same type should not be used in the same stage",
        "keep the last one only",
    ),
    (
        Rule::LegacyKeyValueFormat,
        "LegacyKeyValueFormat",
        "legacy-key-value-format",
        "Legacy key/value format with whitespace separator should not be used",
        "write name=value",
    ),
    (
        Rule::InvalidBaseImagePlatform,
        "InvalidBaseImagePlatform",
        "",
        "Base image platform does not match expected target platform",
        "take an image for the platform, or build for the image's",
    ),
    (
        Rule::RedundantTargetPlatform,
        "RedundantTargetPlatform",
        "redundant-target-platform",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        "leave --platform out",
    ),
    (
        Rule::SecretsUsedInArgOrEnv,
        "SecretsUsedInArgOrEnv",
        "secrets-used-in-arg-or-env",
        "Sensitive data should not be used in the ARG or ENV commands",
        "hand the secret to RUN with --mount=type=secret",
    ),
    (
        Rule::InvalidDefaultArgInFrom,
        "InvalidDefaultArgInFrom",
        "invalid-default-arg-in-from",
        "Default value for global ARG results in an empty or invalid base image name",
        "give the argument a default that makes a valid name",
    ),
    (
        Rule::FromPlatformFlagConstDisallowed,
        "FromPlatformFlagConstDisallowed",
        "from-platform-flag-const-disallowed",
        "FROM --platform flag should not use a constant value",
        "leave --platform out, or take $BUILDPLATFORM",
    ),
    (
        Rule::CopyIgnoredFile,
        "CopyIgnoredFile",
        "copy-ignored-file",
        "Attempting to Copy file that is excluded by .dockerignore",
        "take the file out of .dockerignore, or the path out of the instruction",
    ),
    (
        Rule::InvalidDefinitionDescription,
        "InvalidDefinitionDescription",
        "invalid-definition-description",
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
        "begin the comment with the name, or put an empty line below it",
    ),
    (
        Rule::ExposeProtoCasing,
        "ExposeProtoCasing",
        "expose-proto-casing",
        "Protocol in EXPOSE instruction should be lowercase",
        "write the protocol in lower case",
    ),
    (
        Rule::ExposeInvalidFormat,
        "ExposeInvalidFormat",
        "expose-invalid-format",
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
        "write the container's port only; publish it with run -p",
    ),
];

impl Rule {
    /// All rules.
    pub fn all() -> impl Iterator<Item = Self> {
        RULES.iter().map(|row| row.0)
    }

    fn row(self) -> &'static Row {
        RULES.iter().find(|row| row.0 == self).unwrap_or(&RULES[0])
    }

    /// The rule's name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The page about it; empty when there is none.
    pub fn url(self) -> String {
        match self.row().2 {
            "" => String::new(),
            end => format!("https://docs.docker.com/go/dockerfile/rule/{end}/"),
        }
    }

    /// What the rule is about.
    pub fn description(self) -> &'static str {
        self.row().3
    }

    /// What to do.
    pub fn remedy(self) -> &'static str {
        self.row().4
    }

    /// Whether the rule is only followed when asked for.
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::CopyIgnoredFile | Self::InvalidDefinitionDescription)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_row_of_its_own_name() {
        assert_eq!(RULES.len(), Rule::ExposeInvalidFormat as usize + 1);
        for rule in Rule::all() {
            assert_eq!(rule.name(), format!("{rule:?}"));
        }
    }
}
