//! Health checks as processes: started, listened to, killed when they take too long.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use rustix::pipe::{PipeFlags, pipe_with};
use varve_types::container::{Health, HealthResult};

use super::{
    ProcessStdio,
    health::{Checks, Probe, Rules},
    life::Life,
    streams::unblock,
};
use crate::{state, sys};

impl Life<'_> {
    /// The check that runs.
    pub(super) fn probe(&mut self) -> Option<&mut Probe> {
        self.checks.as_mut()?.running.as_mut()
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
