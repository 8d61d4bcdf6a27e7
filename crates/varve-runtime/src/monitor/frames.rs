//! What clients ask for.

use std::rc::Rc;

use serde::de::DeserializeOwned;
use varve_types::container::{Status, ends_restarts};

use super::{
    clients::{Client, Purpose},
    life::Life,
};
use crate::{
    attach::{Answer, Granted, Refused, Request, Signal, frame},
    sys,
};

impl Life<'_> {
    /// Takes what a client has sent, and does it.
    pub(super) fn hear(&mut self, token: u64) {
        let Some(mut client) = self.take_client(token) else { return };
        client.receive(&mut self.buffer);
        loop {
            match client.next_frame() {
                Ok(Some((kind, content))) => self.obey(&mut client, kind, &content),
                Ok(None) => break,
                Err(_) => {
                    client.close();
                    break;
                }
            }
        }
        self.put_client(client);
    }

    fn obey(&mut self, client: &mut Client, kind: u8, content: &[u8]) {
        match (&client.purpose, kind) {
            (Purpose::Unknown, frame::REQUEST) => match parse(content) {
                Some(request) => self.grant(client, request),
                None => client.close(),
            },
            (Purpose::Attached(attach), frame::STDIN) if attach.stdin => {
                self.streams.push_input(content);
            }
            (Purpose::Attached(attach), frame::CLOSE_STDIN) if attach.stdin => self.input_ended(),
            (Purpose::Attached(_), frame::RESIZE) => {
                if let Some(size) = parse(content) {
                    self.streams.resize(size);
                }
            }
            (Purpose::Exec(_), frame::STDIN | frame::CLOSE_STDIN | frame::RESIZE) => {
                let Some(streams) = self.streams_beside(client.token) else { return };
                match kind {
                    frame::STDIN => streams.push_input(content),
                    frame::CLOSE_STDIN => streams.end_input(),
                    _ => {
                        if let Some(size) = parse(content) {
                            streams.resize(size);
                        }
                    }
                }
            }
            (Purpose::Attached(_), frame::SIGNAL) => {
                if let Some(signal) = parse(content) {
                    // It ended already: the client is told so anyway.
                    let _ = self.signal(signal);
                }
            }
            // What a client that gives no input sends by mistake is not the container's.
            (Purpose::Attached(_), frame::STDIN | frame::CLOSE_STDIN) | (Purpose::Closing, _) => {}
            _ => client.close(),
        }
    }

    fn grant(&mut self, client: &mut Client, request: Request) {
        let plain = Granted { tty: self.config.tty, ..Granted::default() };
        let (purpose, answer) = match request {
            Request::Attach(attach) => (Purpose::Attached(attach), Ok(plain)),
            Request::Wait(condition) => (Purpose::Waiting(condition), Ok(plain)),
            Request::Signal(signal) => (Purpose::Closing, self.signal(signal).map(|()| plain)),
            Request::Paused(paused) => (Purpose::Closing, self.pause(paused).map(|()| plain)),
            Request::Frozen => (Purpose::Freezing, self.freeze().map(|()| plain)),
            Request::Kept => (Purpose::Keeping, Ok(plain)),
            Request::Exec(exec) => {
                let purpose = exec.attach.map_or(Purpose::Closing, Purpose::Exec);
                (purpose, self.exec(client, exec))
            }
            Request::Restarts(policy) => {
                self.config.restart = policy;
                (Purpose::Closing, Ok(plain))
            }
            Request::Resize(size) => {
                self.streams.resize(size);
                (Purpose::Closing, Ok(plain))
            }
        };
        client.purpose = if answer.is_ok() { purpose } else { Purpose::Closing };
        let answer = match answer {
            Ok(granted) => Answer::Ok(granted),
            Err(refused) => Answer::Error(refused),
        };
        client.send(&Rc::from(frame::json(frame::ANSWER, &answer)));
    }

    /// A client gives no more input, because it said so or because it is gone.
    pub(super) fn input_ended(&mut self) {
        if self.config.stdin_once {
            self.streams.end_input();
        }
    }

    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), Refused> {
        let ends = signal.ends || ends_restarts(signal.number, &self.config.stop_signal);
        self.ends |= ends;
        if !self.state.stopped_by_hand {
            self.state.stopped_by_hand = true;
            self.save();
        }
        // While it waits to be started again, not to start it is all there is to do.
        if self.state.status == Status::Restarting && ends {
            return Ok(());
        }
        let Some(init) = self.init.as_ref().filter(|init| init.exit_code.is_none()) else {
            return Err(self.not_running());
        };
        if signal.number == 0 {
            return Ok(());
        }
        sys::send_signal(&init.handle, signal.number).map_err(|error| match error.raw_os_error() {
            Some(number) if number == rustix::io::Errno::SRCH.raw_os_error() => self.not_running(),
            _ => Refused {
                message: format!("cannot send signal {}: {error}", signal.number),
                exit_code: 1,
            },
        })
    }

    fn pause(&mut self, paused: bool) -> Result<(), Refused> {
        self.expect_running()?;
        // Whoever froze it until their end has no say in it any more.
        for client in &mut self.clients {
            if matches!(client.purpose, Purpose::Freezing) {
                client.purpose = Purpose::Closing;
            }
        }
        self.state.status = if paused { Status::Paused } else { Status::Running };
        self.save();
        Ok(())
    }

    fn freeze(&mut self) -> Result<(), Refused> {
        self.expect_running()?;
        if self.is_paused() {
            let message = format!("container {} is already paused", self.config.id);
            return Err(Refused { message, exit_code: 1 });
        }
        self.executor.freeze(true)?;
        self.state.status = Status::Paused;
        self.save();
        Ok(())
    }

    /// Who froze the container is gone.
    pub(super) fn thaw(&mut self) {
        if self.is_paused() {
            // One that was killed meanwhile is not there to go on.
            let _ = self.executor.freeze(false);
            self.state.status = Status::Running;
            self.save();
        }
    }

    pub(super) fn expect_running(&self) -> Result<(), Refused> {
        if self.state.status.has_processes() { Ok(()) } else { Err(self.not_running()) }
    }

    fn not_running(&self) -> Refused {
        Refused { message: format!("container {} is not running", self.config.id), exit_code: 1 }
    }
}

fn parse<T: DeserializeOwned>(content: &[u8]) -> Option<T> {
    serde_json::from_slice(content).ok()
}
