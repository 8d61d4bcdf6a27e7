//! From a line to a typed instruction.

use varve_types::{
    config::Healthcheck,
    duration::{self, DurationError},
};

use super::{ChangeError, words};

/// The instructions that make sense outside of a build.
const ALLOWED: &[&str] = &[
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A line split into instruction, flags and arguments.
pub(super) struct Line {
    /// The instruction as it was typed.
    pub(super) name: String,
    upper: String,
    flags: Vec<String>,
    arguments: Arguments,
    /// Everything behind the instruction, flags included.
    rest: String,
}

enum Arguments {
    /// A JSON array of strings.
    Json(Vec<String>),
    /// Words, or the whole rest as one.
    Words(Vec<String>),
    /// `name value` pairs.
    Pairs(Vec<(String, String)>),
    /// The first word and what follows it.
    Health(Option<String>, Box<Arguments>),
}

/// A typed instruction. Variables are not put in yet.
pub(super) enum Instruction {
    Command(Command),
    Entrypoint(Command),
    Environment(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Expose(Vec<String>),
    Health(Healthcheck),
    OnBuild(String),
    StopSignal(String),
    User(String),
    Volume(Vec<String>),
    WorkingDir(String),
}

/// A command in JSON form or as a line for the shell.
pub(super) enum Command {
    Exec(Vec<String>),
    Shell(String),
    Nothing,
}

impl Line {
    pub(super) fn parse(line: &str) -> Result<Self, ChangeError> {
        let line = line.trim();
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (flags, rest_without_flags) = split_flags(rest.trim());
        let upper = name.to_uppercase();
        let text = rest_without_flags;
        let arguments = match upper.as_str() {
            "ENV" => Arguments::Pairs(pairs(text, "ENV")?),
            "LABEL" => Arguments::Pairs(pairs(text, "LABEL")?),
            "CMD" | "ENTRYPOINT" => json_or_text(text)?,
            "VOLUME" => match json_strings(text)? {
                Some(strings) => Arguments::Json(strings),
                None => Arguments::Words(white_space(text)),
            },
            "HEALTHCHECK" => {
                let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
                let kind = (!kind.is_empty()).then(|| kind.to_owned());
                Arguments::Health(kind, Box::new(json_or_text(rest.trim_start())?))
            }
            "EXPOSE" => Arguments::Words(white_space(text)),
            _ if text.is_empty() => Arguments::Words(Vec::new()),
            _ => Arguments::Words(vec![text.to_owned()]),
        };
        let rest = rest.trim().to_owned();
        Ok(Self { name: name.to_owned(), upper, flags, arguments, rest })
    }

    pub(super) fn is_allowed(&self) -> bool {
        ALLOWED.contains(&self.upper.as_str())
    }

    fn one(mut self, name: &'static str) -> Result<String, ChangeError> {
        self.no_flags()?;
        match &mut self.arguments {
            Arguments::Words(words) if words.len() == 1 => Ok(words.remove(0)),
            _ => Err(ChangeError::OneArgument(name)),
        }
    }

    fn pairs(self, name: &'static str) -> Result<Vec<(String, String)>, ChangeError> {
        self.no_flags()?;
        match self.arguments {
            Arguments::Pairs(pairs) if !pairs.is_empty() => {
                if pairs.iter().any(|(key, _)| key.is_empty()) {
                    return Err(ChangeError::BlankName(name));
                }
                Ok(pairs)
            }
            _ => Err(ChangeError::NoArgument(name)),
        }
    }

    fn command(self) -> Result<Command, ChangeError> {
        self.no_flags()?;
        Ok(self.arguments.into_command())
    }

    fn no_flags(&self) -> Result<(), ChangeError> {
        match self.flags.first() {
            None => Ok(()),
            Some(flag) => {
                let name = flag.split_once('=').map_or(flag.as_str(), |(name, _)| name);
                Err(ChangeError::UnknownFlag(name.to_owned()))
            }
        }
    }
}

impl Arguments {
    fn into_command(self) -> Command {
        match self {
            Self::Json(strings) => Command::Exec(strings),
            Self::Words(words) if !words.is_empty() => Command::Shell(words.join(" ")),
            _ => Command::Nothing,
        }
    }
}

impl Instruction {
    pub(super) fn from_line(line: Line) -> Result<Self, ChangeError> {
        Ok(match line.upper.as_str() {
            "CMD" => Self::Command(line.command()?),
            "ENTRYPOINT" => Self::Entrypoint(line.command()?),
            "ENV" => Self::Environment(line.pairs("ENV")?),
            "LABEL" => Self::Label(line.pairs("LABEL")?),
            "STOPSIGNAL" => Self::StopSignal(line.one("STOPSIGNAL")?),
            "USER" => Self::User(line.one("USER")?),
            "WORKDIR" => Self::WorkingDir(line.one("WORKDIR")?),
            "EXPOSE" | "VOLUME" => {
                let name = if line.upper == "EXPOSE" { "EXPOSE" } else { "VOLUME" };
                line.no_flags()?;
                match line.arguments {
                    Arguments::Json(words) | Arguments::Words(words) if !words.is_empty() => {
                        if name == "EXPOSE" { Self::Expose(words) } else { volumes(words)? }
                    }
                    _ => return Err(ChangeError::NoArgument(name)),
                }
            }
            "HEALTHCHECK" => Self::Health(healthcheck(line)?),
            "ONBUILD" => Self::OnBuild(on_build(&line)?),
            _ => return Err(ChangeError::NotAllowed(line.name)),
        })
    }
}

fn volumes(paths: Vec<String>) -> Result<Instruction, ChangeError> {
    let paths: Vec<String> = paths.iter().map(|path| path.trim().to_owned()).collect();
    if paths.iter().any(String::is_empty) {
        return Err(ChangeError::EmptyVolume);
    }
    Ok(Instruction::Volume(paths))
}

fn on_build(line: &Line) -> Result<String, ChangeError> {
    let trigger = line.rest.split_whitespace().next().ok_or(ChangeError::NoArgument("ONBUILD"))?;
    match trigger.to_uppercase().as_str() {
        "ONBUILD" => Err(ChangeError::OnBuildChain),
        trigger @ ("MAINTAINER" | "FROM") => Err(ChangeError::OnBuildTrigger(trigger.to_owned())),
        _ => Ok(line.rest.clone()),
    }
}

fn healthcheck(line: Line) -> Result<Healthcheck, ChangeError> {
    let Arguments::Health(Some(kind), arguments) = line.arguments else {
        return Err(ChangeError::NoArgument("HEALTHCHECK"));
    };
    let kind = kind.to_uppercase();
    if kind == "NONE" {
        if !matches!(arguments.into_command(), Command::Nothing) {
            return Err(ChangeError::HealthcheckNone);
        }
        return Ok(Healthcheck { test: Some(vec![kind]), ..Healthcheck::default() });
    }
    let mut health = Healthcheck::default();
    health_flags(&mut health, &line.flags)?;
    if kind != "CMD" {
        return Err(ChangeError::HealthcheckType(kind));
    }
    health.test = Some(match arguments.into_command() {
        Command::Exec(words) if !words.is_empty() => {
            std::iter::once("CMD".to_owned()).chain(words).collect()
        }
        Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text],
        _ => return Err(ChangeError::HealthcheckCommand),
    });
    Ok(health)
}

fn health_flags(health: &mut Healthcheck, flags: &[String]) -> Result<(), ChangeError> {
    let mut seen: Vec<&str> = Vec::new();
    for flag in flags {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag.as_str(), None),
        };
        let (field, name) = match name {
            "interval" => (&mut health.interval, "interval"),
            "timeout" => (&mut health.timeout, "timeout"),
            "start-period" => (&mut health.start_period, "start-period"),
            "start-interval" => (&mut health.start_interval, "start-interval"),
            "retries" => (&mut health.retries, "retries"),
            _ => return Err(ChangeError::UnknownFlag(name.to_owned())),
        };
        if seen.contains(&name) {
            return Err(ChangeError::DuplicateFlag(name.to_owned()));
        }
        seen.push(name);
        let value = value.ok_or_else(|| ChangeError::FlagValue(name.to_owned()))?;
        *field = if name == "retries" { retries(value)? } else { interval(name, value)? };
    }
    Ok(())
}

fn retries(value: &str) -> Result<i64, ChangeError> {
    let number: i32 = match value {
        "" => 0,
        value => value.parse().map_err(|_| ChangeError::Retries(value.to_owned()))?,
    };
    if number < 0 {
        return Err(ChangeError::NegativeRetries(number.into()));
    }
    Ok(number.into())
}

fn interval(name: &'static str, value: &str) -> Result<i64, ChangeError> {
    let nanoseconds = if value.is_empty() { 0 } else { duration(value)? };
    if nanoseconds != 0 && nanoseconds < 1_000_000 {
        return Err(ChangeError::ShortInterval(name));
    }
    Ok(nanoseconds)
}

fn duration(text: &str) -> Result<i64, ChangeError> {
    duration::parse(text).map_err(|error| match error {
        DurationError::Unit => ChangeError::DurationUnit(text.to_owned()),
        DurationError::Format => ChangeError::Duration(text.to_owned()),
    })
}

/// Takes leading `--name` and `--name=value` words off; a bare `--` ends them.
fn split_flags(text: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text;
    while let Some(after) = rest.strip_prefix("--") {
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        rest = after[end..].trim_start();
        if end == 0 {
            break;
        }
        flags.push(after[..end].to_owned());
    }
    (flags, rest)
}

fn white_space(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn json_or_text(text: &str) -> Result<Arguments, ChangeError> {
    Ok(match json_strings(text)? {
        Some(strings) => Arguments::Json(strings),
        None if text.is_empty() => Arguments::Words(Vec::new()),
        None => Arguments::Words(vec![text.to_owned()]),
    })
}

/// A JSON array of strings; `None` when it is not JSON. What follows the array is ignored, as
/// Docker does.
fn json_strings(text: &str) -> Result<Option<Vec<String>>, ChangeError> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let Some(Ok(serde_json::Value::Array(values))) = values.next() else { return Ok(None) };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(text) => Ok(text),
        _ => Err(ChangeError::NotStrings),
    });
    strings.collect::<Result<_, _>>().map(Some)
}

/// `name=value …`, or the old form `name rest of the line`.
fn pairs(text: &str, name: &'static str) -> Result<Vec<(String, String)>, ChangeError> {
    let words = words::split(text);
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if !first.contains('=') {
        let (key, value) =
            text.split_once(char::is_whitespace).ok_or(ChangeError::TwoArguments(name))?;
        return Ok(vec![(key.to_owned(), value.trim_start().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(ChangeError::NoEquals(word.clone())),
    };
    words.iter().map(pair).collect()
}
