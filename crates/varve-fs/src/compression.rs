//! Compressed streams: telling what they are, reading and writing them.

use std::io::{self, BufRead, Read, Write};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952, any number of members.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// RFC 8878, any number of frames.
    Zstd,
}

/// The first bytes that [`detect`] wants to see; fewer are fine at the end of a stream.
pub const MAGIC_SIZE_BYTES: usize = 6;

/// Tells the compression from a stream's first bytes.
pub fn detect(_prefix: &[u8]) -> Compression {
    todo!()
}

/// Detects the compression of `source` and returns it with a reader of the plain bytes.
/// All members, frames and streams are read to the end of `source`; trailing garbage and a
/// stream that ends early are errors of kind `InvalidData` and `UnexpectedEof`.
pub fn decode<'a>(
    _source: impl BufRead + Send + 'a,
) -> io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    todo!()
}

/// A compressor whose output is a function of these values and its input only, so that they
/// can be written down and the same bytes made again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Compressor {
    /// `gzip` or `zstd`.
    pub name: String,
    /// What makes it, and its version, such as `libdeflate-1.26/1MiB`.
    pub version: String,
    /// The level.
    pub level: i32,
}

impl Compressor {
    /// The compressor a push uses unless told otherwise.
    pub fn gzip() -> Self {
        todo!()
    }

    /// Zstd at a level.
    pub fn zstd(_level: i32) -> Self {
        todo!()
    }

    /// Compresses all of `source` into `target`, on as many threads as help; returns bytes written.
    pub fn compress(&self, _source: &mut dyn Read, _target: &mut dyn Write) -> io::Result<u64> {
        todo!()
    }
}
