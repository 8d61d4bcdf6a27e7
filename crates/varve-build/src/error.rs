//! Why a Dockerfile cannot be built, with the lines that say so. The texts are docker's.

use std::fmt;

use varve_types::{Kind, Printable, container::SignalError, limits};

use crate::{expand::ExpandError, go_text::quote, source::Lines};

/// What is wrong with a Dockerfile, where, and what may have been meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileError {
    /// What is wrong.
    pub problem: Box<Problem>,
    /// The instructions that say so; empty where no line does.
    pub at: Vec<Lines>,
    /// Whether one instruction alone is wrong: docker then names its line.
    pub in_instruction: bool,
    /// A word that may have been meant.
    pub suggestion: Option<String>,
}

/// The result of reading or planning a Dockerfile.
pub type Result<T, E = DockerfileError> = std::result::Result<T, E>;

impl fmt::Display for DockerfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (true, Some(lines)) = (self.in_instruction, self.at.first()) {
            write!(f, "dockerfile parse error on line {}: ", lines.first)?;
        }
        write!(f, "{}", self.problem)?;
        match &self.suggestion {
            Some(word) => write!(f, " (did you mean {}?)", Printable(word)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DockerfileError {}

impl From<Problem> for DockerfileError {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), at: Vec::new(), in_instruction: false, suggestion: None }
    }
}

impl DockerfileError {
    /// Says where, unless that is known.
    #[must_use]
    pub fn at(mut self, lines: Lines) -> Self {
        if self.at.is_empty() {
            self.at.push(lines);
        }
        self
    }

    /// Adds the word that may have been meant.
    #[must_use]
    pub(crate) fn suggest(mut self, word: Option<&str>) -> Self {
        self.suggestion = word.map(str::to_owned);
        self
    }

    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        self.problem.kind()
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No byte.
    #[error("the Dockerfile cannot be empty")]
    Empty,
    /// Comments and blank lines only.
    #[error("file with no instructions")]
    NoInstructions,
    /// More bytes than [`limits::DOCKERFILE_SIZE_BYTES_MAX`].
    #[error("dockerfile of {arg0} bytes is larger than the limit of {limit} bytes", limit = limits::DOCKERFILE_SIZE_BYTES_MAX, arg0 = .0)]
    TooLarge(usize),
    /// A line longer than [`limits::DOCKERFILE_LINE_SIZE_BYTES_MAX`].
    #[error("dockerfile line greater than max allowed size of {limit}", limit = limits::DOCKERFILE_LINE_SIZE_BYTES_MAX)]
    LineTooLong,
    /// More than [`limits::DOCKERFILE_INSTRUCTIONS_MAX`].
    #[error("dockerfile has more than the limit of {limit} instructions", limit = limits::DOCKERFILE_INSTRUCTIONS_MAX)]
    TooManyInstructions,
    /// More than [`limits::DOCKERFILE_STAGES_MAX`].
    #[error("dockerfile has more than the limit of {limit} stages", limit = limits::DOCKERFILE_STAGES_MAX)]
    TooManyStages,
    /// More than [`limits::EXPOSED_PORTS_MAX`].
    #[error("EXPOSE lists more than the limit of {limit} ports", limit = limits::EXPOSED_PORTS_MAX)]
    TooManyPorts,
    /// More than [`limits::CONFIG_SIZE_BYTES_MAX`].
    #[error("history of the image is larger than the limit of {limit} bytes", limit = limits::CONFIG_SIZE_BYTES_MAX)]
    HistoryTooLarge,
    /// More than [`limits::BUILD_ENVIRONMENT_SIZE_BYTES_MAX`].
    #[error("ENV and ARG make an environment larger than the limit of {limit} bytes", limit = limits::BUILD_ENVIRONMENT_SIZE_BYTES_MAX)]
    EnvironmentTooLarge,
    /// A directive twice.
    #[error("only one {} parser directive can be used", Printable(.0))]
    DirectiveTwice(String),
    /// `# escape=` with something else.
    #[error("invalid escape token '{}' does not match ` or \\", Printable(.0))]
    Escape(String),
    /// The file ended inside a here-document.
    #[error("unterminated heredoc")]
    HeredocUnterminated,
    /// Bytes that are not UTF-8 inside a here-document.
    #[error("heredoc is not UTF-8 text")]
    HeredocNotText,
    /// The end word of a here-document cannot be read.
    #[error("{0}")]
    HeredocWord(ExpandError),
    /// `ENV X`.
    #[error("{0} must have two arguments")]
    KeyWithoutValue(String),
    /// `ENV a=1 b`.
    #[error("Syntax error - can't find = in {}. Must be of the form: name=value", quote(.0))]
    NoEqualsSign(String),
    /// `CMD ["a", 1]`.
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    JsonNotStrings,
    /// No such instruction.
    #[error("unknown instruction: {}", Printable(.0))]
    UnknownInstruction(String),
    /// No argument at all.
    #[error("{0} requires at least one argument")]
    NoArgument(&'static str),
    /// None, or more than one.
    #[error("{0} requires exactly one argument")]
    NotOneArgument(&'static str),
    /// `COPY x`.
    #[error(
        "{0} requires at least two arguments, but only one was provided. Destination could not be determined"
    )]
    NoDestination(&'static str),
    /// `ENV =x`.
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    /// A here-document where none can be.
    #[error("{0} cannot accept a heredoc as a destination")]
    HeredocDestination(&'static str),
    /// `SHELL foo`.
    #[error("{0} requires the arguments to be in JSON form")]
    NotJson(&'static str),
    /// `FROM a b`.
    #[error("FROM requires either one or three arguments")]
    FromArguments,
    /// A stage cannot be called so.
    #[error("invalid name for build stage: {}, name can't start with a number or contain symbols", quote(.0))]
    StageName(String),
    /// `ONBUILD ONBUILD`.
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    OnBuildChain,
    /// `ONBUILD FROM`.
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    OnBuildNotAllowed(String),
    /// A base image's trigger that is not one instruction.
    #[error("onbuild trigger should be a single expression")]
    OnBuildNotOne,
    /// A flag that the instruction does not have.
    #[error("unknown flag: {}", Printable(.0))]
    UnknownFlag(String),
    /// A flag twice.
    #[error("duplicate flag specified: {}", Printable(.0))]
    FlagTwice(String),
    /// A flag without `=value`.
    #[error("missing a value on flag: {}", Printable(.0))]
    FlagWithoutValue(String),
    /// A flag that is neither true nor false.
    #[error("expecting boolean value for flag {arg0}, not: {}", Printable(.1), arg0 = .0)]
    FlagNotBoolean(String, String),
    /// `HEALTHCHECK NONE x`.
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthcheckNone,
    /// `HEALTHCHECK CMD`.
    #[error("Missing command after HEALTHCHECK CMD")]
    HealthcheckCommand,
    /// `HEALTHCHECK FOO`.
    #[error("Unknown type {} in HEALTHCHECK (try CMD)", quote(.0))]
    HealthcheckType(String),
    /// Less than a millisecond.
    #[error("Interval {} cannot be less than 1ms", quote(.0))]
    Interval(String),
    /// A number without unit.
    #[error("time: missing unit in duration {}", quote(.0))]
    DurationUnit(String),
    /// Not a duration.
    #[error("time: invalid duration {}", quote(.0))]
    Duration(String),
    /// Not a number.
    #[error("strconv.ParseInt: parsing {}: invalid syntax", quote(.0))]
    Number(String),
    /// Less than zero.
    #[error("--retries cannot be negative ({0})")]
    Retries(i64),
    /// `VOLUME [""]`.
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    /// `--network` of RUN.
    #[error("invalid network mode {}", quote(.0))]
    Network(String),
    /// `--security` of RUN.
    #[error("security {} is not valid", quote(.0))]
    Security(String),
    /// `--mount` that is no row of fields.
    #[error("failed to parse csv mounts: {0}")]
    MountFields(&'static str),
    /// `--mount=type=x`.
    #[error("unsupported mount type {}", quote(.0))]
    MountType(String),
    /// `--mount=…,sharing=x`.
    #[error("unsupported sharing value {}", quote(.0))]
    MountSharing(String),
    /// A key that the type of mount does not take.
    #[error("unexpected key '{}' for mount type '{arg1}'", Printable(.0), arg1 = .1)]
    MountKey(String, &'static str),
    /// A key that no type takes.
    #[error("unexpected key '{}' in '{}'", Printable(.0), Printable(.1))]
    MountUnknownKey(String, String),
    /// A key without a value.
    #[error("invalid field '{}' must be a key=value pair", Printable(.0))]
    MountField(String),
    /// A value that makes no sense for its key.
    #[error("invalid value for {arg0}: {}", Printable(.1), arg0 = .0)]
    MountValue(String, String),
    /// A number that is none.
    #[error("invalid value {} for {arg1}", Printable(.0), arg1 = .1)]
    MountNumber(String, &'static str),
    /// `from=$x`.
    #[error("'from' doesn't support variable expansion, define alias stage instead")]
    MountFromVariable,
    /// mode, uid or gid for a type without.
    #[error("{arg0} not allowed for {} type mounts", quote(.1), arg0 = .0)]
    MountNotAllowed(&'static str, &'static str),
    /// Combinations that a mount cannot have; the text says which.
    #[error("{0}")]
    MountCombination(&'static str),
    /// Sharing for what is no cache.
    #[error("invalid cache sharing set for {0} mount")]
    MountNotCache(&'static str),
    /// A mount over the root.
    #[error("invalid mount target {}", quote(.0))]
    MountTarget(String),
    /// An instruction before the first FROM.
    #[error("no build stage in current context")]
    NoStage,
    /// ARG instructions only.
    #[error("dockerfile contains no stages to build")]
    NoStages,
    /// `--target`.
    #[error("target stage {} could not be found", quote(.0))]
    Target(String),
    /// The base expands to nothing.
    #[error("base name ({}) should not be blank", Printable(.0))]
    BlankBase(String),
    /// The base is neither a stage nor a name of an image.
    #[error("failed to parse stage name {}: {arg1}", quote(.0), arg1 = .1)]
    BaseName(String, varve_types::reference::ReferenceError),
    /// `--platform` expands to nothing.
    #[error("empty platform value from expression {}", Printable(.0))]
    BlankPlatform(String),
    /// `--platform` is none.
    #[error("failed to parse platform {}: {arg1}", Printable(.0), arg1 = .1)]
    Platform(String, varve_types::platform::PlatformError),
    /// A word cannot be expanded.
    #[error("failed to process {}: {arg1}", quote(.0), arg1 = .1)]
    Expand(String, ExpandError),
    /// `COPY --from=$x`.
    #[error(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"
    )]
    FromVariable,
    /// `COPY --from=9`.
    #[error("invalid stage index {0}")]
    StageIndex(i64),
    /// Stages that need each other.
    #[error("circular dependency detected on stage: {}", Printable(.0))]
    Circular(String),
    /// `COPY --from` a stage that is defined later.
    #[error("cannot copy from stage {}, it needs to be defined before current stage {}", quote(.0), quote(.1))]
    LaterStage(String, String),
    /// A number, but not an octal one of four digits.
    #[error(
        "invalid chmod parameter: '{}'. it should be octal string and between 0 and 07777",
        Printable(.0)
    )]
    Chmod(String),
    /// `RUN --mount=from` a stage that is defined later.
    #[error("cannot mount from stage {} to {}, stage needs to be defined before current command", quote(.0), quote(.1))]
    LaterMount(String, String),
    /// Neither a number nor `u+x`.
    #[error("invalid syntax")]
    ChmodSymbols,
    /// `--checksum` where it cannot be; the text says why.
    #[error("{0}")]
    Checksum(&'static str),
    /// A git or http source that makes no sense; the text says why.
    #[error("{0}")]
    Remote(&'static str),
    /// Two checksums for one source.
    #[error("checksum mismatch {} != {}", quote(.0), quote(.1))]
    ChecksumMismatch(String, String),
    /// `EXPOSE abc`.
    #[error("Invalid containerPort: {}", Printable(.0))]
    ContainerPort(String),
    /// `EXPOSE abc:80`.
    #[error("Invalid hostPort: {}", Printable(.0))]
    HostPort(String),
    /// `EXPOSE 80/foo`.
    #[error("Invalid proto: {}", Printable(.0))]
    PortProtocol(String),
    /// `EXPOSE /tcp`.
    #[error("No port specified: {}<empty>", Printable(.0))]
    NoPort(String),
    /// `EXPOSE x:80:80`.
    #[error("Invalid ip address: {}", Printable(.0))]
    PortAddress(String),
    /// Two ranges of different lengths.
    #[error("Invalid ranges specified for container and host Ports: {} and {}", Printable(.0), Printable(.1))]
    PortRanges(String, String),
    /// `STOPSIGNAL FOO`.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// `# check=` that makes no sense.
    #[error("failed to parse check options: invalid check option {}", quote(.0))]
    CheckOption(String),
    /// `# check=error=true`, and there were warnings.
    #[error("lint violation found for rules: {}", .0.join(", "))]
    Lint(Vec<String>),
    /// An image was planned without its config.
    #[error("{}: the config of the image is not known", Printable(.0))]
    Unresolved(String),
}

impl Problem {
    /// Classifies the problem.
    pub fn kind(&self) -> Kind {
        match self {
            Self::TooLarge(_)
            | Self::LineTooLong
            | Self::TooManyInstructions
            | Self::TooManyStages
            | Self::TooManyPorts
            | Self::HistoryTooLarge
            | Self::EnvironmentTooLarge => Kind::Exhausted,
            Self::Expand(_, cause) | Self::HeredocWord(cause) => cause.kind(),
            Self::Target(_) => Kind::NotFound,
            Self::Unresolved(_) => Kind::Internal,
            _ => Kind::Invalid,
        }
    }
}
