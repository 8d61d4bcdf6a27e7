//! Flags that several commands have: their help texts and values.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
};

use varve_engine::{BackendKind, Filters};
use varve_types::{
    Platform,
    container::{SizeError, Ulimit, UlimitError, parse_size},
    duration::{self, DurationError},
    platform::PlatformError,
};

use crate::{error::CommandError, ui::Ui};

/// Help of `--format` where there is a table.
pub(crate) const FORMAT_TABLE_HELP: &str = "Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates";

/// Help of `--format` where there is none.
pub(crate) const FORMAT_HELP: &str = "Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates";

/// A condition of `--filter`: `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// In lower case; `label!` when it was `label!=value`. Empty: no condition at all.
    pub(crate) name: String,
    pub(crate) value: String,
}

/// What every `prune` is asked: what must hold, and whether there is a question first.
#[derive(Debug, clap::Args)]
pub(crate) struct Pruning {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long = "filter", value_name = "filter", value_parser = filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<Filter>,

    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Pruning {
    /// What must hold for what goes.
    pub(crate) fn filters(&self) -> Filters {
        filters(&self.filters)
    }

    /// Whether the user wants it, after this warning.
    pub(crate) fn is_wanted(&self, ui: &Ui, warning: &str) -> Result<bool, CommandError> {
        Ok(self.force || ui.confirm(warning)?)
    }
}

/// Reads a condition. An empty one means nothing, as Docker has it.
pub(crate) fn filter(text: &str) -> Result<Filter, String> {
    if text.is_empty() {
        return Ok(Filter { name: String::new(), value: String::new() });
    }
    let Some((name, value)) = text.split_once('=') else {
        return Err("bad format of filter (expected name=value)".to_owned());
    };
    Ok(Filter { name: name.trim().to_lowercase(), value: value.trim().to_owned() })
}

/// The conditions as the engine takes them.
pub(crate) fn filters(given: &[Filter]) -> Filters {
    let mut filters = Filters::default();
    let condition = |filter: &&Filter| !(filter.name.is_empty() && filter.value.is_empty());
    for filter in given.iter().filter(condition) {
        filters.add(&filter.name, &filter.value);
    }
    filters
}

/// Reads a platform. An empty text is none, as in Docker.
pub(crate) fn platform(text: Option<&str>) -> Result<Option<Platform>, CommandError> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|error| {
            // Docker leaves the quoted text out of the reason where its own words name it.
            let reason = PlatformError::to_string(&error);
            let quoted = format!("{text:?}: ");
            let reason = reason.strip_prefix(&quoted).unwrap_or(&reason);
            CommandError::plain(format!("invalid platform: {text:?}: {reason}"), 1)
        }),
    }
}

/// Reads a number as Go does, with its words for what is none.
pub(crate) fn integer(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
    }
    text.parse().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: value out of range"))
}

/// Reads a small number as Go does, with its words for what is none.
pub(crate) fn unsigned16(text: &str) -> Result<u16, String> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let reason = if is_number { "value out of range" } else { "invalid syntax" };
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {text:?}: {reason}"))
}

/// Reads a duration as Go does, in nanoseconds, with its words for what is none.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    duration::parse(text).map_err(|error| match error {
        DurationError::Unit => format!("time: missing unit in duration {text:?}"),
        DurationError::Format => format!("time: invalid duration {text:?}"),
    })
}

/// Reads an amount of swap in bytes, where -1 is no limit.
pub(crate) fn swap(text: &str) -> Result<i64, SizeError> {
    if text == "-1" { Ok(-1) } else { parse_size(text) }
}

/// Reads a limit of processes.
pub(crate) fn ulimit(text: &str) -> Result<Ulimit, UlimitError> {
    text.parse()
}

/// The form of progress output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Redrawn lines on a terminal, else plain ones.
    Auto,
    /// A line for each change.
    Plain,
    /// Redrawn lines.
    Tty,
    /// A JSON object for each event.
    Json,
    /// Only the result.
    Quiet,
}

/// Reads the form of progress output.
pub(crate) fn progress(text: &str) -> Result<Progress, String> {
    match text {
        "auto" => Ok(Progress::Auto),
        "plain" => Ok(Progress::Plain),
        "tty" => Ok(Progress::Tty),
        "json" => Ok(Progress::Json),
        "quiet" => Ok(Progress::Quiet),
        _ => Err("must be one of auto, plain, tty, json, quiet".to_owned()),
    }
}

/// How layers are to be shown: `None` as is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StorageBackend(pub(crate) Option<BackendKind>);

/// Reads how layers are to be shown. An empty text is as good as none.
pub(crate) fn storage_backend(text: &str) -> Result<StorageBackend, String> {
    match text {
        "" | "auto" => Ok(StorageBackend(None)),
        text => match text.parse() {
            Ok(kind) => Ok(StorageBackend(Some(kind))),
            Err(_) => Err("must be one of auto, erofs, erofs-loop, directory".to_owned()),
        },
    }
}

/// Reads a path. An empty one is taken as well, and means that none is given: see [`given`].
#[allow(clippy::unnecessary_wraps, reason = "the form that clap's value parsers have")]
pub(crate) fn path(text: &str) -> Result<PathBuf, Infallible> {
    Ok(PathBuf::from(text))
}

/// The path, unless none or an empty one is given.
pub(crate) fn given(path: Option<&PathBuf>) -> Option<&Path> {
    path.map(PathBuf::as_path).filter(|path| !path.as_os_str().is_empty())
}
