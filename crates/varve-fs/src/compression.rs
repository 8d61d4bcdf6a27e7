//! Compressed streams: telling what they are, reading and writing them.
//!
//! [`decode`] reads what the field produces: gzip in any number of members, zstd in any number of
//! frames, bzip2, xz, and plain bytes. A [`Compressor`] writes gzip or zstd so that the same
//! input and the same record give the same bytes on every machine, however many cores it has.
//!
//! # Invariants
//!
//! 1. A decoder consumes its source to the end, so that whoever hashes the source sees all of it.
//! 2. A stream that ends early or goes on with something else is an error, never a short read.
//! 3. No stream makes a decoder take more than [`limits::DECODER_MEMORY_SIZE_BYTES_MAX`].

mod compressor;

use std::io::{self, BufRead, BufReader, Cursor, Read};

use varve_types::limits;

pub use compressor::Compressor;

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

/// How much is decompressed at once.
const PLAIN_SIZE_BYTES: usize = 128 << 10;

/// Tells the compression from a stream's first bytes.
pub fn detect(prefix: &[u8]) -> Compression {
    match prefix {
        [0x1f, 0x8b, 0x08, ..] => Compression::Gzip,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        // A frame, or a skippable frame in front of one.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// Detects the compression of `source` and returns it with a reader of the plain bytes.
/// All members, frames and streams are read to the end of `source`; trailing garbage and a
/// stream that ends early are errors of kind `InvalidData` and `UnexpectedEof`. Zero bytes
/// behind a gzip stream are padding, as for gzip(1). Bytes that are not compressed are lent as
/// `source` lends them, without a copy.
pub fn decode<'a>(
    mut source: impl BufRead + Send + 'a,
) -> io::Result<(Compression, Box<dyn BufRead + Send + 'a>)> {
    let mut magic = Vec::with_capacity(MAGIC_SIZE_BYTES);
    source.by_ref().take(MAGIC_SIZE_BYTES as u64).read_to_end(&mut magic)?;
    let compression = detect(&magic);
    let source = Cursor::new(magic).chain(source);
    let plain: Box<dyn BufRead + Send + 'a> = match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => buffered(Gunzip::new(source)),
        Compression::Bzip2 => buffered(Named::new(bzip2::bufread::MultiBzDecoder::new(source))),
        Compression::Xz => buffered(Named::new(unxz(source)?)),
        Compression::Zstd => buffered(Named::new(unzstd(source)?)),
    };
    Ok((compression, plain))
}

fn buffered<'a>(decoder: impl Read + Send + 'a) -> Box<dyn BufRead + Send + 'a> {
    Box::new(BufReader::with_capacity(PLAIN_SIZE_BYTES, decoder))
}

fn unxz<R: BufRead>(source: R) -> io::Result<liblzma::bufread::XzDecoder<R>> {
    let stream = liblzma::stream::Stream::new_stream_decoder(
        limits::DECODER_MEMORY_SIZE_BYTES_MAX,
        liblzma::stream::CONCATENATED,
    )?;
    Ok(liblzma::bufread::XzDecoder::new_stream(source, stream))
}

fn unzstd<R: BufRead>(source: R) -> io::Result<zstd::stream::read::Decoder<'static, R>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
    decoder.window_log_max(limits::DECODER_MEMORY_SIZE_BYTES_MAX.ilog2())?;
    Ok(decoder)
}

/// Gives the errors of a decoder one kind: the libraries disagree on what damage is.
struct Named<R>(R);

impl<R: Read> Named<R> {
    fn new(decoder: R) -> Self {
        Self(decoder)
    }
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(damage)
    }
}

fn damage(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => io::Error::new(io::ErrorKind::InvalidData, error),
        // An error of the system has a number; one of a library only has a text.
        io::ErrorKind::Other if error.raw_os_error().is_none() => {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<liblzma::stream::Error>()) {
                Some(liblzma::stream::Error::MemLimit) => io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "the stream wants more than {} MiB of memory to be decompressed",
                        limits::DECODER_MEMORY_SIZE_BYTES_MAX >> 20
                    ),
                ),
                _ => io::Error::new(io::ErrorKind::InvalidData, error),
            }
        }
        _ => error,
    }
}

/// Reads the members of a gzip stream one after the other.
///
/// `flate2`'s own reader of many members takes zero bytes behind the last one for damage; tapes
/// and block devices leave them there and gzip(1) accepts them.
struct Gunzip<R> {
    state: Member<R>,
}

enum Member<R> {
    Inside(Box<flate2::bufread::GzDecoder<R>>),
    Ended,
}

impl<R: BufRead> Gunzip<R> {
    fn new(source: R) -> Self {
        Self { state: Member::Inside(Box::new(flate2::bufread::GzDecoder::new(source))) }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Member::Inside(decoder) = &mut self.state {
            let count = decoder.read(buffer).map_err(damage)?;
            if count > 0 {
                return Ok(count);
            }
            // Only now may the decoder be taken apart: an error above leaves it as it was.
            let more = begins_another_member(decoder.get_mut())?;
            let Member::Inside(decoder) = std::mem::replace(&mut self.state, Member::Ended) else {
                break;
            };
            if more {
                let next = flate2::bufread::GzDecoder::new(decoder.into_inner());
                self.state = Member::Inside(Box::new(next));
            }
        }
        Ok(0)
    }
}

/// Looks at what follows a member: another one, nothing, or zeros up to the end.
fn begins_another_member(source: &mut impl BufRead) -> io::Result<bool> {
    let garbage = || io::Error::new(io::ErrorKind::InvalidData, "trailing garbage behind gzip");
    match source.fill_buf()?.first() {
        None => return Ok(false),
        Some(0x1f) => return Ok(true),
        Some(0) => {}
        Some(_) => return Err(garbage()),
    }
    loop {
        let bytes = source.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        if bytes.iter().any(|&byte| byte != 0) {
            return Err(garbage());
        }
        let count = bytes.len();
        source.consume(count);
    }
}

#[cfg(test)]
mod tests;
