//! Arguments: from the command line to a typed command, in Docker's dialect.
//!
//! ```text
//! line ─ scan ─▶ one unambiguous form ─ clap ─▶ typed arguments
//!          └───▶ help (`help`), or what is wrong with it, in Docker's words
//! ```

mod help;
mod scan;
#[cfg(test)]
mod tests;

use std::error::Error as _;

use clap::{Command, CommandFactory, FromArgMatches, error::ContextKind, error::ErrorKind};

use crate::commands::Cli;
use scan::Scan;

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To run a command.
    Run(Box<Cli>),
    /// To read help. `stray` help was not asked for: a command is missing.
    Help { text: String, stray: bool, warning: Option<&'static str> },
}

/// What is wrong with a command line, ready to print, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) text: String,
    pub(crate) code: u8,
}

/// Reads a command line, without the program's name. `width` is the terminal's, for help;
/// `config_dir` is shown there as the default.
pub(crate) fn read(line: &[String], width: usize, config_dir: &str) -> Result<Asked, Wrong> {
    // Flags may stand before the command, and then all have to be known to find it.
    let quick = line.first().and_then(|word| Cli::command_with(word));
    let root = quick.unwrap_or_else(Cli::command);
    let page = |path: &[&Command]| help::page(path, width, config_dir);
    let mut scan = Scan::new(&root, line)?;
    if scan.help {
        let warning =
            scan.short_help.then_some("Flag shorthand -h has been deprecated, use --help");
        return Ok(Asked::Help { text: page(&scan.path), stray: false, warning });
    }
    if scan.command().has_subcommands() {
        let topic = scan.positionals.clone();
        if scan.path.len() == 1 && topic.first().is_some_and(|word| word == "help") {
            let path = find_topic(&root, &topic[1..])?;
            return Ok(Asked::Help { text: page(&path), stray: false, warning: None });
        }
        if let Some(word) = topic.first() {
            return Err(unknown_command(&scan.path, word));
        }
        if !scan.canonical().iter().any(|word| word == "--version") {
            return Ok(Asked::Help { text: page(&scan.path), stray: true, warning: None });
        }
    }
    let counted = check_count(&scan);
    if counted.is_err() {
        // A wrong value comes before a wrong number of arguments; let clap look at the flags.
        scan.positionals.clear();
    }
    match root.clone().try_get_matches_from(scan.canonical()) {
        Ok(matches) => {
            counted?;
            match Cli::from_arg_matches(&matches) {
                Ok(cli) => Ok(Asked::Run(Box::new(Cli {
                    notices: std::mem::take(&mut scan.notices),
                    ..cli
                }))),
                Err(error) => Err(clap_error(&scan, &error)),
            }
        }
        Err(error) if error.kind() == ErrorKind::ValueValidation => Err(clap_error(&scan, &error)),
        Err(error) => {
            counted?;
            Err(clap_error(&scan, &error))
        }
    }
}

/// The path as it is typed: `varve image ls`.
fn path_text(path: &[&Command]) -> String {
    if path[path.len() - 1].get_name() == "build" {
        // By whichever of its names it is called, docker answers with this one.
        return format!("{} buildx build", path[0].get_name());
    }
    path.iter().map(|command| command.get_name()).collect::<Vec<_>>().join(" ")
}

/// The path and what may follow it: `varve images [OPTIONS] [REPOSITORY[:TAG]]`.
fn usage_line(path: &[&Command]) -> String {
    let text = path_text(path);
    let command = path[path.len() - 1];
    if path.len() == 1 {
        return format!("{text} [OPTIONS] COMMAND [ARG...]");
    }
    match help::arguments_text(command) {
        Some(arguments) => format!("{text} {arguments}"),
        None => text,
    }
}

/// Whether docker hands the command to its plugin for builds, which words errors in its own way.
fn is_buildx(path: &[&Command]) -> bool {
    path[path.len() - 1].get_name() == "build"
        || path.get(1).is_some_and(|command| command.get_name() == "buildx")
}

fn find_topic<'a>(root: &'a Command, topic: &[String]) -> Result<Vec<&'a Command>, Wrong> {
    let mut path = vec![root];
    for (at, word) in topic.iter().enumerate() {
        if let Some(found) = path[path.len() - 1].find_subcommand(word) {
            path.push(found);
        } else {
            let text = format!("unknown help topic: {}", topic[at..].join(" "));
            return Err(Wrong { text, code: 1 });
        }
    }
    Ok(path)
}

fn unknown_command(path: &[&Command], word: &str) -> Wrong {
    let (program, text) = (path[0].get_name(), path_text(path));
    let word = varve_types::Printable(word);
    let usage = match path.len() {
        1 => String::new(),
        _ => format!("Usage:  {text}\n\n"),
    };
    let text = format!(
        "{program}: unknown command: {text} {word}\n\n{usage}Run '{text} --help' for more information"
    );
    Wrong { text, code: 1 }
}

/// Checks the number of arguments, in Docker's words (with its misprint after "at most").
fn check_count(scan: &Scan<'_>) -> Result<(), Wrong> {
    let given = scan.positionals.len();
    let (mut min, mut max) = (0, Some(0));
    for argument in scan.command().get_positionals() {
        min += usize::from(argument.is_required_set());
        let many = argument.get_num_args().is_some_and(|range| range.max_values() > 1);
        max = if many { None } else { max.map(|max: usize| max + 1) };
    }
    if given >= min && max.is_none_or(|max| given <= max) {
        return Ok(());
    }
    let noun = |count: usize| if count == 1 { "argument" } else { "arguments" };
    let (wanted, lead) = match (min, max) {
        (0, Some(0)) => ("accepts no arguments".to_owned(), "Run"),
        (min, Some(max)) if min == max => (format!("requires {min} {}", noun(min)), "Run"),
        (min, None) => (format!("requires at least {min} {}", noun(min)), "See"),
        (0, Some(max)) => (format!("requires at most {max} {}", noun(max)), "SRun"),
        (min, Some(max)) => {
            (format!("requires at least {min} and at most {max} {}", noun(max)), "Run")
        }
    };
    let (program, path) = (scan.path[0].get_name(), path_text(&scan.path));
    if is_buildx(&scan.path) {
        return Err(buildx_count(scan, min, max));
    }
    let usage = usage_line(&scan.path);
    let text = format!(
        "{program}: '{path}' {wanted}\n\nUsage:  {usage}\n\n{lead} '{path} --help' for more information"
    );
    Err(Wrong { text, code: 1 })
}

/// The same in the words of docker's plugin for builds.
fn buildx_count(scan: &Scan<'_>, min: usize, max: Option<usize>) -> Wrong {
    let path = path_text(&scan.path);
    let wanted = match (min, max) {
        (0, Some(0)) => "accepts no arguments".to_owned(),
        (1, Some(1)) => "requires exactly 1 argument".to_owned(),
        (_, Some(max)) => {
            format!("requires at most {max} argument{}", if max == 1 { "" } else { "s" })
        }
        (min, None) => {
            format!("requires at least {min} argument{}", if min == 1 { "" } else { "s" })
        }
    };
    let command = scan.command();
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let usage = usage_line(&scan.path);
    let text =
        format!("ERROR: \"{path}\" {wanted}.\nSee '{path} --help'.\n\nUsage:  {usage}\n\n{about}");
    Wrong { text, code: 1 }
}

/// Brings what clap found wrong with a value into Docker's words.
fn clap_error(scan: &Scan<'_>, error: &clap::Error) -> Wrong {
    let context = |kind| error.get(kind).map(ToString::to_string);
    if error.kind() == ErrorKind::ValueValidation
        && let (Some(shown), Some(value)) =
            (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue))
    {
        // clap shows a flag as `--name <kind>`.
        let long = shown.trim_start_matches('-').split([' ', '=']).next();
        let mut all = scan.path.iter().rev().flat_map(|command| command.get_arguments());
        if let Some(flag) = all.find(|flag| flag.get_long().is_some() && flag.get_long() == long) {
            let reason = error.source().map(ToString::to_string).unwrap_or_default();
            return scan.value_error(flag, &value, &reason);
        }
    }
    let text = error.to_string();
    Wrong { text: text.trim_end().to_owned(), code: 125 }
}
