//! Processes beside the first one: those of `exec -d`, those that foreground `exec`s run
//! themselves and only register, health checks, and orphans.

use std::{
    fs::File,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{WaitOptions, WaitStatus},
};
use varve_types::container::{ExecState, Health, HealthResult};

use super::{
    ProcessStdio,
    health::{Checks, Probe, Rules},
    life::Life,
    streams::unblock,
};
use crate::{
    attach::{Exec, Granted, Refused},
    state, sys,
};

/// A process that the monitor waits for on behalf of `exec -d`.
#[derive(Debug)]
pub(super) struct Detached {
    pub(super) pid: u32,
    pub(super) handle: OwnedFd,
    id: String,
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
            } else if let Some(at) = self.detached.iter().position(|exec| exec.pid == pid) {
                let ended = self.detached.swap_remove(at);
                self.forget_exec(&ended.id);
            }
        }
    }

    fn probe(&mut self) -> Option<&mut Probe> {
        self.checks.as_mut()?.running.as_mut()
    }

    /// Runs a process that nobody waits for.
    pub(super) fn exec(&mut self, exec: Exec) -> Result<Granted, Refused> {
        self.expect_running()?;
        let null = || File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
        let refused = |error: std::io::Error| Refused {
            message: format!("cannot open /dev/null: {error}"),
            exit_code: 126,
        };
        let stdio = ProcessStdio::Descriptors {
            input: null().map_err(refused)?,
            output: null().map_err(refused)?,
            error: null().map_err(refused)?,
        };
        let created = self.executor.exec(&exec.process, stdio)?;
        let granted = Granted { pid: Some(created.pid), tty: false };
        if let Ok(Some(handle)) = state::open_number(created.pid) {
            self.register(&exec.id, created.pid);
            self.detached.push(Detached { pid: created.pid, handle, id: exec.id });
        }
        Ok(granted)
    }

    /// Adds a process to the state.
    pub(super) fn register(&mut self, id: &str, pid: u32) {
        if let Ok(process) = state::identify_child(pid) {
            self.state.execs.push(ExecState { id: id.to_owned(), process });
            self.save();
        }
    }

    pub(super) fn forget_exec(&mut self, id: &str) {
        let before = self.state.execs.len();
        self.state.execs.retain(|exec| exec.id != id);
        if self.state.execs.len() != before {
            self.save();
        }
    }

    /// Begins to check the container's health, which has just been started.
    pub(super) fn begin_checks(&mut self) {
        self.checks = self.config.health.as_ref().map(|health| {
            let rules = Rules::new(&health.check);
            let delay = rules.delay(Duration::ZERO, Health::default().status);
            Checks { rules, due: Instant::now() + delay, running: None }
        });
        self.state.health = self.checks.as_ref().map(|_| Health::default());
    }

    /// Ends checking: the container has ended.
    pub(super) fn end_checks(&mut self) {
        if let Some(probe) = self.checks.take().and_then(|checks| checks.running) {
            let _ = sys::send_signal(&probe.handle, 9);
        }
    }

    /// Does what is due about health: starts a check, kills one that takes too long, judges one
    /// that ended.
    pub(super) fn check_health(&mut self) {
        let now = Instant::now();
        let is_paused = self.is_paused();
        let Some(checks) = &mut self.checks else { return };
        match &mut checks.running {
            None if now >= checks.due && !is_paused => self.start_probe(),
            Some(probe) if probe.exit_code.is_some() => self.end_probe(),
            Some(probe) if now >= probe.deadline && !probe.killed => {
                probe.killed = true;
                let _ = sys::send_signal(&probe.handle, 9);
            }
            // Nothing is due.
            None | Some(_) => {}
        }
    }

    fn start_probe(&mut self) {
        let start = self.clock.now();
        let Some(health) = &self.config.health else { return };
        let started = (|| {
            let (ours, output) = pipe_with(PipeFlags::CLOEXEC)?;
            unblock(&ours)?;
            let error = output.try_clone()?;
            let input = File::open("/dev/null")?.into();
            Ok((ours, ProcessStdio::Descriptors { input, output, error }))
        })()
        .map_err(|error: std::io::Error| error.to_string())
        .and_then(|(ours, stdio)| {
            let created = self.executor.exec(&health.process, stdio).map_err(|no| no.message)?;
            let handle = state::open_number(created.pid).ok().flatten();
            handle.map(|handle| (created.pid, handle, ours)).ok_or_else(String::new)
        });
        let Some(checks) = &mut self.checks else { return };
        match started {
            Ok((pid, handle, output)) => {
                let deadline = Instant::now() + checks.rules.timeout;
                checks.running = Some(Probe::new(pid, handle, output, start, deadline));
            }
            Err(output) => {
                let end = self.clock.now();
                self.judge(HealthResult { start, end, exit_code: -1, output });
            }
        }
    }

    fn end_probe(&mut self) {
        self.read_probe();
        let end = self.clock.now();
        let Some(checks) = &mut self.checks else { return };
        if let Some(probe) = checks.running.take() {
            let result = probe.result(end, checks.rules.timeout);
            self.judge(result);
        }
    }

    fn judge(&mut self, result: HealthResult) {
        let (Some(checks), Some(health)) = (&mut self.checks, &mut self.state.health) else {
            return;
        };
        let started_at = self.state.started_at.unwrap_or(result.start);
        checks.rules.judge(health, result, started_at);
        let running = self.started.elapsed();
        checks.due = Instant::now() + checks.rules.delay(running, health.status);
        self.save();
    }

    /// Takes what a check has written.
    pub(super) fn read_probe(&mut self) {
        let buffer = &mut self.buffer;
        let Some(probe) = self.checks.as_mut().and_then(|checks| checks.running.as_mut()) else {
            return;
        };
        while let Some(output) = &probe.output {
            match rustix::io::read(output, &mut buffer[..]) {
                Ok(size) if size > 0 => probe.wrote(&buffer[..size]),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Ok(_) | Err(_) => probe.output = None,
            }
        }
    }
}
