//! Reading a file's bytes out of its layer's tar.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

use crate::tree::{Extent, FileBytes};

/// Reads a file from the uncompressed tar that holds it, with zeros for its holes. A tar that ends
/// too early is an error of kind `UnexpectedEof`.
#[derive(Debug)]
pub struct FileReader<'a> {
    tar: &'a File,
    /// What is still to come, the next one last.
    extents: Vec<Extent>,
    position: u64,
    size: u64,
}

impl<'a> FileReader<'a> {
    /// Starts at the file's begin.
    pub fn new(bytes: &FileBytes, tar: &'a File) -> Self {
        let mut extents: Vec<Extent> = bytes.extents().collect();
        extents.reverse();
        Self { tar, extents, position: 0, size: bytes.size }
    }
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = (self.size - self.position).min(buffer.len() as u64);
        if wanted == 0 {
            return Ok(0);
        }
        let Some(extent) = self.extents.last().copied() else {
            return Ok(self.give_zeros(buffer, wanted));
        };
        if extent.offset > self.position {
            return Ok(self.give_zeros(buffer, wanted.min(extent.offset - self.position)));
        }
        let within = self.position - extent.offset;
        let wanted = wanted.min(extent.length - within);
        let count = self.tar.read_at(&mut buffer[..wanted as usize], extent.tar_offset + within)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += count as u64;
        if self.position == extent.offset + extent.length {
            self.extents.pop();
        }
        Ok(count)
    }
}

impl FileReader<'_> {
    fn give_zeros(&mut self, buffer: &mut [u8], count: u64) -> usize {
        buffer[..count as usize].fill(0);
        self.position += count;
        count as usize
    }
}
