//! `--change`: Dockerfile instructions that alter how an image is run (`import`, `commit`).
//!
//! A pure function from a run config and instructions to a run config. What Docker does in four
//! steps is done in the same four, because the first step that fails decides the message:
//! lines are split into words, every instruction must be one of those allowed here, each is
//! typed, and only then are they applied in order.

mod apply;
mod instruction;
mod ports;
mod words;

use varve_types::{Printable, RunConfig};

use instruction::{Instruction, Line};

/// Why an instruction was not understood. The texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields name themselves")]
pub enum ChangeError {
    /// Nothing but comments and empty lines.
    #[error("file with no instructions")]
    Empty,
    /// Not an instruction, or one that makes no sense without a build.
    #[error("{} is not a valid change command", Printable(.0))]
    NotAllowed(String),
    /// An instruction that takes exactly one argument has none.
    #[error("{0} requires exactly one argument")]
    OneArgument(&'static str),
    /// An instruction without any argument.
    #[error("{0} requires at least one argument")]
    NoArgument(&'static str),
    /// `ENV name` or `LABEL name`.
    #[error("{0} must have two arguments")]
    TwoArguments(&'static str),
    /// `ENV a=b c`.
    #[error("Syntax error - can't find = in {:?}. Must be of the form: name=value", Printable(.0).to_string())]
    NoEquals(String),
    /// `ENV =b`.
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    /// `VOLUME [""]`.
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    /// `CMD [1]`.
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStrings,
    /// A flag that the instruction does not have.
    #[error("unknown flag: {}", Printable(.0))]
    UnknownFlag(String),
    /// A flag given twice.
    #[error("duplicate flag specified: {0}")]
    DuplicateFlag(String),
    /// A flag without its value.
    #[error("missing a value on flag: {0}")]
    FlagValue(String),
    /// `HEALTHCHECK NONE x`.
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthcheckNone,
    /// `HEALTHCHECK CMD`.
    #[error("Missing command after HEALTHCHECK CMD")]
    HealthcheckCommand,
    /// `HEALTHCHECK x`.
    #[error("Unknown type {:?} in HEALTHCHECK (try CMD)", Printable(.0).to_string())]
    HealthcheckType(String),
    /// A duration that is too short.
    #[error("Interval {0:?} cannot be less than 1ms")]
    ShortInterval(&'static str),
    /// Not a duration.
    #[error("time: invalid duration {:?}", Printable(.0).to_string())]
    Duration(String),
    /// A duration without a unit.
    #[error("time: missing unit in duration {:?}", Printable(.0).to_string())]
    DurationUnit(String),
    /// `--retries` is not a number.
    #[error("strconv.ParseInt: parsing {:?}: invalid syntax", Printable(.0).to_string())]
    Retries(String),
    /// `--retries` is negative.
    #[error("--retries cannot be negative ({0})")]
    NegativeRetries(i64),
    /// Not a port.
    #[error("Invalid containerPort: {}", Printable(.0))]
    Port(String),
    /// A port on the host that is not one.
    #[error("Invalid hostPort: {}", Printable(.0))]
    HostPort(String),
    /// An address in front of a port that is not one.
    #[error("Invalid ip address: {}", Printable(.0))]
    Address(String),
    /// No port where one is needed.
    #[error("No port specified: {}<empty>", Printable(.0))]
    NoPort(String),
    /// Not `tcp`, `udp` or `sctp`.
    #[error("Invalid proto: {}", Printable(.0))]
    Protocol(String),
    /// Two ranges of different length.
    #[error(
        "Invalid ranges specified for container and host Ports: {} and {}",
        Printable(container),
        Printable(host)
    )]
    Ranges { container: String, host: String },
    /// Not a signal.
    #[error("invalid signal: {}", Printable(.0))]
    Signal(String),
    /// `ONBUILD ONBUILD`.
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    OnBuildChain,
    /// `ONBUILD FROM`.
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    OnBuildTrigger(String),
    /// `WORKDIR ""`.
    #[error("cannot normalize nothing")]
    EmptyWorkdir,
    /// A quote that is not closed.
    #[error("unexpected end of statement while looking for matching {0}-quote")]
    OpenQuote(&'static str),
    /// `${}` and the like.
    #[error("bad substitution")]
    BadSubstitution,
    /// `${a` without an end.
    #[error("syntax error: missing '}}'")]
    OpenSubstitution,
    /// `${a:x}`
    #[error("unsupported modifier ({}) in substitution", Printable(.0))]
    Modifier(String),
    /// `${a:?message}` and `a` is not set.
    #[error("{}: {}", Printable(name), Printable(message))]
    Unset { name: String, message: String },
}

/// Applies instructions to a run config. No instruction at all changes nothing.
pub fn apply(config: &RunConfig, changes: &[String]) -> Result<RunConfig, ChangeError> {
    if changes.is_empty() {
        return Ok(config.clone());
    }
    let lines = logical_lines(&changes.join("\n"))
        .iter()
        .map(|line| Line::parse(line))
        .collect::<Result<Vec<_>, _>>()?;
    if lines.is_empty() {
        return Err(ChangeError::Empty);
    }
    if let Some(line) = lines.iter().find(|line| !line.is_allowed()) {
        return Err(ChangeError::NotAllowed(line.name.clone()));
    }
    let instructions =
        lines.into_iter().map(Instruction::from_line).collect::<Result<Vec<_>, _>>()?;
    apply::all(config, instructions)
}

/// Joins lines that end in a backslash and drops comments and empty lines.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (part, continues) = match line.trim_end_matches([' ', '\t']).strip_suffix('\\') {
            Some(part) if !part.ends_with('\\') => (part, true),
            _ => (line, false),
        };
        let mut joined = open.take().unwrap_or_default();
        joined.push_str(part);
        if continues {
            open = Some(joined);
        } else {
            lines.push(joined);
        }
    }
    lines.extend(open);
    lines.retain(|line| !line.trim().is_empty());
    lines
}

#[cfg(test)]
mod tests;
