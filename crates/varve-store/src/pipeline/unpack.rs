//! What the pipeline's other threads do: inflate, hash the tar, parse it and write it.

use std::{
    fs::File,
    io::{self, BufRead, Read},
    path::Path,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender},
    },
    thread,
};

use varve_fs::{
    compression::{self, Compression},
    durable,
    layer::TreeParser,
};
use varve_types::{Digest, Hasher, limits};

use super::Unpack;
use crate::{Error, Result, ahead::Ahead, error::cannot, store::PRIVATE_MODE};

/// What the other threads made of the bytes.
pub(super) struct Decoded {
    pub(super) compression: Compression,
    /// The parser, or why a tar that came plain is none: all of it was hashed nevertheless.
    pub(super) parsed: Result<TreeParser>,
    /// Digest of the plain tar, where it is hashed here.
    pub(super) digest: Option<Digest>,
}

/// Whether a tar that comes plain is hashed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlainHash {
    /// The calling thread does.
    NotHere,
    /// As long as it is a layer.
    OfLayers,
    /// Also when it is none: that it is not what was promised is the better thing to say.
    InAnyCase,
}

/// What the other threads do.
pub(super) fn unpack(
    (receiver, used): (Receiver<Option<Vec<u8>>>, Sender<Vec<u8>>),
    unpack: Unpack<'_>,
    name: String,
    plain_hash: PlainHash,
) -> Result<Decoded> {
    let taken_bytes = AtomicU64::new(0);
    let batch = Vec::new();
    let source = Batches { receiver, used, batch, at: 0, taken_bytes: &taken_bytes, over: false };
    let damaged = |source| Error::Decompress { digest: name.clone(), source };
    let (compression, plain) = compression::decode(source).map_err(damaged)?;
    let tar = if compression != Compression::None || unpack.even_if_plain {
        let tar = durable::create_new(unpack.tar, PRIVATE_MODE);
        Some((tar.map_err(cannot("create", unpack.tar))?, unpack.tar))
    } else {
        None
    };
    let reading = Reading { compression, taken_bytes: &taken_bytes, tar, name: &name, plain_hash };
    if compression == Compression::None {
        return reading.read(plain);
    }
    thread::scope(|scope| reading.read(Ahead::within(scope, plain)))
}

/// How the plain tar is read.
struct Reading<'a> {
    compression: Compression,
    taken_bytes: &'a AtomicU64,
    tar: Option<(File, &'a Path)>,
    name: &'a str,
    plain_hash: PlainHash,
}

impl Reading<'_> {
    fn read(self, mut plain: impl BufRead) -> Result<Decoded> {
        let mut parser = TreeParser::new();
        let is_plain = self.compression == Compression::None;
        let hashes = !is_plain || self.plain_hash != PlainHash::NotHere;
        let mut hasher = hashes.then(Hasher::new);
        let (mut tar_size_bytes, mut fault) = (0, None);
        loop {
            let bytes = match plain.fill_buf() {
                Ok([]) => break,
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(Error::Decompress { digest: self.name.to_owned(), source });
                }
            };
            tar_size_bytes += bytes.len() as u64;
            let taken_bytes = self.taken_bytes.load(Ordering::Relaxed);
            check_growth(self.compression, tar_size_bytes, taken_bytes)?;
            if let Some(hasher) = &mut hasher {
                hasher.update(bytes);
            }
            if fault.is_none()
                && let Err(source) = parser.update(bytes)
            {
                let error = Error::Layer { digest: self.name.to_owned(), source };
                if !is_plain || self.plain_hash != PlainHash::InAnyCase {
                    return Err(error);
                }
                fault = Some(error);
            }
            if let (Some((tar, path)), None) = (&self.tar, &fault) {
                durable::write_all(tar, bytes).map_err(cannot("write", path))?;
            }
            let count = bytes.len();
            plain.consume(count);
        }
        let parsed = fault.map_or(Ok(parser), Err);
        Ok(Decoded { compression: self.compression, parsed, digest: hasher.map(Hasher::finish) })
    }
}

fn check_growth(compression: Compression, tar_size_bytes: u64, taken_bytes: u64) -> Result<()> {
    const FREE_SIZE_BYTES: u64 = 1 << 20;
    if tar_size_bytes > limits::LAYER_INFLATED_SIZE_BYTES_MAX {
        return Err(Error::Limit {
            what: "inflated layer size",
            actual: tar_size_bytes,
            limit: limits::LAYER_INFLATED_SIZE_BYTES_MAX,
        });
    }
    let ratio = match compression {
        Compression::None | Compression::Gzip => limits::INFLATE_RATIO_GZIP_MAX,
        Compression::Bzip2 | Compression::Xz | Compression::Zstd => limits::INFLATE_RATIO_MAX,
    };
    let limit = taken_bytes.saturating_mul(ratio).max(FREE_SIZE_BYTES);
    if tar_size_bytes > limit {
        return Err(Error::Limit { what: "inflated layer size", actual: tar_size_bytes, limit });
    }
    Ok(())
}

/// The batches of a channel as one stream. It ends well only after the message that says so.
struct Batches<'a> {
    receiver: Receiver<Option<Vec<u8>>>,
    /// Where a batch goes when all of it was taken.
    used: Sender<Vec<u8>>,
    batch: Vec<u8>,
    at: usize,
    taken_bytes: &'a AtomicU64,
    over: bool,
}

impl BufRead for Batches<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.batch.len() && !self.over {
            match self.receiver.recv() {
                Ok(Some(batch)) => {
                    self.taken_bytes.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    self.at = 0;
                    // Nobody there: nothing more comes, and memory is not wanted any more.
                    let _ = self.used.send(std::mem::replace(&mut self.batch, batch));
                }
                Ok(None) => self.over = true,
                Err(_) => return Err(io::Error::other("the source failed")),
            }
        }
        Ok(&self.batch[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Batches<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
