//! A user with a container: attached to it, to a process beside its own, or reading its log.

use std::io::{self, Write as _};

use varve_engine::{
    ContainerError, Engine, Error as EngineError,
    container::{
        Attach, Client, ExecContainer, LogEntry, LogRequest, LogStream, Pace, Tail, TerminalSize,
    },
};
use varve_types::{
    Printable,
    container::{Container, ContainerConfig},
};

use super::{Exec, Expected, Logs, Result, life};
use crate::{
    commands::container::session::{self, Attachment, Ended, Session},
    error::CommandError,
    ui::{self, Ui},
};

/// What is said to a user who left a container by the keys for it.
const LEFT: &str = "read escape sequence";

/// Starts a container and stays with it. Gives its exit code, 0 when the user left it.
pub(crate) fn start_attached(
    ui: &Ui,
    name: &str,
    attachment: &Attachment,
    expected: Option<Expected>,
) -> Result<u8> {
    let engine = ui.engine()?;
    let container = engine.container(name)?;
    let attachment = suited(attachment, &container.config);
    session::check_terminal(attachment.input, container.config.tty)?;
    let session = Session::prepare(&attachment, container.config.tty)?;
    let attach = wanted(&attachment);
    let client = match expected {
        Some(Expected { starter, .. }) => {
            engine.start_expected_attached(&ui.silent(), &container, starter, attach)
        }
        None => engine.start_container_attached(&ui.silent(), &container, attach),
    }?;
    life::say(ui, &client.granted().warnings);
    match stay(ui, engine, &container, session, client)? {
        Ended::Exited(exit) => Ok(code(exit.exit_code)),
        Ended::Detached => Ok(0),
    }
}

/// Stays with a container that runs. Gives its exit code, 0 when the user left it.
pub(crate) fn attach(ui: &Ui, name: &str, attachment: &Attachment) -> Result<u8> {
    let engine = ui.engine()?;
    let container = engine.container(name)?;
    let mut attachment = suited(attachment, &container.config);
    // At a terminal the keys are the container's, and so are the signals they make.
    attachment.forwards_signals &= !container.config.tty;
    let session = Session::prepare(&attachment, container.config.tty)?;
    let client = engine.attach_container(&ui.silent(), &container, wanted(&attachment))?;
    session::check_terminal(attachment.input, container.config.tty)?;
    match stay(ui, engine, &container, session, client)? {
        Ended::Exited(exit) => Ok(code(exit.exit_code)),
        Ended::Detached => {
            ui.complain(LEFT);
            Ok(0)
        }
    }
}

/// Runs a process in a container and stays with it. Gives its exit code.
pub(crate) fn exec(ui: &Ui, name: &str, request: &Exec<'_>, attachment: &Attachment) -> Result<u8> {
    let engine = ui.engine()?;
    let container = engine.container(name)?;
    let session = Session::prepare(attachment, request.tty)?;
    let request = asked(name, request, Some(wanted(attachment)));
    let client = match engine.exec_container(&ui.silent(), &container, &request) {
        // The daemon has nothing but the stream to say it in by then.
        Err(EngineError::Container(ContainerError::Exec(refused))) => {
            ui.text(&format!("{}\r\n", Printable(&refused.message)))?;
            return Ok(code(refused.exit_code));
        }
        other => other?,
    };
    match stay(ui, engine, &container, session, client)? {
        Ended::Exited(exit) => Ok(code(exit.exit_code)),
        Ended::Detached => {
            ui.complain(LEFT);
            Ok(0)
        }
    }
}

/// Runs a process in a container; it goes on alone.
pub(crate) fn exec_detached(ui: &Ui, name: &str, request: &Exec<'_>) -> Result<()> {
    let engine = ui.engine()?;
    let container = engine.container(name)?;
    let request = asked(name, request, None);
    engine.exec_container(&ui.silent(), &container, &request)?;
    Ok(())
}

/// Writes a container's log to standard output and standard error.
pub(crate) fn logs(ui: &Ui, name: &str, request: &Logs) -> Result<()> {
    let engine = ui.engine()?;
    let container = engine.container(name)?;
    let ask = LogRequest {
        tail: request.tail_lines.map_or(Tail::All, Tail::Lines),
        since: request.since,
        until: request.until,
        follow: request.follow,
    };
    let mut log = engine.container_log(&container, ask)?;
    while let Some(entry) = log.next_entry().map_err(ContainerError::Log).map_err(engine_error)? {
        let text = shown(&entry, request);
        match entry.stream {
            // A terminal has one stream, and what it shows is not to come out of order.
            LogStream::Stdout => ui.text(&text)?,
            LogStream::Stderr => {
                ui.flush()?;
                io::stderr().write_all(text.as_bytes()).map_err(CommandError::Output)?;
            }
        }
        if request.follow {
            ui.flush()?;
        }
    }
    Ok(())
}

fn engine_error(error: ContainerError) -> CommandError {
    EngineError::from(error).into()
}

/// An entry with what was asked to stand before it.
fn shown(entry: &LogEntry, request: &Logs) -> String {
    let mut text = String::new();
    if request.timestamps {
        text.push_str(&entry.time_text());
        text.push(' ');
    }
    if request.details {
        let pairs = entry.attributes.iter().map(|(name, value)| format!("{name}={value}"));
        text.push_str(&pairs.collect::<Vec<_>>().join(","));
        text.push(' ');
    }
    text.push_str(&entry.text);
    text
}

/// What of the user's streams the container has a use for.
fn suited(attachment: &Attachment, config: &ContainerConfig) -> Attachment {
    Attachment { input: attachment.input && config.open_stdin, ..attachment.clone() }
}

fn wanted(attachment: &Attachment) -> Attach {
    let Attachment { input, output, errors, .. } = *attachment;
    Attach { stdin: input, stdout: output, stderr: errors, pace: Pace::Wait }
}

fn asked<'a>(called: &'a str, request: &Exec<'a>, attach: Option<Attach>) -> ExecContainer<'a> {
    let [height, width] = ui::console_size().map(|side| u16::try_from(side).unwrap_or(u16::MAX));
    let has_size = request.tty && (height, width) != (0, 0);
    ExecContainer {
        called,
        command: request.command,
        env: request.env,
        user: request.user,
        working_dir: request.working_dir,
        privileged: request.privileged,
        tty: request.tty,
        size: has_size.then_some(TerminalSize { width, height }),
        attach,
    }
}

/// Carries bytes until the end. When the monitor is killed meanwhile, what it left is put in
/// order: nobody else might come by for long.
fn stay(
    ui: &Ui,
    engine: &Engine,
    container: &Container,
    session: Session,
    client: Client,
) -> Result<Ended> {
    let stayed = session.talk(ui, client);
    if let Err(CommandError::Own { .. }) = &stayed {
        let _ = engine.container_state(&ui.silent(), container);
    }
    stayed
}

fn code(exit_code: i32) -> u8 {
    // As the kernel takes it: the lowest eight bits.
    (exit_code & 0xff) as u8
}
