//! Talking to a container's monitor: its output and input, and what it is asked to do.
//!
//! The monitor listens on `monitor.sock` in the container's run directory. What goes over it is
//! docker's multiplexed stream (`[kind, 0, 0, 0, length as u32 big-endian]`, then the bytes), with
//! more kinds than docker's three: see [`frame`]. One connection asks for one thing first: to
//! attach, to wait, to run a process, to signal, to freeze.
//!
//! ```text
//! client                         monitor
//! ASK {"attach":{…}}        ─▶
//!                           ◀─   ANSWER {"ok":{…}}  or  {"error":{…}}
//! STDIN, RESIZE, SIGNAL …   ─▶
//!                           ◀─   STDOUT, STDERR
//!                           ◀─   EXIT {"exit_code":0,…}, and the connection is closed
//! ```

mod client;
pub mod frame;
mod keys;

pub use client::{Attached, Client, ClientError, socket};
pub use keys::{DetachKeys, KeysError, Typed};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use varve_types::container::RestartPolicy;

/// The socket's name in a container's run directory.
pub const SOCKET_FILE: &str = "monitor.sock";

/// The first frame of a connection: what is wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// To have the container's output, and to give it input.
    Attach(Attach),
    /// To be told its exit code.
    Wait(Condition),
    /// To send a signal to its first process.
    Signal(Signal),
    /// To say that its processes were frozen, or thawed: health checks then pause.
    Paused(bool),
    /// To have them frozen until this connection ends, however it does.
    Frozen,
    /// To have it stay at an end that comes while this connection is there, although it was to be
    /// removed with it.
    Kept,
    /// To have another policy for its end from now on.
    Restarts(RestartPolicy),
    /// To run another process in it.
    Exec(Exec),
    /// To give its terminal another size.
    Resize(Size),
}

/// What a client that attaches wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Whether it gives input.
    pub stdin: bool,
    /// Whether it wants what is written to standard output, or to the terminal.
    pub stdout: bool,
    /// Whether it wants what is written to standard error.
    pub stderr: bool,
    /// What becomes of a client that does not read fast enough.
    pub pace: Pace,
}

/// What becomes of a client that does not read fast enough. The log has everything either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// The container waits for it, as for a terminal that was stopped. For the command that
    /// shows the container to its user.
    Wait,
    /// It is let go once [`BACKLOG_SIZE_BYTES_MAX`] are waiting for it.
    Drop,
}

/// Bytes kept for a client that does not read.
pub const BACKLOG_SIZE_BYTES_MAX: usize = 1 << 20;

/// For what to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Until it does not run. Waiting to be started again is not running.
    NotRunning,
    /// Until it ends the next time.
    NextExit,
    /// Until it is removed.
    Removed,
}

/// A signal for the container's first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Its number, 1 to 64. 0 sends nothing.
    pub number: i32,
    /// Whether the policy must not start the container again after this, whatever the signal.
    pub ends: bool,
}

/// A process to be run in the container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exec {
    /// Its name, 64 hexadecimal digits.
    pub id: String,
    /// The `process` object of the OCI runtime specification.
    pub process: Box<RawValue>,
    /// Whether it gets a terminal of its own.
    #[serde(default)]
    pub tty: bool,
    /// The terminal's size at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// What of its streams the client wants. `None`: nobody waits for it; what it writes goes
    /// nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<Attach>,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// What the monitor says to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done, or begins.
    Ok(Granted),
    /// It is not. In docker's words.
    Error(Refused),
}

/// What comes with a granted request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Granted {
    /// Whether the container has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// The process that was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// What of a container that was started is not as asked for, each to be said once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// docker's words.
    pub message: String,
    /// The exit code that `run` or `exec` has then: 125, 126, 127.
    pub exit_code: i32,
}

/// The end of a container's run, or of a process that `exec` runs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// What its command returned; 128 + n for signal n.
    pub exit_code: i32,
    /// Whether the kernel killed a process of it for want of memory.
    pub oom_killed: bool,
}
