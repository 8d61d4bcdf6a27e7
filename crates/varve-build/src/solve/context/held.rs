//! Bytes of small files, held from when they are hashed to when they are copied: opening a file again
//! costs more than reading it.
//!
//! Many lie in one piece of memory: one allocation for each, made by several threads, costs more
//! than the reading.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Bytes of a file that is held.
pub(super) const HELD_FILE_SIZE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of all that are held at one time.
const HELD_SIZE_BYTES_MAX: usize = 64 << 20;
const PIECE_SIZE_BYTES: usize = 1 << 20;

/// Files that are held, by number.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Pieces>);

#[derive(Debug, Default)]
struct Pieces {
    all: Vec<Piece>,
    files: HashMap<usize, (usize, Range<usize>)>,
    /// Pieces that have memory.
    count: usize,
}

#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    /// Files in it that are still wanted.
    files: usize,
}

impl Held {
    /// Keeps a file's bytes, if there is room. They are at most [`HELD_FILE_SIZE_BYTES_MAX`].
    pub(super) fn hold(&self, file: usize, bytes: &[u8]) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.files.contains_key(&file) || !held.make_room(bytes.len()) {
            return;
        }
        let number = held.all.len() - 1;
        let piece = &mut held.all[number];
        let from = piece.bytes.len();
        piece.bytes.extend_from_slice(bytes);
        piece.files += 1;
        held.files.insert(file, (number, from..from + bytes.len()));
    }

    /// The bytes of a file that was held, which is not any more.
    pub(super) fn release(&self, file: usize) -> Option<Vec<u8>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, range) = held.files.remove(&file)?;
        let piece = &mut held.all[number];
        let bytes = piece.bytes[range].to_vec();
        piece.files -= 1;
        if piece.files == 0 {
            piece.bytes = Vec::new();
            held.count -= 1;
        }
        Some(bytes)
    }
}

impl Pieces {
    /// Sees to it that the last piece has room; `false` when all are full.
    fn make_room(&mut self, size_bytes: usize) -> bool {
        let has_room = |piece: &Piece| {
            piece.files > 0 && piece.bytes.capacity() - piece.bytes.len() >= size_bytes
        };
        if self.all.last().is_some_and(has_room) {
            return true;
        }
        if (self.count + 1) * PIECE_SIZE_BYTES > HELD_SIZE_BYTES_MAX {
            return false;
        }
        self.all.push(Piece { bytes: Vec::with_capacity(PIECE_SIZE_BYTES), files: 0 });
        self.count += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_back_once() {
        let held = Held::default();
        held.hold(7, b"seven");
        held.hold(3, b"");
        held.hold(7, b"something else");
        assert_eq!(held.release(7).as_deref(), Some(&b"seven"[..]));
        assert_eq!(held.release(3).as_deref(), Some(&b""[..]));
        assert_eq!((held.release(7), held.release(1)), (None, None));
        held.hold(7, b"again");
        assert_eq!(held.release(7).as_deref(), Some(&b"again"[..]));
    }

    #[test]
    fn no_more_is_held_than_may_be_and_what_was_released_makes_room() {
        let held = Held::default();
        let file = vec![1; HELD_FILE_SIZE_BYTES_MAX as usize];
        let most = HELD_SIZE_BYTES_MAX / file.len();
        for number in 0..most + 10 {
            held.hold(number, &file);
        }
        assert_eq!(held.release(most), None);
        // A piece is free when nothing in it is wanted any more.
        for number in 0..PIECE_SIZE_BYTES / file.len() {
            assert!(held.release(number).is_some());
        }
        held.hold(most, &file);
        assert!(held.release(most).is_some());
    }
}
