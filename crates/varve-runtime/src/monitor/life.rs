//! A container's life: prepared, started, watched, ended, started again or not.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    rc::Rc,
    time::{Duration, Instant},
};

use varve_fs::{durable, lock::FileLock};
use varve_types::{
    Clock,
    container::{ProcessIdentity, State, Status},
};

use super::{
    Backoff, Config, Ended, Executor, Host, Mode, MonitorError, StartChannel,
    clients::{Client, Purpose},
    execs::Beside,
    health::Checks,
    local::Local,
    streams::{Got, Streams},
};
use crate::{
    attach::{Answer, Condition, Exit, Granted, Refused, frame, socket},
    logs::{Stream, Writer},
    state::{self, EXIT_CODE_NOT_STARTED, EXIT_CODE_REBOOT, Leftovers},
};

/// Bytes read at once from the container or a client.
const BUFFER_SIZE_BYTES: usize = 64 << 10;
/// How long outputs may stay open after the end: somebody outside the container's processes has
/// them. Docker waits as long.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);
/// Reads after that: a pipe holds a mebibyte at most, and who writes on is not waited for.
const LAST_READS_MAX: usize = 32;
/// How long a client may take nothing of what is left for it, after the end.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(10);

/// The container's first process.
#[derive(Debug)]
pub(super) struct Init {
    pub(super) pid: u32,
    pub(super) handle: OwnedFd,
    pub(super) exit_code: Option<i32>,
}

/// Everything a monitor has in hand.
pub(super) struct Life<'a> {
    pub(super) config: Config,
    host: &'a mut dyn Host,
    pub(super) executor: &'a mut dyn Executor,
    pub(super) clock: &'a dyn Clock,
    pub(super) state: State,
    identity: ProcessIdentity,
    lock: Option<FileLock>,
    starter: Option<StartChannel>,
    pub(super) listener: Option<UnixListener>,
    pub(super) clients: Vec<Client>,
    pub(super) last_token: u64,
    pub(super) local: Local,
    pub(super) streams: Streams,
    pub(super) log: Option<Writer>,
    pub(super) init: Option<Init>,
    pub(super) beside: Vec<Beside>,
    pub(super) checks: Option<Checks>,
    /// When the command was last started, for durations.
    pub(super) started: Instant,
    /// Somebody wants no further restart.
    pub(super) ends: bool,
    pub(super) buffer: Vec<u8>,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        config: Config,
        mode: Mode,
        lock: FileLock,
        identity: ProcessIdentity,
        host: &'a mut dyn Host,
        executor: &'a mut dyn Executor,
        clock: &'a dyn Clock,
    ) -> Result<Self, MonitorError> {
        let mut left = Left { host: &mut *host, executor: &mut *executor };
        let (state, _) = state::mend(&config.dir, &mut left, clock.now())?;
        let (starter, local) = match mode {
            Mode::Detached(channel) => (Some(channel), Local::default()),
            Mode::Foreground(streams) => (None, Local::new(streams)),
        };
        Ok(Self {
            config,
            host,
            executor,
            clock,
            state,
            identity,
            lock: Some(lock),
            starter,
            listener: None,
            clients: Vec::new(),
            last_token: 0,
            local,
            streams: Streams::default(),
            log: None,
            init: None,
            beside: Vec::new(),
            checks: None,
            started: Instant::now(),
            ends: false,
            buffer: vec![0; BUFFER_SIZE_BYTES],
        })
    }

    pub(super) fn live(mut self) -> Result<Ended, MonitorError> {
        let mut backoff = Backoff::default();
        match self.begin() {
            Ok(()) => {}
            Err(refused) => return Ok(self.not_started(refused)),
        }
        loop {
            self.watch()?;
            let exit = self.over()?;
            let policy = self.config.restart;
            let (restarts, by_hand) = (self.state.restart_count, self.state.stopped_by_hand);
            if self.ends || !policy.restarts(exit.exit_code, restarts, by_hand) {
                return self.end(exit);
            }
            self.state.status = Status::Restarting;
            self.save();
            self.host.release(&self.state);
            self.tell_exit(exit, false);
            let at = Instant::now() + backoff.after(self.started.elapsed());
            while Instant::now() < at && !self.ends {
                self.turn(Some(at))?;
            }
            if self.ends {
                self.state.status = Status::Exited;
                return self.end(exit);
            }
            self.state.restart_count += 1;
            if let Err(refused) = self.run_once() {
                self.take_back();
                self.state.error = refused.message;
                self.state.status = Status::Exited;
                return self.end(exit);
            }
            self.save_durably();
        }
    }

    /// The first start: what the starter waits for.
    fn begin(&mut self) -> Result<(), Refused> {
        self.state.monitor = Some(self.identity.clone());
        self.state.error.clear();
        self.state.restart_count = 0;
        self.state.stopped_by_hand = false;
        state::save(&self.config.dir, &self.state).map_err(|error| refused(&error.into()))?;
        self.log = Writer::open(&self.config.log_path(), &self.config.log)
            .map_err(|error| refused(&error.into()))?;
        self.listen().map_err(|error| {
            refused(&MonitorError::Io { action: "listen for clients", source: error })
        })?;
        self.run_once()?;
        if let Some(starter) = self.starter.take() {
            let pid = self.init.as_ref().map(|init| init.pid);
            let mut warnings = self.host.warnings();
            warnings.extend(self.executor.warnings());
            let granted = Granted { tty: self.config.tty, pid, warnings };
            if let Some((stream, attach)) = starter.answer(&Answer::Ok(granted)) {
                self.add_client(stream, Purpose::Attached(attach));
            }
        }
        // Not before: the disk takes longer than all of the rest.
        self.save_durably();
        Ok(())
    }

    /// Prepares, creates, records, starts.
    fn run_once(&mut self) -> Result<(), Refused> {
        let internal = |action| move |error: io::Error| refused(&MonitorError::io(action)(error));
        let bundle = self.host.prepare()?;
        let (streams, stdio) = if self.config.tty {
            Streams::of_terminal(self.config.size)
        } else {
            Streams::pipes(self.config.open_stdin)
                .map_err(internal("make the container's pipes"))?
        };
        self.streams = streams;
        let created = self.executor.create(&bundle, stdio)?;
        if let Some(terminal) = created.terminal {
            self.streams.terminal(terminal).map_err(internal("use the terminal"))?;
            if let Some(size) = self.local.terminal_size().or(self.config.size) {
                self.streams.resize(size);
            }
        }
        let handle = state::open_number(created.pid)
            .and_then(|handle| handle.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)))
            .map_err(internal("find the container's first process"))?;
        let process =
            state::identify_child(created.pid).map_err(internal("identify the first process"))?;
        self.init = Some(Init { pid: created.pid, handle, exit_code: None });
        self.state.process = Some(process);
        state::save(&self.config.dir, &self.state).map_err(|error| refused(&error.into()))?;
        self.executor.start()?;
        self.started = Instant::now();
        self.state.status = Status::Running;
        self.state.started_at = Some(self.clock.now());
        self.state.exit_code = 0;
        self.state.oom_killed = false;
        self.begin_checks();
        self.save();
        Ok(())
    }

    /// Turns until the first process has ended.
    fn watch(&mut self) -> Result<(), MonitorError> {
        while self.init.as_ref().is_some_and(|init| init.exit_code.is_none()) {
            self.turn(None)?;
            let Some(init) = &mut self.init else { break };
            if init.exit_code.is_none() && state::open_number(init.pid).is_ok_and(|it| it.is_none())
            {
                // It ended and was not our child: nobody can tell what it returned.
                init.exit_code = Some(EXIT_CODE_REBOOT);
            }
        }
        Ok(())
    }

    /// The first process has ended: takes what is left of its output and of itself.
    fn over(&mut self) -> Result<Exit, MonitorError> {
        let exit_code = self.init.take().and_then(|init| init.exit_code);
        let exit_code = exit_code.unwrap_or(EXIT_CODE_REBOOT);
        self.end_checks();
        self.executor.kill_all();
        self.drain()?;
        let oom_killed = self.executor.oom_killed();
        self.executor.delete();
        self.reap();
        self.end_all_beside();
        self.state.status = Status::Exited;
        self.state.exit_code = exit_code;
        self.state.oom_killed = oom_killed;
        self.state.finished_at = Some(self.clock.now());
        self.state.process = None;
        self.state.execs.clear();
        if let Some(log) = self.log.as_ref().filter(|_| !self.config.auto_remove) {
            // A disk that fails here has nobody to tell; the exit code matters more.
            let _ = log.sync();
        }
        if !self.config.auto_remove {
            self.save();
        }
        Ok(Exit { exit_code, oom_killed })
    }

    /// Reads both outputs to their end.
    fn drain(&mut self) -> Result<(), MonitorError> {
        let until = Instant::now() + DRAIN_TIME_MAX;
        while !self.streams.are_drained() && Instant::now() < until {
            self.turn(Some(until))?;
        }
        // Somebody keeps them open. What was written up to now counts, however slow clients are.
        for stream in [Stream::Stdout, Stream::Stderr] {
            for _ in 0..LAST_READS_MAX {
                if !matches!(self.take_output(stream), Got::Bytes(_)) {
                    break;
                }
            }
            if let Some(log) = &mut self.log {
                log.finish(stream, self.clock.now());
            }
        }
        self.streams = Streams::default();
        Ok(())
    }

    /// The last end: everything is given back, recorded, and told, in this order.
    fn end(mut self, exit: Exit) -> Result<Ended, MonitorError> {
        if self.clients.iter().any(|client| matches!(client.purpose, Purpose::Keeping)) {
            self.config.auto_remove = false;
            self.host.keep();
        }
        self.host.release(&self.state);
        self.state.monitor = None;
        self.retire();
        self.tell_exit(exit, true);
        // Before clients are waited for, who may take their time: others wait for this.
        self.host.finish();
        self.flush()?;
        Ok(Ended::Ran(self.state))
    }

    fn not_started(mut self, refused: Refused) -> Ended {
        self.take_back();
        self.state.monitor = None;
        self.state.error.clone_from(&refused.message);
        self.state.exit_code =
            if refused.exit_code == 125 { EXIT_CODE_NOT_STARTED } else { refused.exit_code };
        self.host.release(&self.state);
        self.retire();
        if let Some(starter) = self.starter.take() {
            let _ = starter.answer(&Answer::Error(refused.clone()));
        }
        self.host.finish();
        Ended::NotStarted(refused)
    }

    /// Undoes a start that failed halfway.
    fn take_back(&mut self) {
        if let Some(init) = self.init.take() {
            let _ = crate::sys::send_signal(&init.handle, 9);
        }
        self.executor.kill_all();
        self.executor.delete();
        self.reap();
        self.streams = Streams::default();
        self.state.process = None;
    }

    /// Is no monitor any more: the state says so, nobody can connect, the lock is free.
    fn retire(&mut self) {
        self.listener = None;
        if let Ok((_dir, path)) = socket(&self.config.run_dir) {
            let _ = durable::unlink(&path);
        }
        if !self.config.auto_remove {
            self.save_durably();
        }
        self.lock = None;
    }

    /// Tells the exit code to those who want it. `last`: the container does not run again.
    fn tell_exit(&mut self, exit: Exit, last: bool) {
        let frame: Rc<[u8]> = Rc::from(frame::json(frame::EXIT, &exit));
        for client in &mut self.clients {
            match client.purpose {
                Purpose::Waiting(Condition::Removed) | Purpose::Keeping if !last => {}
                Purpose::Attached(_) | Purpose::Waiting(_) => client.send_last(&frame),
                // What was said to it last is still on its way.
                Purpose::Closing => {}
                Purpose::Unknown | Purpose::Exec(_) | Purpose::Keeping => client.close(),
                // There is nothing left to thaw.
                Purpose::Freezing => client.purpose = Purpose::Closing,
            }
        }
    }

    /// Lets clients take what is left for them, as long as they take something.
    fn flush(&mut self) -> Result<(), MonitorError> {
        let waiting =
            |life: &Self| -> usize { life.clients.iter().map(Client::backlog_bytes).sum() };
        let mut progress = (waiting(self), Instant::now());
        loop {
            let local = [Stream::Stdout, Stream::Stderr].map(|s| self.local.waiting(s).is_some());
            let now = waiting(self);
            if now != progress.0 {
                progress = (now, Instant::now());
            }
            let patient = now > 0 && progress.1.elapsed() < FLUSH_TIME_MAX;
            if !local.contains(&true) && !patient {
                return Ok(());
            }
            self.turn(Some(Instant::now() + FLUSH_TIME_MAX))?;
        }
    }

    fn listen(&mut self) -> io::Result<()> {
        durable::create_directory(&self.config.run_dir, 0o700)?;
        let (_dir, path) = socket(&self.config.run_dir)?;
        // A monitor that was killed leaves its own; we hold the lock.
        durable::unlink(&path)?;
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        self.listener = Some(listener);
        Ok(())
    }

    pub(super) fn is_paused(&self) -> bool {
        self.state.status == Status::Paused
    }

    /// Records the state for readers of this boot. A disk that is full must not end the
    /// container; readers then see the state before.
    pub(super) fn save(&self) {
        let _ = state::save(&self.config.dir, &self.state);
    }

    fn save_durably(&self) {
        if !self.config.auto_remove {
            let _ = state::save_durably(&self.config.dir, &self.state);
        }
    }
}

/// What an earlier monitor of the same container left, when it was killed.
struct Left<'a> {
    host: &'a mut dyn Host,
    executor: &'a mut dyn Executor,
}

impl Leftovers for Left<'_> {
    fn kill_all(&mut self) {
        self.executor.kill_all();
    }

    fn release(&mut self, state: &State) {
        self.executor.delete();
        self.host.release(state);
        self.host.finish();
    }
}

/// An error of ours in the form that goes to the starter.
fn refused(error: &MonitorError) -> Refused {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    Refused { message, exit_code: 125 }
}
