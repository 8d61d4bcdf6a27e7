//! Applying typed instructions to a run config.

use varve_types::{RunConfig, config::Empty};

use super::{
    ChangeError,
    instruction::{Command, Instruction},
    ports,
    words::Environment,
};

/// Applies all, in order. Variables are those of the run config at that moment.
pub(super) fn all(
    config: &RunConfig,
    instructions: Vec<Instruction>,
) -> Result<RunConfig, ChangeError> {
    let mut config = config.clone();
    let mut command_set = false;
    for instruction in instructions {
        let variables = config.env.clone().unwrap_or_default();
        let environment = Environment(&variables);
        let expand = |text: &str| environment.expand(text);
        match instruction {
            Instruction::Command(command) => {
                config.cmd = resolve(&config, command, true);
                command_set |= config.cmd.is_some();
                config.args_escaped = false;
            }
            Instruction::Entrypoint(command) => {
                config.entrypoint = resolve(&config, command, false);
                if !command_set {
                    config.cmd = None;
                }
            }
            Instruction::Environment(pairs) => {
                let list = config.env.get_or_insert_default();
                for (name, value) in pairs {
                    set_variable(list, &expand(&name)?, &expand(&value)?);
                }
            }
            Instruction::Label(pairs) => {
                let labels = config.labels.get_or_insert_default();
                for (name, value) in pairs {
                    labels.insert(expand(&name)?, expand(&value)?);
                }
            }
            Instruction::Expose(words) => {
                let exposed = config.exposed_ports.get_or_insert_default();
                for word in words {
                    for word in expand(&word)?.split_whitespace() {
                        exposed.extend(ports::parse(word)?.into_iter().map(|p| (p, Empty {})));
                    }
                }
            }
            Instruction::Volume(paths) => {
                let volumes = config.volumes.get_or_insert_default();
                for path in paths {
                    volumes.insert(expand(&path)?, Empty {});
                }
            }
            Instruction::Health(health) => config.healthcheck = Some(health),
            Instruction::OnBuild(trigger) => {
                config.on_build.get_or_insert_default().push(trigger);
            }
            Instruction::StopSignal(signal) => {
                let signal = expand(&signal)?;
                if !is_signal(&signal) {
                    return Err(ChangeError::Signal(signal));
                }
                config.stop_signal = signal;
            }
            Instruction::User(user) => config.user = expand(&user)?,
            Instruction::WorkingDir(path) => {
                config.working_dir = working_dir(&config.working_dir, &expand(&path)?)?;
            }
        }
    }
    Ok(config)
}

fn resolve(config: &RunConfig, command: Command, empty_is_none: bool) -> Option<Vec<String>> {
    match command {
        Command::Exec(words) if words.is_empty() && empty_is_none => None,
        Command::Exec(words) => Some(words),
        Command::Shell(line) => {
            let shell = config.shell.clone().filter(|shell| !shell.is_empty());
            let mut words = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
            words.push(line);
            Some(words)
        }
        Command::Nothing => None,
    }
}

fn set_variable(list: &mut Vec<String>, name: &str, value: &str) {
    let pair = format!("{name}={value}");
    let same = |old: &&mut String| old.split_once('=').is_some_and(|(key, _)| key == name);
    match list.iter_mut().find(same) {
        Some(old) => *old = pair,
        None => list.push(pair),
    }
}

/// A relative path goes below the present one; `.` and `..` in it are resolved.
fn working_dir(current: &str, requested: &str) -> Result<String, ChangeError> {
    if requested.is_empty() {
        return Err(ChangeError::EmptyWorkdir);
    }
    if requested.starts_with('/') {
        return Ok(requested.to_owned());
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in current.split('/').chain(requested.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Linux's signal names, with or without `SIG`, and numbers from 1 to 64.
fn is_signal(text: &str) -> bool {
    const NAMES: &[&str] = &[
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT",
        "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM",
        "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
        "RTMIN", "RTMAX",
    ];
    if let Ok(number) = text.parse::<i64>() {
        return (1..=64).contains(&number);
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let relative = |prefix: &str, highest: u32| {
        let number = name.strip_prefix(prefix).and_then(|n| n.parse::<u32>().ok());
        number.is_some_and(|number| (1..=highest).contains(&number))
    };
    NAMES.contains(&name) || relative("RTMIN+", 15) || relative("RTMAX-", 14)
}
