//! One turn of the loop: wait for whatever happens first, and do what it asks for.

use std::{
    os::{
        fd::AsFd as _,
        unix::net::{UnixListener, UnixStream},
    },
    rc::Rc,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    MonitorError,
    clients::{Client, Purpose},
    execs::Beside,
    life::Life,
    streams::Got,
};
use crate::{
    attach::{Signal, frame},
    logs::Stream,
};

/// How long a turn may last: orphans that end say so to nobody, and are waited for then.
const TURN_TIME_MAX: Duration = Duration::from_mins(1);
/// Connections at one time.
const CLIENTS_MAX: usize = 500;
/// The signal that says that a terminal's size has changed.
const SIGWINCH: i32 = 28;

/// Where something happened.
#[derive(Debug, Clone, Copy)]
enum Source {
    Listener,
    Child,
    Probe,
    Input,
    Output(Stream),
    /// A process of `exec`, by its number.
    BesideInput(u32),
    BesideOutput(u32, Stream),
    Client(u64),
    LocalInput,
    LocalOutput(Stream),
    Signals,
}

impl Life<'_> {
    /// Waits until something happens, at most until `until`, and does it.
    pub(super) fn turn(&mut self, until: Option<Instant>) -> Result<(), MonitorError> {
        self.check_health();
        let happened = self.happened(until)?;
        if happened.is_empty() {
            self.reap();
        }
        for (source, events) in happened {
            match source {
                Source::Listener => self.connect(),
                Source::Child => self.reap(),
                Source::Probe => self.read_probe(),
                Source::Input => self.streams.write_input(),
                Source::Output(stream) => drop(self.take_output(stream)),
                Source::BesideInput(pid) => self.write_beside(pid),
                Source::BesideOutput(pid, stream) => self.read_beside(pid, stream),
                Source::Client(token) => {
                    if events.contains(PollFlags::OUT) {
                        self.flush_client(token);
                    }
                    if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                        self.hear(token);
                    }
                }
                Source::LocalInput => self.take_local_input(),
                Source::LocalOutput(stream) => self.local.write(stream),
                Source::Signals => self.pass_signals(),
            }
        }
        self.check_health();
        self.end_beside();
        self.drop_clients();
        Ok(())
    }

    /// What happened. An empty list: time passed.
    fn happened(&self, until: Option<Instant>) -> Result<Vec<(Source, PollFlags)>, MonitorError> {
        let timeout = Timespec::try_from(self.time_left(until)).unwrap_or_default();
        let mut fds = Vec::new();
        let mut sources = Vec::new();
        let mut add = |source, fd, events| {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, events));
        };
        if let Some(listener) = self.listener.as_ref().filter(|_| self.clients.len() < CLIENTS_MAX)
        {
            add(Source::Listener, listener.as_fd(), PollFlags::IN);
        }
        let init = self.init.as_ref().filter(|init| init.exit_code.is_none());
        let beside = self.beside.iter().filter_map(Beside::handle);
        for handle in init.map(|init| init.handle.as_fd()).into_iter().chain(beside) {
            add(Source::Child, handle, PollFlags::IN);
        }
        if let Some(probe) = self.checks.as_ref().and_then(|checks| checks.running.as_ref()) {
            add(Source::Child, probe.handle.as_fd(), PollFlags::IN);
            if let Some(output) = &probe.output {
                add(Source::Probe, output.as_fd(), PollFlags::IN);
            }
        }
        if let Some(input) = self.streams.waiting_input() {
            add(Source::Input, input, PollFlags::OUT);
        }
        let takes_input = self.streams.takes_input();
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(output) = self.streams.output(stream).filter(|_| !self.is_held_up()) {
                add(Source::Output(stream), output, PollFlags::IN);
            }
            if let Some(output) = self.local.waiting(stream) {
                add(Source::LocalOutput(stream), output, PollFlags::OUT);
            }
        }
        for exec in &self.beside {
            if let Some(input) = exec.streams().waiting_input() {
                add(Source::BesideInput(exec.pid()), input, PollFlags::OUT);
            }
            for stream in [Stream::Stdout, Stream::Stderr] {
                let wanted = !self.is_behind(exec.client());
                if let Some(output) = exec.streams().output(stream).filter(|_| wanted) {
                    add(Source::BesideOutput(exec.pid(), stream), output, PollFlags::IN);
                }
            }
        }
        for client in &self.clients {
            let mut events = PollFlags::empty();
            if client.is_heard() && self.may_send(client, takes_input) {
                events |= PollFlags::IN;
            }
            if client.has_backlog() {
                events |= PollFlags::OUT;
            }
            add(Source::Client(client.token), client.as_fd(), events);
        }
        if let Some(input) = self.local.streams.stdin.as_ref().filter(|_| takes_input) {
            add(Source::LocalInput, input.as_fd(), PollFlags::IN);
        }
        if let Some(signals) = &self.local.streams.signals {
            add(Source::Signals, signals.as_fd(), PollFlags::IN);
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(MonitorError::io("wait for the container")(error)),
        }
        let happened = sources.into_iter().zip(&fds).map(|(source, fd)| (source, fd.revents()));
        Ok(happened.filter(|(_, events)| !events.is_empty()).collect())
    }

    fn time_left(&self, until: Option<Instant>) -> Duration {
        let is_paused = self.is_paused();
        let check = self.checks.as_ref().and_then(|checks| match &checks.running {
            Some(probe) => (!probe.killed).then_some(probe.deadline),
            None => (!is_paused).then_some(checks.due),
        });
        let now = Instant::now();
        let ends = self.beside.iter().filter_map(Beside::deadline);
        let left = [until, check].into_iter().flatten().chain(ends).min();
        let left = left.map_or(TURN_TIME_MAX, |at| at.saturating_duration_since(now));
        left.min(TURN_TIME_MAX)
    }

    /// Whether what a client sends is taken now: input waits for those who read it.
    fn may_send(&self, client: &Client, container_takes_input: bool) -> bool {
        match client.purpose {
            Purpose::Attached(attach) => container_takes_input || !attach.stdin,
            Purpose::Exec(_) => {
                let mut beside = self.beside.iter();
                let exec = beside.find(|exec| exec.client() == Some(client.token));
                exec.is_none_or(|exec| exec.streams().takes_input())
            }
            _ => true,
        }
    }

    /// Whether a process must wait for the one who hears of it.
    fn is_behind(&self, client: Option<u64>) -> bool {
        let mut clients = self.clients.iter();
        client.is_some_and(|token| clients.any(|one| one.token == token && one.is_behind()))
    }

    fn is_held_up(&self) -> bool {
        self.local.holds_up() || self.clients.iter().any(Client::holds_up)
    }

    /// Takes what the container wrote: into the log first, then to everybody who listens.
    pub(super) fn take_output(&mut self, stream: Stream) -> Got {
        let got = self.streams.read(stream, &mut self.buffer);
        let now = self.clock.now();
        match got {
            Got::Nothing => {}
            Got::End => {
                if let Some(log) = &mut self.log {
                    log.finish(stream, now);
                }
            }
            Got::Bytes(size) => {
                let bytes = &self.buffer[..size];
                if let Some(log) = &mut self.log {
                    log.feed(stream, bytes, now);
                }
                self.local.send(stream, bytes);
                let wants = |client: &&mut Client| match stream {
                    Stream::Stdout => client.attach().is_some_and(|attach| attach.stdout),
                    Stream::Stderr => client.attach().is_some_and(|attach| attach.stderr),
                };
                let mut shared: Option<Rc<[u8]>> = None;
                for client in self.clients.iter_mut().filter(wants) {
                    client.send(shared.get_or_insert_with(|| frame::output(stream, bytes)));
                }
            }
        }
        got
    }

    fn connect(&mut self) {
        // Somebody who hung up meanwhile, or no descriptors: there is nobody to tell.
        let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) else {
            return;
        };
        self.add_client(stream, Purpose::Unknown);
    }

    /// Takes a connection among the clients.
    pub(super) fn add_client(&mut self, stream: UnixStream, purpose: Purpose) {
        self.last_token += 1;
        if let Ok(mut client) = Client::new(self.last_token, stream) {
            client.purpose = purpose;
            self.clients.push(client);
        }
    }

    fn flush_client(&mut self, token: u64) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.token == token) {
            client.flush();
        }
    }

    pub(super) fn take_client(&mut self, token: u64) -> Option<Client> {
        let at = self.clients.iter().position(|client| client.token == token)?;
        Some(self.clients.swap_remove(at))
    }

    pub(super) fn put_client(&mut self, client: Client) {
        self.clients.push(client);
    }

    /// Takes leave of clients that are gone, with what their going means.
    fn drop_clients(&mut self) {
        while let Some(at) = self.clients.iter().position(Client::is_done) {
            let client = self.clients.swap_remove(at);
            match client.purpose {
                Purpose::Exec(_) => self.leave_beside(client.token),
                Purpose::Freezing => self.thaw(),
                Purpose::Attached(attach) if attach.stdin => self.input_ended(),
                _ => {}
            }
        }
    }

    fn take_local_input(&mut self) {
        let Some(input) = &self.local.streams.stdin else { return };
        match rustix::io::read(input, &mut self.buffer[..]) {
            Ok(size) if size > 0 => self.streams.push_input(&self.buffer[..size]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(_) | Err(_) => {
                self.local.streams.stdin = None;
                self.input_ended();
            }
        }
    }

    fn pass_signals(&mut self) {
        let Some(signals) = &mut self.local.streams.signals else { return };
        for number in signals.arrived() {
            if number == SIGWINCH && self.config.tty {
                if let Some(size) = self.local.terminal_size() {
                    self.streams.resize(size);
                }
            } else {
                // It ended meanwhile.
                let _ = self.signal(Signal { number, ends: false });
            }
        }
    }
}
