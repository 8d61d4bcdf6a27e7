//! The file `state` of an arrival: what may be trusted of its bytes after a restart.
//!
//! Before bytes are synced, `state` claims how many there are and what they hash to, and is synced
//! itself. Whether the sync of the bytes came to its end before a power loss is then seen from the
//! bytes: there is no moment at which synced bytes are not known to be.

use std::{
    fs::File,
    io::{self, Read},
};

use varve_fs::durable;
use varve_types::{Digest, Hasher};

const CHUNK_SIZE_BYTES: usize = 128 << 10;

/// What `state` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// In which run of the machine it was written; empty where that is not known.
    pub(crate) boot: String,
    /// So many bytes are on disk.
    pub(crate) synced_bytes: u64,
    /// So many were to be synced, and hash to this.
    pub(crate) claim: Claim,
}

/// How many bytes, from the first one on, and their digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) length_bytes: u64,
    pub(crate) digest: Digest,
}

impl Claim {
    /// Of no bytes.
    pub(crate) fn nothing() -> Self {
        Self { length_bytes: 0, digest: Digest::of(b"") }
    }
}

impl State {
    /// So many bytes are on disk, and nothing more is claimed.
    pub(crate) fn synced(boot: &str, synced_bytes: u64) -> Self {
        Self { boot: boot.to_owned(), synced_bytes, claim: Claim::nothing() }
    }

    /// Writes it; always of the same size, in one sector. Not synced.
    pub(crate) fn write(&self, file: &File) -> io::Result<()> {
        let boot = if self.boot.is_empty() { "-" } else { &self.boot };
        let Claim { length_bytes, digest } = &self.claim;
        let synced = self.synced_bytes;
        let text = format!("{boot} {synced:020} {length_bytes:020} {}\n", digest.hex());
        durable::write_all_at(file, text.as_bytes(), 0)
    }

    /// Reads the text; what an older varve wrote claims nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.strip_suffix('\n')?.split(' ').collect();
        let (boot, synced, claim) = match words[..] {
            [boot, synced] => (boot, synced, Claim::nothing()),
            [boot, synced, length, hex] => {
                let digest = Digest::from_hex(hex).ok()?;
                (boot, synced, Claim { length_bytes: length.parse().ok()?, digest })
            }
            _ => return None,
        };
        let boot = if boot == "-" { "" } else { boot };
        Some(Self { boot: boot.to_owned(), synced_bytes: synced.parse().ok()?, claim })
    }

    /// How many bytes of `data` are good after a restart: all, if they hash to `whole`; those that were claimed,
    /// if they hash to what was claimed; else those that were synced before that.
    pub(crate) fn trusted_bytes(
        &self,
        data: &mut dyn Read,
        whole: Option<Digest>,
    ) -> io::Result<u64> {
        let mut hasher = Hasher::new();
        let mut trusted = self.synced_bytes;
        let claimed = copy(&mut data.take(self.claim.length_bytes), &mut hasher)?;
        if claimed == self.claim.length_bytes && hasher.clone().finish() == self.claim.digest {
            trusted = trusted.max(claimed);
        }
        let all = claimed + copy(data, &mut hasher)?;
        Ok(if Some(hasher.finish()) == whole { all } else { trusted.min(all) })
    }
}

fn copy(from: &mut dyn Read, to: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK_SIZE_BYTES];
    let mut copied = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(count) => {
                to.update(&buffer[..count]);
                copied += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(synced_bytes: u64, claimed: &[u8]) -> State {
        let claim = Claim { length_bytes: claimed.len() as u64, digest: Digest::of(claimed) };
        State { boot: "boot".to_owned(), synced_bytes, claim }
    }

    #[track_caller]
    fn check(state: &State, data: &[u8], whole: &[u8], trusted: u64) {
        let found = state.trusted_bytes(&mut &*data, Some(Digest::of(whole))).unwrap();
        assert_eq!(found, trusted);
    }

    #[test]
    fn what_was_claimed_is_trusted_if_it_came_to_the_disk() {
        check(&state(2, b"abcd"), b"abcd??", b"abcdef", 4);
        check(&state(2, b"abcd"), b"ab\0\0??", b"abcdef", 2);
        check(&state(2, b"abcd"), b"abc", b"abcdef", 2);
        check(&state(2, b""), b"abcd", b"abcdef", 2);
    }

    #[test]
    fn the_whole_blob_is_trusted_whatever_was_claimed() {
        check(&state(0, b""), b"abcdef", b"abcdef", 6);
        check(&state(2, b"ab"), b"abcdef", b"abcdef", 6);
    }

    #[test]
    fn no_more_is_trusted_than_there_is() {
        check(&state(9, b""), b"abc", b"abcdef", 3);
    }

    #[test]
    fn what_an_older_varve_wrote_is_read() {
        let read = State::parse("boot 00000000000000000007\n").unwrap();
        assert_eq!((read.synced_bytes, read.claim), (7, Claim::nothing()));
        assert_eq!(State::parse("boot 7"), None);
        assert_eq!(State::parse("boot 7 7 no\n"), None);
    }
}
