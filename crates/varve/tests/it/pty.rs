//! A terminal to run a program at.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, OutputModes, Winsize, tcgetattr, tcsetwinsize},
};

/// The user's side and the program's side.
pub(crate) struct Terminal {
    user: File,
    program: File,
    seen: String,
}

impl Terminal {
    pub(crate) fn open(columns: u16, rows: u16) -> Self {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&user).expect("a terminal");
        unlockpt(&user).expect("a terminal");
        let name = ptsname(&user, Vec::new()).expect("a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let program = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).expect("a terminal");
        let terminal = Self { user: user.into(), program: program.into(), seen: String::new() };
        terminal.resize(columns, rows);
        terminal
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.user, size).expect("a size");
    }

    /// What tells a raw terminal from another.
    pub(crate) fn modes(&self) -> (LocalModes, OutputModes) {
        let attributes = tcgetattr(&self.program).expect("attributes");
        (attributes.local_modes, attributes.output_modes)
    }

    /// Starts a program at it.
    pub(crate) fn spawn(&self, command: &mut Command) -> Child {
        let side = || self.program.try_clone().expect("a descriptor");
        command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("varve starts")
    }

    /// Types.
    pub(crate) fn write(&mut self, keys: &[u8]) {
        self.user.write_all(keys).expect("a terminal");
    }

    /// Waits until this is shown, and forgets everything up to its end.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(Instant::now() < until, "{text:?} did not come after {:?}", self.seen);
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            let mut fd = [PollFd::new(&self.user, PollFlags::IN)];
            if poll(&mut fd, Some(&second)).expect("a poll") > 0 {
                let mut buffer = [0; 4096];
                let size = self.user.read(&mut buffer).expect("a terminal");
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..size]));
            }
        }
    }
}
