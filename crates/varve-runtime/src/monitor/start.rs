//! Starting a monitor: two processes and one socket between them.
//!
//! ```text
//! starter                                          monitor
//! execute ourselves in the role ─── stdin: socket ──▶ accept: own session
//! lock monitor.lock
//! the locked file, CONFIG {…}   ─▶                 order: prepare, create, start
//!                               ◀─ ANSWER {"ok":…} or {"error":…}, or the end of the stream
//!                               ◀─ STDOUT … EXIT, when the starter attaches
//! ```
//!
//! A starter that attaches goes on as a client on the same connection, from before the command
//! runs: no output is lost, however quick the command is.
//!
//! The monitor may be called before there is anything to watch, and gets ready meanwhile.
//!
//! The lock belongs to the open file and goes over with it: there is no moment in which nobody
//! holds it, and a starter that is killed changes nothing.

use std::{
    ffi::{CStr, OsString},
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::PathBuf,
    process::{Child, Stdio},
};

use rustix::stdio::{self, stdin as channel_left};
use serde::{Deserialize, Serialize};
use varve_fs::lock::FileLock;

use super::{Config, MonitorError};
use crate::{
    attach::{
        Answer, Attach, Client, ClientError, Granted, Refused,
        frame::{self, Decoder},
    },
    oci::{protected_command, terminal},
    state::{self, StateError},
    sys,
};

/// What a monitor's command line begins with.
const NAME: &str = "varve";
/// The name by which it is listed: 15 bytes at most.
const NAME_SHOWN: &CStr = c"varve-monitor";

/// With what the locked file comes: the kernel keeps what is sent with descriptors from what follows.
const LOCK: &[u8] = b"lock";

/// What a monitor is told.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    config: Config,
    /// What the starter wants of the container's streams.
    attach: Option<Attach>,
}

/// Where a monitor says how the start went.
#[derive(Debug)]
pub struct StartChannel {
    stream: UnixStream,
    attach: Option<Attach>,
}

impl StartChannel {
    /// Says it. The starter may be gone; that changes nothing. Gives the connection when the
    /// starter attaches.
    pub(super) fn answer(mut self, answer: &Answer) -> Option<(UnixStream, Attach)> {
        let _ = self.stream.write_all(&frame::json(frame::ANSWER, answer));
        self.attach.map(|attach| (self.stream, attach))
    }
}

/// A monitor that runs, or did not start its container.
#[derive(Debug)]
pub struct Started {
    /// The monitor. A caller that lives on waits for it sometime.
    pub monitor: Child,
    /// How the start went.
    pub answer: Result<Granted, Refused>,
}

/// A monitor whose starter has been attached since before the command ran.
#[derive(Debug)]
pub struct StartedAttached {
    /// The monitor. A caller that lives on waits for it sometime.
    pub monitor: Child,
    /// The container's streams, or why it was not started.
    pub answer: Result<Client, Refused>,
}

/// Starts monitors: `program` with `arguments`, which is to call [`accept`] and
/// [`run`](super::run).
#[derive(Debug)]
pub struct Starter {
    program: PathBuf,
    arguments: Vec<OsString>,
    called: Option<Called>,
}

/// A monitor that waits for its order. It ends by itself when none comes.
#[derive(Debug)]
struct Called {
    monitor: Child,
    channel: UnixStream,
}

impl Starter {
    /// Starts nothing yet.
    pub fn new(program: impl Into<PathBuf>, arguments: Vec<OsString>) -> Self {
        Self { program: program.into(), arguments, called: None }
    }

    /// Executes a monitor already, so that it gets ready while its container is made.
    pub fn call(&mut self) -> Result<(), MonitorError> {
        self.called = Some(self.execute()?);
        Ok(())
    }

    /// Starts a monitor. Returns when the container's command runs, or cannot be started.
    pub fn start(&mut self, config: &Config) -> Result<Started, MonitorError> {
        let StartedAttached { monitor, answer } = self.launch(config, None)?;
        Ok(Started { monitor, answer: answer.map(|client| client.granted().clone()) })
    }

    /// [`start`](Self::start), and attaches before the command runs.
    pub fn start_attached(
        &mut self,
        config: &Config,
        attach: Attach,
    ) -> Result<StartedAttached, MonitorError> {
        self.launch(config, Some(attach))
    }

    fn execute(&self) -> Result<Called, MonitorError> {
        let (channel, theirs) =
            UnixStream::pair().map_err(MonitorError::io("make a pair of sockets"))?;
        let (mut command, _view) = protected_command(&self.program);
        let monitor = command
            .arg0(NAME)
            .args(&self.arguments)
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(MonitorError::io("execute the container's monitor"))?;
        Ok(Called { monitor, channel })
    }

    fn launch(
        &mut self,
        config: &Config,
        attach: Option<Attach>,
    ) -> Result<StartedAttached, MonitorError> {
        let lock = state::lock(&config.dir).map_err(|error| match error {
            StateError::Watched => MonitorError::Watched,
            error => error.into(),
        })?;
        let Called { mut monitor, channel } = match self.called.take() {
            Some(called) => called,
            None => self.execute()?,
        };
        let sent = terminal::send(&channel, LOCK, &[lock.file().as_fd()]);
        // Ours would hold the lock after the monitor was killed, and hide from us that it was.
        drop(lock);
        let order = Order { config: config.clone(), attach };
        let asked = match sent {
            Ok(()) => Client::asked(channel, &frame::json(frame::CONFIG, &order)),
            Err(_) => Err(ClientError::Gone),
        };
        match asked {
            Ok(client) => Ok(StartedAttached { monitor, answer: Ok(client) }),
            Err(ClientError::Refused(refused)) => {
                Ok(StartedAttached { monitor, answer: Err(refused) })
            }
            Err(ClientError::Protocol) => Err(MonitorError::Protocol),
            Err(ClientError::Gone | ClientError::NotRunning) => {
                // It closed the connection by its end, which is to be over for who tries again.
                let _ = monitor.wait();
                Err(MonitorError::Gone)
            }
            Err(_) => Err(MonitorError::Gone),
        }
    }
}

/// A monitor that waits for its order.
#[derive(Debug)]
pub struct Waiting {
    stream: UnixStream,
}

/// Becomes a monitor: leaves its session, its directory and everything that it had open. To be
/// called before anything is opened.
pub fn accept() -> Result<Waiting, MonitorError> {
    let inherit = || MonitorError::io::<io::Error>("take what the starter left");
    let channel = channel_left().try_clone_to_owned().map_err(inherit())?;
    sys::close_inherited(&[channel.as_raw_fd()]).map_err(inherit())?;
    let null = File::options().read(true).write(true).open("/dev/null").map_err(inherit())?;
    for replace in [stdio::dup2_stdin::<&File>, stdio::dup2_stdout, stdio::dup2_stderr] {
        replace(&null).map_err(|error| inherit()(error.into()))?;
    }
    // Refused only to one who leads a group already, and then it is out of the starter's.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/").map_err(inherit())?;
    // The last to go when memory is short: who watches must not die before what it watches. The
    // runtime gives the container's processes a value of their own. Not allowed to everybody.
    let _ = fs::write("/proc/self/oom_score_adj", "-999");
    // For those who list processes: the name would be a descriptor's number.
    let _ = rustix::thread::set_name(NAME_SHOWN);
    Ok(Waiting { stream: UnixStream::from(channel) })
}

impl Waiting {
    /// Waits for the configuration and the lock, which the starter has taken.
    pub fn order(mut self) -> Result<(Config, StartChannel, FileLock), MonitorError> {
        let inherit = || MonitorError::io::<io::Error>("take what the starter left");
        let (word, locked) = terminal::receive(&self.stream).map_err(inherit())?;
        let locked = match locked.into_iter().next() {
            Some(locked) if word == LOCK => locked,
            None if word.is_empty() => return Err(MonitorError::Gone),
            _ => return Err(MonitorError::Protocol),
        };
        let lock = FileLock::try_exclusive_on(File::from(locked))
            .map_err(inherit())?
            .ok_or(MonitorError::Watched)?;
        match receive(&mut self.stream).map_err(inherit())? {
            Some((frame::CONFIG, content)) => {
                let Order { config, attach } =
                    serde_json::from_slice(&content).map_err(|_| MonitorError::Protocol)?;
                Ok((config, StartChannel { stream: self.stream, attach }, lock))
            }
            Some(_) => Err(MonitorError::Protocol),
            None => Err(MonitorError::Gone),
        }
    }
}

/// One frame; `None` when the other side is gone.
fn receive(stream: &mut UnixStream) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut decoder = Decoder::default();
    let mut buffer = [0; 16 << 10];
    loop {
        match decoder.next_frame() {
            Ok(None) => {}
            Ok(frame) => return Ok(frame),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(size) => decoder.feed(&buffer[..size]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}
