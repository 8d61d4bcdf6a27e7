//! `--detach-keys`: what a user types to leave a container without ending it.

use varve_types::{Kind, Printable};

/// Keys in a row that detach. Docker's default is `ctrl-p,ctrl-q`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

/// Why a text is no sequence of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Neither a character nor `ctrl-` and one of `a`–`z`, `@`, `[`, `\`, `]`, `^`, `_`.
    #[error("Unknown character: '{}'", Printable(_0))]
    Unknown(String),
}

impl KeysError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// What is left of typed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// What goes to the container.
    pub input: Vec<u8>,
    /// Whether the sequence was completed; what was typed after it goes nowhere.
    pub detach: bool,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self { keys: vec![0x10, 0x11], matched: 0 }
    }
}

impl DetachKeys {
    /// Reads keys as docker writes them: `ctrl-p,ctrl-q`, `a,ctrl-@`. Empty: the default.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let keys: Result<Vec<u8>, KeysError> = text.split(',').map(key).collect();
        Ok(Self { keys: keys?, matched: 0 })
    }

    /// Takes what was typed. Keys that may begin the sequence are held back until it is known.
    pub fn typed(&mut self, bytes: &[u8]) -> Typed {
        let mut input = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return Typed { input, detach: true };
                }
                continue;
            }
            // As in docker, what was held back is given out and the sequence begins anew, with
            // this key as its first if it is that.
            input.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if *byte == self.keys[0] && self.keys.len() > 1 {
                self.matched = 1;
            } else {
                input.push(*byte);
            }
        }
        Typed { input, detach: false }
    }
}

fn key(text: &str) -> Result<u8, KeysError> {
    let unknown = || KeysError::Unknown(text.to_owned());
    if let [byte] = text.as_bytes() {
        return Ok(*byte);
    }
    match text.strip_prefix("ctrl-").map(str::as_bytes) {
        Some([letter @ b'a'..=b'z']) => Ok(letter - b'a' + 1),
        Some([b'@']) => Ok(0),
        Some([sign @ b'['..=b'_']) => Ok(sign - b'[' + 27),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types bytes one call each; shows what came through, and `!` where it detached.
    #[track_caller]
    fn check(keys: &str, typed: &[&[u8]], expected: &[u8]) {
        let mut keys = DetachKeys::parse(keys).unwrap();
        let mut seen = Vec::new();
        for bytes in typed {
            let typed = keys.typed(bytes);
            seen.extend(typed.input);
            if typed.detach {
                seen.push(b'!');
            }
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_default_is_control_p_control_q() {
        check("", &[b"ab\x10\x11cd"], b"ab!");
        check("", &[b"ab", b"\x10", b"\x11"], b"ab!");
    }

    #[test]
    fn a_sequence_that_is_not_completed_reaches_the_container() {
        check("", &[b"\x10x"], b"\x10x");
        check("", &[b"\x10", b"\x10\x11"], b"\x10!");
        check("a,b,c", &[b"ababc"], b"ab!");
    }

    #[test]
    fn one_key_may_be_enough() {
        check("ctrl-@", &[b"x\0y"], b"x!");
        check("ctrl-_", &[b"x\x1fy"], b"x!");
    }

    #[test]
    fn unknown_keys_are_named() {
        for text in ["ctrl-A", "ctrl-", "meta-x", "ctrl-a,,b", "é"] {
            assert!(DetachKeys::parse(text).is_err(), "{text}");
        }
        let error = DetachKeys::parse("ctrl-1").unwrap_err();
        assert_eq!(error.to_string(), "Unknown character: 'ctrl-1'");
    }
}
