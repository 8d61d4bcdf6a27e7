//! The tar that `save` writes: plain headers, no owner, no time.

use std::io::{self, Read, Write};

use crate::archive::{Error, Result};

const BLOCK_SIZE_BYTES: usize = 512;
/// The largest size that eleven octal digits hold.
const OCTAL_SIZE_MAX: u64 = 0o77_777_777_777;

/// Writes members in the order in which they come.
pub(super) struct ArchiveWriter<'a> {
    output: &'a mut dyn Write,
}

impl<'a> ArchiveWriter<'a> {
    pub(super) fn new(output: &'a mut dyn Write) -> Self {
        Self { output }
    }

    pub(super) fn directory(&mut self, path: &str) -> Result<()> {
        self.output.write_all(&header(path, 0, b'5', 0o755)).map_err(Error::Write)
    }

    pub(super) fn document(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.file(path, bytes.len() as u64, &mut &*bytes)
    }

    /// Writes a file whose bytes must be exactly as many as promised.
    pub(super) fn file(&mut self, path: &str, size: u64, content: &mut dyn Read) -> Result<()> {
        self.output.write_all(&header(path, size, b'0', 0o644)).map_err(Error::Write)?;
        let mut buffer = vec![0; 128 << 10];
        let mut left = size;
        loop {
            // One read more than the size asks for, so that the end is seen and verified.
            let count = content.read(&mut buffer).map_err(Error::Read)?;
            if count == 0 {
                break;
            }
            let Some(rest) = left.checked_sub(count as u64) else { return Err(size_differs()) };
            left = rest;
            self.output.write_all(&buffer[..count]).map_err(Error::Write)?;
        }
        if left != 0 {
            return Err(size_differs());
        }
        let padding = (BLOCK_SIZE_BYTES - size as usize % BLOCK_SIZE_BYTES) % BLOCK_SIZE_BYTES;
        self.output.write_all(&[0; BLOCK_SIZE_BYTES][..padding]).map_err(Error::Write)
    }

    pub(super) fn finish(self) -> Result<()> {
        self.output.write_all(&[0; 2 * BLOCK_SIZE_BYTES]).map_err(Error::Write)?;
        self.output.flush().map_err(Error::Write)
    }
}

fn size_differs() -> Error {
    Error::Read(io::Error::new(io::ErrorKind::InvalidData, "a blob's size is not the stored one"))
}

/// A POSIX header (ustar); sizes past 8 GiB are written in base 256, which every reader knows.
fn header(path: &str, size: u64, kind: u8, mode: u32) -> [u8; BLOCK_SIZE_BYTES] {
    let mut block = [0; BLOCK_SIZE_BYTES];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size <= OCTAL_SIZE_MAX {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        put(124, &[0x80]);
        put(128, &size.to_be_bytes());
    }
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
