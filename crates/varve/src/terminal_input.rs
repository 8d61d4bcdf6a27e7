//! Reading from a terminal without showing what is typed.

use std::io::{self, Write as _};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// Bytes of a secret.
const SECRET_SIZE_BYTES_MAX: usize = 4096;
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const BACKSPACE: [u8; 2] = [8, 127];

/// Why nothing was read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The user gave up.
    Interrupted,
    Failed(io::Error),
}

/// Reads a line from standard input. The terminal shows nothing of it, and an interrupt is read
/// like a letter, so that the terminal is always put back as it was.
pub(crate) fn secret() -> Result<String, Unread> {
    let before = tcgetattr(io::stdin()).map_err(|errno| Unread::Failed(errno.into()))?;
    let mut silent = before.clone();
    silent.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VMIN] = 1;
    silent.special_codes[SpecialCodeIndex::VTIME] = 0;
    let _restored = Restored(before);
    tcsetattr(io::stdin(), OptionalActions::Now, &silent)
        .map_err(|errno| Unread::Failed(errno.into()))?;
    read_line(&mut io::stdin().lock())
}

fn read_line(input: &mut dyn io::Read) -> Result<String, Unread> {
    let mut line = Vec::new();
    let mut byte = [0];
    while input.read(&mut byte).map_err(Unread::Failed)? == 1 {
        match byte[0] {
            INTERRUPT => return Err(Unread::Interrupted),
            END | b'\n' | b'\r' => break,
            byte if BACKSPACE.contains(&byte) => {
                while line.pop().is_some_and(|byte: u8| byte & 0xc0 == 0x80) {}
            }
            byte if line.len() < SECRET_SIZE_BYTES_MAX => line.push(byte),
            _ => {}
        }
    }
    String::from_utf8(line).map_err(|error| Unread::Failed(io::Error::other(error)))
}

/// Puts the terminal back as it was.
struct Restored(Termios);

impl Drop for Restored {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        let _ = writeln!(io::stdout());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backspace_takes_a_whole_letter_and_an_interrupt_ends_it() {
        let read = |mut typed: &[u8]| read_line(&mut typed);
        assert_eq!(read(b"secret\n").unwrap(), "secret");
        assert_eq!(read("aä\u{7f}b\u{7f}\u{7f}\u{7f}c\r".as_bytes()).unwrap(), "c");
        assert_eq!(read(b"cut off").unwrap(), "cut off");
        assert!(matches!(read(b"abc\x03"), Err(Unread::Interrupted)));
    }
}
