//! Signals by name and number.

use std::{fmt, str::FromStr};

use crate::{Kind, Printable};

/// A signal of Linux, by its number (1 to 64).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(u8);

/// Why a text is no signal. The messages are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// No such name, or the number 0.
    #[error("invalid signal: {}", Printable(.0))]
    Unknown(String),
    /// A number that Linux has not got.
    #[error("the linux daemon does not support signal {0}")]
    Number(i64),
}

impl SignalError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// The names and numbers of x86, ARM, RISC-V and most others (signal(7)). The first name of a
/// number is the one that is shown.
const NAMES: &[(&str, u8)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];
const REAL_TIME_MIN: u8 = 34;
const REAL_TIME_MAX: u8 = 64;

impl Signal {
    /// Asks a process to end.
    pub const TERM: Self = Self(15);
    /// Ends a process.
    pub const KILL: Self = Self(9);

    /// The number.
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }
}

impl FromStr for Signal {
    type Err = SignalError;

    /// Parses a number, or a name in letters of any size, with or without `SIG`; real-time
    /// signals are `RTMIN`, `RTMIN+3`, `RTMAX-2`, `RTMAX`.
    fn from_str(text: &str) -> Result<Self, SignalError> {
        let unknown = || SignalError::Unknown(text.to_owned());
        if let Ok(number) = text.parse::<i64>() {
            return match number {
                0 => Err(unknown()),
                1..=64 => Ok(Self(number as u8)),
                _ => Err(SignalError::Number(number)),
            };
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self(*number));
        }
        let distance = |text: &str, sign: char| match text {
            "" => Some(0),
            text => {
                let digits = text.strip_prefix(sign)?;
                let canonical = !digits.starts_with(['0', '+']);
                digits.parse::<u8>().ok().filter(|n| canonical && *n <= 15)
            }
        };
        let number = if let Some(rest) = name.strip_prefix("RTMIN") {
            distance(rest, '+').map(|n| REAL_TIME_MIN + n)
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            distance(rest, '-').filter(|n| *n < 15).map(|n| REAL_TIME_MAX - n)
        } else {
            None
        };
        number.map(Self).ok_or_else(unknown)
    }
}

impl fmt::Display for Signal {
    /// Shows the name without `SIG`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None if self.0 == REAL_TIME_MIN => f.write_str("RTMIN"),
            None if self.0 == REAL_TIME_MAX => f.write_str("RTMAX"),
            None if self.0 > 49 => write!(f, "RTMAX-{}", REAL_TIME_MAX - self.0),
            None if self.0 > REAL_TIME_MIN => write!(f, "RTMIN+{}", self.0 - REAL_TIME_MIN),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_shown_so_that_it_is_read_back() {
        for number in 1..=64 {
            let signal = Signal(number);
            assert_eq!(signal.to_string().parse(), Ok(signal), "{number}");
        }
    }

    #[test]
    fn names_are_read_in_every_spelling() {
        for text in ["KILL", "SIGKILL", "kill", "sigkill", "9"] {
            assert_eq!(text.parse(), Ok(Signal::KILL), "{text}");
        }
        assert_eq!("SIGRTMIN+3".parse::<Signal>().unwrap().number(), 37);
        assert_eq!("RTMAX-14".parse::<Signal>().unwrap().number(), 50);
    }

    #[test]
    fn other_words_are_refused_in_dockers_words() {
        let message = |text: &str| text.parse::<Signal>().unwrap_err().to_string();
        assert_eq!(message("FOO"), "invalid signal: FOO");
        assert_eq!(message("0"), "invalid signal: 0");
        assert_eq!(message("99"), "the linux daemon does not support signal 99");
        for text in ["", "SIG", "RTMIN+16", "RTMIN-1", "RTMAX-15", "RTMIN+03", "RTMIN+"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }
}
