//! A log file from its end: only as much is read as is asked for.

use std::{fs::File, io, os::unix::fs::FileExt as _};

/// Bytes read at once, going backwards.
const BLOCK_SIZE_BYTES: u64 = 64 << 10;

/// Where the last whole line of a file ends: behind its last line feed.
pub(super) fn whole_lines_end(file: &File) -> io::Result<u64> {
    let mut end = 0;
    backwards(file, |at| {
        end = at + 1;
        false
    })?;
    Ok(end)
}

/// Where the last `lines` whole lines of a file begin, and how many there are of them.
pub(super) fn last_lines(file: &File, lines: u64) -> io::Result<(u64, u64)> {
    if lines == 0 {
        return Ok((file.metadata()?.len(), 0));
    }
    let (mut feeds, mut start) = (0, 0);
    backwards(file, |at| {
        if feeds == lines {
            start = at + 1;
            return false;
        }
        feeds += 1;
        true
    })?;
    Ok((start, feeds))
}

/// Calls `found` with the place of each line feed, the last one first, until it says no.
fn backwards(file: &File, mut found: impl FnMut(u64) -> bool) -> io::Result<()> {
    let mut end = file.metadata()?.len();
    let mut block = vec![0; BLOCK_SIZE_BYTES as usize];
    while end > 0 {
        let size = end.min(BLOCK_SIZE_BYTES);
        let block = &mut block[..size as usize];
        file.read_exact_at(block, end - size)?;
        for (at, byte) in block.iter().enumerate().rev() {
            if *byte == b'\n' && !found(end - size + at as u64) {
                return Ok(());
            }
        }
        end -= size;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn the_last_lines_are_found_without_the_torn_one() {
        let log = file(b"one\ntwo\nthree\nto");
        assert_eq!(whole_lines_end(&log).unwrap(), 14);
        assert_eq!(last_lines(&log, 0).unwrap(), (16, 0));
        assert_eq!(last_lines(&log, 1).unwrap(), (8, 1));
        assert_eq!(last_lines(&log, 3).unwrap(), (0, 3));
        assert_eq!(last_lines(&log, 9).unwrap(), (0, 3));
        assert_eq!(last_lines(&file(b""), 9).unwrap(), (0, 0));
        assert_eq!(whole_lines_end(&file(b"torn")).unwrap(), 0);
    }

    #[test]
    fn lines_longer_than_a_block_are_found() {
        let mut bytes = vec![b'x'; 3 * BLOCK_SIZE_BYTES as usize];
        bytes.push(b'\n');
        let first = bytes.len() as u64;
        bytes.extend(vec![b'y'; 2 * BLOCK_SIZE_BYTES as usize]);
        bytes.push(b'\n');
        assert_eq!(last_lines(&file(&bytes), 1).unwrap(), (first, 1));
    }
}
