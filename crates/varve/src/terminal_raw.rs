//! A terminal that hands every key to a container, and is put back whatever happens.
//!
//! While it is raw the kernel makes no signals of keys (`ctrl-c` is a byte for the container),
//! so the one way to end here without running destructors is a signal from elsewhere: the
//! signals that end a process are therefore to be taken while the guard lives (`--sig-proxy`
//! does, and without it whoever waits must drop the guard before it ends).

use std::io;

use rustix::{
    fd::AsFd,
    termios::{OptionalActions, Termios, tcgetattr, tcsetattr},
};

/// The terminal on a descriptor, raw until the value is dropped.
#[must_use = "the terminal is put back when this is dropped"]
pub(crate) struct RawTerminal<F: AsFd> {
    of: F,
    before: Termios,
}

impl<F: AsFd> RawTerminal<F> {
    /// Makes the terminal raw, once what was written to it is out. `None`: it is no terminal.
    pub(crate) fn enter(of: F) -> io::Result<Option<Self>> {
        let before = match tcgetattr(&of) {
            Err(rustix::io::Errno::NOTTY) => return Ok(None),
            attributes => attributes?,
        };
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&of, OptionalActions::Drain, &raw)?;
        Ok(Some(Self { of, before }))
    }
}

impl<F: AsFd> Drop for RawTerminal<F> {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(&self.of, OptionalActions::Drain, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::{
        pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
        termios::LocalModes,
    };

    use super::*;

    #[test]
    fn a_terminal_is_raw_while_the_guard_lives_and_as_before_after_it() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal = rustix::fs::open(
            name.as_c_str(),
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
        let keys = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        let modes = || tcgetattr(&terminal).unwrap().local_modes & keys;
        assert_eq!(modes(), keys);
        let raw = RawTerminal::enter(&terminal).unwrap().expect("a terminal");
        assert!(modes().is_empty());
        drop(raw);
        assert_eq!(modes(), keys);
    }

    #[test]
    fn what_is_no_terminal_is_left_alone() {
        let file = File::open("/dev/null").unwrap();
        assert!(RawTerminal::enter(&file).unwrap().is_none());
    }
}
