//! Processes beside the first one: those of `exec`, health checks, and orphans.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    time::{Duration, Instant},
};

use rustix::process::{WaitOptions, WaitStatus};
use varve_types::container::ExecState;

use super::{
    ProcessStdio,
    clients::{Client, Purpose},
    life::Life,
    streams::{Got, Streams},
};
use crate::{
    attach::{Exec, Exit, Granted, Refused, frame},
    logs::Stream,
    state,
};

/// How long the outputs of a process may stay open after its end, as for the container's own.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);
/// Reads after that: a pipe holds a mebibyte at most, and who writes on is not waited for.
const LAST_READS_MAX: usize = 32;

/// A process of `exec`.
#[derive(Debug)]
pub(super) struct Beside {
    pid: u32,
    handle: OwnedFd,
    id: String,
    streams: Streams,
    /// The connection that hears of it, while it is there.
    client: Option<u64>,
    /// What it returned, and when that was known.
    ended: Option<(i32, Instant)>,
}

impl Beside {
    /// What to wait at for its end; nothing when that is known.
    pub(super) fn handle(&self) -> Option<BorrowedFd<'_>> {
        self.ended.is_none().then_some(self.handle.as_fd())
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// The connection that hears of it.
    pub(super) fn client(&self) -> Option<u64> {
        self.client
    }

    /// Until when its outputs are waited for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ended.map(|(_, at)| at + DRAIN_TIME_MAX)
    }
}

/// The exit code that a wait status stands for: 128 + n for signal n.
fn exit_code(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => state::EXIT_CODE_REBOOT,
    }
}

impl Life<'_> {
    /// Waits for every child that has ended, known or adopted.
    pub(super) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get() as u32;
            if let Some(init) = self.init.as_mut().filter(|init| init.pid == pid) {
                init.exit_code = Some(exit_code(status));
            } else if let Some(probe) = self.probe().filter(|probe| probe.pid == pid) {
                probe.exit_code = Some(exit_code(status));
            } else if let Some(exec) = self.beside.iter_mut().find(|exec| exec.pid == pid) {
                exec.ended = Some((exit_code(status), Instant::now()));
            }
        }
    }

    /// Runs a process in the container, for a client that hears of it or for nobody.
    pub(super) fn exec(&mut self, client: &mut Client, exec: Exec) -> Result<Granted, Refused> {
        self.expect_running()?;
        let refused = |error: std::io::Error| Refused {
            message: format!("cannot make the streams of the process: {error}"),
            exit_code: 126,
        };
        let (mut streams, stdio) = match (exec.tty, exec.attach) {
            (true, _) => Streams::of_terminal(exec.size),
            (false, Some(attach)) => Streams::pipes(attach.stdin).map_err(refused)?,
            (false, None) => (Streams::default(), nowhere().map_err(refused)?),
        };
        let created = self.executor.exec(&exec.process, stdio)?;
        if let Some(terminal) = created.terminal {
            streams.terminal(terminal).map_err(refused)?;
            if let Some(size) = exec.size {
                streams.resize(size);
            }
        }
        if let Some(attach) = exec.attach {
            client.purpose = Purpose::Exec(attach);
        }
        // Our child, not waited for yet: it cannot be gone.
        if let Ok(Some(handle)) = state::open_number(created.pid) {
            if let Ok(process) = state::identify_child(created.pid) {
                self.state.execs.push(ExecState { id: exec.id.clone(), process });
                self.save();
            }
            let client = exec.attach.map(|_| client.token);
            let (pid, id) = (created.pid, exec.id);
            self.beside.push(Beside { pid, handle, id, streams, client, ended: None });
        }
        Ok(Granted { pid: Some(created.pid), tty: exec.tty, ..Granted::default() })
    }

    /// The streams of the process that a client hears of.
    pub(super) fn streams_beside(&mut self, client: u64) -> Option<&mut Streams> {
        let exec = self.beside.iter_mut().find(|exec| exec.client == Some(client));
        exec.map(|exec| &mut exec.streams)
    }

    /// Writes what waits to be written to a process.
    pub(super) fn write_beside(&mut self, pid: u32) {
        if let Some(exec) = self.beside.iter_mut().find(|exec| exec.pid == pid) {
            exec.streams.write_input();
        }
    }

    /// Takes what a process wrote and hands it to whoever hears of it.
    pub(super) fn read_beside(&mut self, pid: u32, stream: Stream) {
        if let Some(at) = self.beside.iter().position(|exec| exec.pid == pid) {
            let _ = self.take_beside(at, stream);
        }
    }

    fn take_beside(&mut self, at: usize, stream: Stream) -> Got {
        let exec = &mut self.beside[at];
        let got = exec.streams.read(stream, &mut self.buffer);
        if let Got::Bytes(size) = got
            && let Some(token) = exec.client
            && let Some(client) = self.clients.iter_mut().find(|client| client.token == token)
        {
            client.send(&frame::output(stream, &self.buffer[..size]));
        }
        got
    }

    /// Whoever heard of a process is gone: it goes on alone, and reads the end of its input.
    pub(super) fn leave_beside(&mut self, client: u64) {
        if let Some(exec) = self.beside.iter_mut().find(|exec| exec.client == Some(client)) {
            exec.client = None;
            exec.streams.end_input();
        }
    }

    /// Takes leave of processes that have ended, when all that they wrote was read or time is up.
    pub(super) fn end_beside(&mut self) {
        let now = Instant::now();
        while let Some(at) = self.beside.iter().position(|exec| {
            exec.deadline().is_some_and(|at| exec.streams.are_drained() || now >= at)
        }) {
            self.drop_beside(at);
        }
    }

    /// The container has ended, and every process of it.
    pub(super) fn end_all_beside(&mut self) {
        while !self.beside.is_empty() {
            self.drop_beside(0);
        }
    }

    fn drop_beside(&mut self, at: usize) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            for _ in 0..LAST_READS_MAX {
                if !matches!(self.take_beside(at, stream), Got::Bytes(_)) {
                    break;
                }
            }
        }
        let exec = self.beside.swap_remove(at);
        self.state.execs.retain(|known| known.id != exec.id);
        self.save();
        let exit_code = exec.ended.map_or(state::EXIT_CODE_KILLED, |(code, _)| code);
        let exit = Exit { exit_code, oom_killed: false };
        let is_its = |client: &&mut Client| Some(client.token) == exec.client;
        if let Some(client) = self.clients.iter_mut().find(is_its) {
            client.send_last(&Rc::from(frame::json(frame::EXIT, &exit)));
        }
    }
}

fn nowhere() -> std::io::Result<ProcessStdio> {
    let null = || File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    Ok(ProcessStdio::Descriptors { input: null()?, output: null()?, error: null()? })
}
