//! Bytes that can be read from anywhere.

use std::{cell::RefCell, fs::File, io};

/// Bytes that can be read from anywhere, by several at once.
pub trait ReadAt {
    /// Fills `buffer` with the bytes at `offset`. To ask for more than there is fails with
    /// [`io::ErrorKind::UnexpectedEof`].
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

/// How much is read at once for those who read piece by piece.
const AHEAD_SIZE_BYTES: u64 = 64 << 10;

/// A file that is read mostly forward, in many small pieces: what follows a piece is read with it
/// when the last piece was near.
pub(super) struct Ahead<'a> {
    file: &'a dyn ReadAt,
    size_bytes: u64,
    read: RefCell<Piece>,
}

#[derive(Default)]
struct Piece {
    offset: u64,
    bytes: Vec<u8>,
    /// Where the last one ended that was asked for.
    last_end: u64,
}

impl<'a> Ahead<'a> {
    /// A file of so many bytes.
    pub(super) fn new(file: &'a dyn ReadAt, size_bytes: u64) -> Self {
        Self { file, size_bytes, read: RefCell::default() }
    }
}

impl Piece {
    fn get(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        self.bytes.get(start..start.checked_add(length)?)
    }
}

impl ReadAt for Ahead<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut read = self.read.borrow_mut();
        let length = buffer.len() as u64;
        let is_near = offset.checked_sub(read.last_end).is_some_and(|it| it < AHEAD_SIZE_BYTES);
        read.last_end = offset.saturating_add(length);
        if let Some(bytes) = read.get(offset, buffer.len()) {
            buffer.copy_from_slice(bytes);
            return Ok(());
        }
        let size_bytes = AHEAD_SIZE_BYTES.min(self.size_bytes.saturating_sub(offset));
        if !is_near || size_bytes < length {
            return self.file.read_exact_at(buffer, offset);
        }
        let mut bytes = std::mem::take(&mut read.bytes);
        bytes.resize(size_bytes as usize, 0);
        if self.file.read_exact_at(&mut bytes, offset).is_err() {
            // Shorter than it was said to be: what was asked for may be there all the same.
            return self.file.read_exact_at(buffer, offset);
        }
        buffer.copy_from_slice(&bytes[..buffer.len()]);
        (read.offset, read.bytes) = (offset, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Counted(Vec<u8>, Cell<usize>);

    impl ReadAt for Counted {
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.1.set(self.1.get() + 1);
            self.0.read_exact_at(buffer, offset)
        }
    }

    #[test]
    fn small_pieces_on_the_way_forward_are_read_together_and_are_the_same() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number / 7) as u8).collect();
        let file = Counted(bytes.clone(), Cell::new(0));
        let ahead = Ahead::new(&file, bytes.len() as u64);
        let check = |offset: usize, length: usize| {
            let mut buffer = vec![0; length];
            ahead.read_exact_at(&mut buffer, offset as u64).unwrap();
            assert_eq!(buffer, bytes[offset..offset + length]);
        };
        for number in 0..1_000 {
            check(number * 299 + number % 7, 200);
        }
        assert!(file.1.get() < 10, "{}", file.1.get());
        for offset in [0, 200_000, 70_000, 299_000] {
            check(offset, 100);
            check(offset, 1_000);
        }
        assert!(ahead.read_exact_at(&mut [0; 2], 299_999).is_err());
    }

    #[test]
    fn a_file_that_is_shorter_than_it_should_be_is_read_as_far_as_it_goes() {
        let short = vec![1, 2, 3, 4];
        let ahead = Ahead::new(&short, 1_000);
        let mut buffer = [0; 2];
        ahead.read_exact_at(&mut buffer, 0).unwrap();
        ahead.read_exact_at(&mut buffer, 2).unwrap();
        assert_eq!(buffer, [3, 4]);
        assert!(ahead.read_exact_at(&mut buffer, 3).is_err());
    }
}
