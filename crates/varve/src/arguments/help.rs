//! Help pages in Docker's layout.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

/// The commands that come first on the first page, in this order.
const COMMON: &[&str] = &[
    "run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version",
    "info",
];

/// Columns of the space between the names of commands and what they do.
const NAME_WIDTH_MIN: usize = 11;

/// Letters by which the last line of a wrapped text may be longer, so that no short word
/// stands alone.
const SLOP: usize = 5;

/// The help page of the last command of `path`, for a terminal of `width` columns.
pub(crate) fn page(path: &[&Command], width: usize, config_dir: &str) -> String {
    let command = path[path.len() - 1];
    let text = super::path_text(path);
    let mut page = String::new();
    let usage = match (command.has_subcommands(), path.len()) {
        (true, 1) => format!("{text} [OPTIONS] COMMAND"),
        (true, _) => format!("{text} COMMAND"),
        (false, _) => super::usage_line(path),
    };
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "Usage:  {usage}\n\n{}\n", about.trim_end());
    if let Some(names) = command.get_after_help() {
        let _ = write!(page, "\nAliases:\n  {names}\n");
    }
    if path.len() == 1 {
        root_commands(&mut page, command);
    }
    let flags = flags(command, width.saturating_sub(1), config_dir);
    if !flags.is_empty() {
        let title = if path.len() == 1 { "Global Options" } else { "Options" };
        let _ = write!(page, "\n{title}:\n{}\n", flags.trim_end());
    }
    if path.len() > 1 && command.has_subcommands() {
        section(&mut page, "Commands", &subcommands(command, |_| true));
    }
    if command.has_subcommands() {
        let _ = write!(page, "\nRun '{text} COMMAND --help' for more information on a command.\n");
    }
    page
}

/// What may follow a command's name, as declared with `override_usage`.
pub(crate) fn arguments_text(command: &Command) -> Option<String> {
    // clap hands the text out only behind "Usage: ", and "Usage:" alone where it is empty.
    if command.has_subcommands() {
        return None;
    }
    let usage = command.clone().render_usage().to_string();
    let text = usage.strip_prefix("Usage:").unwrap_or(&usage).trim();
    (!text.is_empty() && text != "-").then(|| text.to_owned())
}

fn root_commands(page: &mut String, root: &Command) {
    let common: Vec<&Command> =
        COMMON.iter().filter_map(|name| root.find_subcommand(name)).collect();
    let is_common = |command: &Command| COMMON.contains(&command.get_name());
    section(page, "Common Commands", &common);
    section(page, "Management Commands", &subcommands(root, Command::has_subcommands));
    let rest = subcommands(root, |command| !command.has_subcommands() && !is_common(command));
    section(page, "Commands", &rest);
}

fn subcommands(command: &Command, wanted: impl Fn(&Command) -> bool) -> Vec<&Command> {
    let mut found: Vec<&Command> =
        command.get_subcommands().filter(|c| !c.is_hide_set() && wanted(c)).collect();
    found.sort_by_key(|command| command.get_name());
    found
}

fn section(page: &mut String, title: &str, commands: &[&Command]) {
    if commands.is_empty() {
        return;
    }
    let _ = write!(page, "\n{title}:\n");
    for command in commands {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let about = about.lines().next().unwrap_or_default();
        let _ = writeln!(page, "  {:NAME_WIDTH_MIN$} {about}", command.get_name());
    }
}

fn flags(command: &Command, columns: usize, config_dir: &str) -> String {
    let mut flags: Vec<&Arg> = command
        .get_arguments()
        .filter(|flag| !flag.is_positional() && !flag.is_hide_set())
        .collect();
    flags.sort_by_key(|flag| flag.get_long());
    let names: Vec<String> = flags.iter().map(|flag| name(flag)).collect();
    let widest = names.iter().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (flag, name) in flags.iter().zip(&names) {
        let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.replace("{config}", config_dir);
        let _ = writeln!(text, "{name:widest$}   {}", wrap(widest + 3, columns, &help));
    }
    text
}

fn name(flag: &Arg) -> String {
    let long = flag.get_long().unwrap_or_default();
    let mut text = match flag.get_short() {
        Some(short) => format!("  -{short}, --{long}"),
        None => format!("      --{long}"),
    };
    if !matches!(flag.get_action(), ArgAction::SetTrue | ArgAction::SetFalse)
        && let Some(kind) = flag.get_value_names().and_then(<[_]>::first)
    {
        let _ = write!(text, " {kind}");
    }
    text
}

/// Wraps a text that begins in column `indent`, so that no line reaches past `columns`.
fn wrap(indent: usize, columns: usize, text: &str) -> String {
    const ROOM_MIN: usize = 24;
    let (mut indent, mut wrapped) = (indent, String::new());
    let mut room = columns.saturating_sub(indent);
    if room < ROOM_MIN {
        indent = 16;
        room = columns.saturating_sub(indent);
        wrapped.push('\n');
        wrapped.push_str(&" ".repeat(indent));
    }
    if room < ROOM_MIN {
        return text.replace('\n', &wrapped);
    }
    let (mut rest, mut first) = (text, true);
    while first || !rest.is_empty() {
        let (line, after) = split_line(rest, room - SLOP);
        if !first {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
        }
        wrapped.push_str(&line.replace('\n', &format!("\n{}", " ".repeat(indent))));
        (rest, first) = (after, false);
    }
    wrapped
}

/// Takes one line of at most `room` letters off, or all when it fits with [`SLOP`] more.
fn split_line(text: &str, room: usize) -> (&str, &str) {
    if room + SLOP > text.len() {
        return (text, "");
    }
    let mut end = room;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = &text[..end];
    match (head.rfind([' ', '\t', '\n']), head.rfind('\n')) {
        (None | Some(0), _) => (text, ""),
        (Some(space), Some(newline)) if newline > 0 && newline < space => {
            (&text[..newline], &text[newline + 1..])
        }
        (Some(space), _) => (&text[..space], &text[space + 1..]),
    }
}
