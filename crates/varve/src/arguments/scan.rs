//! The command line as Docker reads it, brought into the one form that clap needs.
//!
//! Docker's flag library and clap differ in a hundred small ways that scripts know: `-H=false`,
//! `-f -x`, a flag given twice, which error comes first and its words. So clap holds the
//! declarations and makes the typed values; this module reads the line. What it hands on is
//! unambiguous: global flags, the command's path, `--name=value` for each flag, `--`, the rest.

use clap::{Arg, ArgAction, Command};
use varve_types::go_bool;

use super::Wrong;

/// Global flags of our own that may also stand behind the command, where it has none of that name.
const ANYWHERE: &[&str] = &["progress", "root", "storage-backend"];

/// Old names of flags whose use is told of. Other old names are taken in silence.
const DEPRECATED: &[&str] = &["time"];

/// What a command line asks for.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    /// The commands from the root to the one that is meant.
    pub(crate) path: Vec<&'a Command>,
    /// Whether `--help` was among the flags.
    pub(crate) help: bool,
    /// Whether the deprecated `-h` was.
    pub(crate) short_help: bool,
    /// What docker says of old names on the line.
    pub(crate) notices: Vec<String>,
    /// The arguments that are not flags.
    pub(crate) positionals: Vec<String>,
    globals: Flags<'a>,
    flags: Flags<'a>,
}

/// The values of flags, in the order in which each flag first came.
#[derive(Debug, Default)]
struct Flags<'a> {
    given: Vec<(&'a Arg, Vec<String>)>,
}

/// How one level of the line ended.
enum Rest {
    /// At an argument that is not a flag.
    At(usize),
    End,
}

impl<'a> Scan<'a> {
    /// Reads a line, without the program's name.
    pub(crate) fn new(root: &'a Command, line: &[String]) -> Result<Self, Wrong> {
        let mut scan = Self {
            path: vec![root],
            help: false,
            short_help: false,
            notices: Vec::new(),
            positionals: Vec::new(),
            globals: Flags::default(),
            flags: Flags::default(),
        };
        let mut at = 0;
        while scan.command().has_subcommands() {
            let Rest::At(next) = scan.read_flags(line, at)? else { break };
            let word = &line[next];
            let Some(found) = scan.command().find_subcommand(word) else {
                scan.positionals = line[next..].to_vec();
                break;
            };
            scan.path.push(found);
            at = next + 1;
        }
        if !scan.command().has_subcommands() {
            scan.read_flags(line, at)?;
        }
        Ok(scan)
    }

    /// The command that is meant.
    pub(crate) fn command(&self) -> &'a Command {
        self.path[self.path.len() - 1]
    }

    /// The line in the form for clap, with the program's name.
    pub(crate) fn canonical(&self) -> Vec<String> {
        let mut line = vec![self.path[0].get_name().to_owned()];
        self.globals.write(&mut line);
        line.extend(self.path[1..].iter().map(|command| command.get_name().to_owned()));
        self.flags.write(&mut line);
        line.push("--".to_owned());
        line.extend(self.positionals.iter().cloned());
        line
    }

    /// Reads flags from `at`. A command with subcommands stops at the first other argument;
    /// one without takes flags and arguments in any order.
    fn read_flags(&mut self, line: &[String], mut at: usize) -> Result<Rest, Wrong> {
        let mixed = !self.command().has_subcommands();
        while at < line.len() {
            let word = line[at].as_str();
            at += 1;
            if word == "--" {
                if mixed {
                    self.positionals.extend(line[at..].iter().cloned());
                    return Ok(Rest::End);
                }
                return Ok(if at < line.len() { Rest::At(at) } else { Rest::End });
            }
            if let Some(long) = word.strip_prefix("--") {
                at = self.read_long(word, long, line, at)?;
            } else if word.len() > 1 && word.starts_with('-') {
                at = self.read_shorts(&word[1..], line, at)?;
            } else if mixed && takes_rest(self.command()) {
                // What follows belongs to the program that is named, whatever it looks like.
                self.positionals.extend(line[at - 1..].iter().cloned());
                return Ok(Rest::End);
            } else if mixed {
                self.positionals.push(word.to_owned());
            } else {
                return Ok(Rest::At(at - 1));
            }
        }
        Ok(Rest::End)
    }

    fn read_long(
        &mut self,
        word: &str,
        long: &str,
        line: &[String],
        at: usize,
    ) -> Result<usize, Wrong> {
        if long.starts_with(['-', '=']) {
            return Err(self.flag_error(&format!("bad flag syntax: {word}")));
        }
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        if name == "help" {
            self.help = value.is_none_or(|text| go_bool(text) == Some(true));
            return Ok(at);
        }
        let Some((flag, global)) = self.find(|flag| is_called(flag, name)) else {
            return Err(self.flag_error(&format!("unknown flag: --{name}")));
        };
        if flag.get_long() != Some(name) && DEPRECATED.contains(&name) {
            let new = flag.get_long().unwrap_or_default();
            let text = format!("Flag --{name} has been deprecated, use --{new} instead");
            self.notices.push(text);
        }
        let (value, at) = match value {
            Some(value) => (value, at),
            None if !takes_value(flag) => ("true", at),
            None => match line.get(at) {
                Some(next) => (next.as_str(), at + 1),
                None => {
                    return Err(self.flag_error(&format!("flag needs an argument: --{name}")));
                }
            },
        };
        self.keep(flag, global, value)?;
        Ok(at)
    }

    fn read_shorts(
        &mut self,
        mut shorts: &str,
        line: &[String],
        at: usize,
    ) -> Result<usize, Wrong> {
        while let Some(short) = shorts.chars().next() {
            let after = &shorts[short.len_utf8()..];
            if short == 'h' && self.find(|flag| flag.get_short() == Some('h')).is_none() {
                (self.help, self.short_help) = (true, true);
                shorts = after;
                continue;
            }
            let Some((flag, global)) = self.find(|flag| flag.get_short() == Some(short)) else {
                let text = format!("unknown shorthand flag: '{short}' in -{shorts}");
                return Err(self.flag_error(&text));
            };
            match after.strip_prefix('=') {
                Some(value) if !value.is_empty() => {
                    self.keep(flag, global, value)?;
                    return Ok(at);
                }
                _ => {}
            }
            if takes_value(flag) {
                let (value, at) = match line.get(at) {
                    _ if !after.is_empty() => (after, at),
                    Some(next) => (next.as_str(), at + 1),
                    None => {
                        let text = format!("flag needs an argument: '{short}' in -{shorts}");
                        return Err(self.flag_error(&text));
                    }
                };
                self.keep(flag, global, value)?;
                return Ok(at);
            }
            self.keep(flag, global, "true")?;
            shorts = after;
        }
        Ok(at)
    }

    /// Finds a flag of the command that is being read, or a global one that may stand anywhere.
    fn find(&self, is: impl Fn(&Arg) -> bool) -> Option<(&'a Arg, bool)> {
        let of = |command: &'a Command| {
            command.get_arguments().filter(|flag| !flag.is_positional()).find(|flag| is(flag))
        };
        let at_root = self.path.len() == 1;
        if let Some(flag) = of(self.command()) {
            return Some((flag, at_root));
        }
        of(self.path[0])
            .filter(|flag| flag.get_long().is_some_and(|name| ANYWHERE.contains(&name)))
            .map(|flag| (flag, true))
    }

    fn keep(&mut self, flag: &'a Arg, global: bool, value: &str) -> Result<(), Wrong> {
        let value = if takes_value(flag) {
            value.to_owned()
        } else {
            let Some(on) = go_bool(value) else {
                let reason = format!("strconv.ParseBool: parsing {value:?}: invalid syntax");
                return Err(self.value_error(flag, value, &reason));
            };
            on.to_string()
        };
        if global {
            self.globals.keep(flag, value);
        } else {
            self.flags.keep(flag, value);
        }
        Ok(())
    }

    /// The error for a flag whose value is not one.
    pub(crate) fn value_error(&self, flag: &Arg, value: &str, reason: &str) -> Wrong {
        let long = flag.get_long().unwrap_or_default();
        let shown = match flag.get_short() {
            Some(short) => format!("-{short}, --{long}"),
            None => format!("--{long}"),
        };
        self.flag_error(&format!("invalid argument {value:?} for \"{shown}\" flag: {reason}"))
    }

    fn flag_error(&self, text: &str) -> Wrong {
        let path = super::path_text(&self.path);
        if super::is_buildx(&self.path) {
            return Wrong { text: format!("{text}\nSee '{path} --help'."), code: 125 };
        }
        let usage = super::usage_line(&self.path);
        Wrong {
            text: format!("{text}\n\nUsage:  {usage}\n\nRun '{path} --help' for more information"),
            code: 125,
        }
    }
}

impl<'a> Flags<'a> {
    fn keep(&mut self, flag: &'a Arg, value: String) {
        let known = self.given.iter_mut().find(|(given, _)| given.get_id() == flag.get_id());
        match known {
            Some((_, values)) if matches!(flag.get_action(), ArgAction::Append) => {
                values.push(value);
            }
            Some((_, values)) => *values = vec![value],
            None => self.given.push((flag, vec![value])),
        }
    }

    fn write(&self, line: &mut Vec<String>) {
        for (flag, values) in &self.given {
            let long = flag.get_long().unwrap_or_default();
            match flag.get_action() {
                ArgAction::SetTrue if values[0] == "true" => line.push(format!("--{long}")),
                ArgAction::SetFalse if values[0] == "false" => line.push(format!("--{long}")),
                ArgAction::SetTrue | ArgAction::SetFalse => {}
                _ => line.extend(values.iter().map(|value| format!("--{long}={value}"))),
            }
        }
    }
}

/// Whether a flag has this name, or had it once.
fn is_called(flag: &Arg, name: &str) -> bool {
    let old = flag.get_all_aliases().unwrap_or_default();
    flag.get_long() == Some(name) || old.contains(&name)
}

/// Whether flags end at the first argument of a command that is none.
fn takes_rest(command: &Command) -> bool {
    command.get_positionals().any(Arg::is_trailing_var_arg_set)
}

fn takes_value(flag: &Arg) -> bool {
    !matches!(flag.get_action(), ArgAction::SetTrue | ArgAction::SetFalse)
}
