//! One pass over a layer: source → hash → file, and beside it inflate → hash → tar → tree.
//! The index is written from that tree afterwards, when the bytes are known to be the right ones.
//!
//! The calling thread reads the source, hashes and writes; a second one inflates and parses; a
//! third one syncs. They are joined by a channel that holds at most [`CHUNKS`] chunks, so memory
//! does not depend on the layer's size.

use std::{
    fs::File,
    io::{self, BufRead, Read},
    path::Path,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use varve_fs::{
    compression::{self, Compression},
    durable,
    layer::{LayerSummary, TreeParser},
    tree::Tree,
};
use varve_types::{DiffId, Digest, Hasher, limits};

use crate::{
    Error, Result,
    arrival::{Arrival, Syncer},
    error::cannot,
    store::PRIVATE_MODE,
};

pub(crate) const CHUNK_SIZE_BYTES: usize = 128 << 10;
pub(crate) const CHUNKS: usize = 8;
/// Arriving bytes are synced at least this often.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
pub(crate) const SYNC_SIZE_BYTES: u64 = 32 << 20;

/// What goes in.
pub(crate) struct Intake<'a> {
    /// Where the bytes go as they come. `None`: nowhere.
    pub(crate) keep: Option<&'a Arrival>,
    /// What must come. `None`: whatever comes.
    pub(crate) promised: Option<Promise>,
    /// What becomes of the bytes as a layer.
    pub(crate) layer: Option<Unpack<'a>>,
}

impl Intake<'_> {
    /// What a layer is called in errors.
    fn name(&self) -> String {
        let name = self.promised.map(|promise| promise.digest.to_string());
        name.unwrap_or_else(|| "from the archive".to_owned())
    }
}

/// Digest and size of what must come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
}

impl Promise {
    fn wrong_size(self, actual: u64) -> Error {
        Error::Size { digest: self.digest, expected: self.size_bytes, actual }
    }
}

/// Where the plain tar goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unpack<'a> {
    pub(crate) tar: &'a Path,
    /// Whether to write it also when what comes is the plain tar already.
    pub(crate) even_if_plain: bool,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
    pub(crate) layer: Option<Unpacked>,
}

/// What the second thread made of the bytes. Its parser has seen them all.
struct Parsed {
    compression: Compression,
    parser: TreeParser,
    /// Digest of the plain tar, unless that is what came: the calling thread hashes it then.
    digest: Option<Digest>,
}

/// What the bytes are as a layer.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) compression: Compression,
    pub(crate) summary: LayerSummary,
    pub(crate) tree: Tree,
}

/// Takes in the bytes that are kept already, then all of `body`. On an error `length_bytes` says
/// how many bytes are in the file.
pub(crate) fn run(
    intake: &Intake<'_>,
    body: &mut dyn Read,
    length_bytes: &AtomicU64,
) -> Result<Outcome> {
    thread::scope(|scope| {
        let stop_syncing = intake.keep.map(|arrival| {
            let (stop, wake) = mpsc::sync_channel::<()>(1);
            let syncer = arrival.syncer();
            (stop, scope.spawn(move || sync_often(syncer, &wake, length_bytes)))
        });
        let unpacking = intake.layer.map(|unpack| {
            let (sender, receiver) = mpsc::sync_channel(CHUNKS);
            let name = intake.name();
            (sender, scope.spawn(move || self::unpack(receiver, unpack, name)))
        });
        let mut pump = Pump {
            intake,
            hasher: Hasher::new(),
            count: 0,
            length_bytes,
            since_sync: 0,
            wake: stop_syncing.as_ref().map(|(stop, _)| stop),
            unpacking,
            layer_error: None,
        };
        let outcome = pump.kept().and_then(|()| pump.body(body)).and_then(|()| pump.finish());
        drop(pump);
        let synced = stop_syncing.map_or(Ok(()), |(stop, thread)| {
            drop(stop);
            joined(thread)
        });
        let outcome = outcome?;
        synced.map(|()| outcome)
    })
}

pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs until its channel is closed.
pub(crate) fn sync_often(
    syncer: Syncer<'_>,
    wake: &Receiver<()>,
    length_bytes: &AtomicU64,
) -> Result<()> {
    let mut synced = 0;
    loop {
        match wake.recv_timeout(SYNC_INTERVAL) {
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Ok(()) | Err(RecvTimeoutError::Timeout) => {
                let written = length_bytes.load(Ordering::Acquire);
                if written > synced {
                    syncer.sync(written)?;
                    synced = written;
                }
            }
        }
    }
}

/// The second thread: where its chunks go in, and what it makes of them. `None` ends the stream
/// well; a stream that just stops has failed.
type Unpacking<'scope> = (SyncSender<Option<Vec<u8>>>, ScopedJoinHandle<'scope, Result<Parsed>>);

/// The calling thread's part.
struct Pump<'a, 'scope> {
    intake: &'a Intake<'a>,
    hasher: Hasher,
    count: u64,
    length_bytes: &'a AtomicU64,
    since_sync: u64,
    wake: Option<&'a SyncSender<()>>,
    unpacking: Option<Unpacking<'scope>>,
    /// Why the bytes are no layer; told only when they are the promised ones.
    layer_error: Option<Error>,
}

impl Pump<'_, '_> {
    /// The bytes that an earlier try left.
    fn kept(&mut self) -> Result<()> {
        let Some(arrival) = self.intake.keep else { return Ok(()) };
        let path = arrival.data_path();
        let mut file = File::open(&path).map_err(cannot("open", &path))?;
        let mut left = arrival.length_bytes();
        while left > 0 {
            let mut chunk = vec![0; CHUNK_SIZE_BYTES.min(left as usize)];
            let count = file.read(&mut chunk).map_err(cannot("read", &path))?;
            if count == 0 {
                break;
            }
            chunk.truncate(count);
            left -= count as u64;
            self.pass(chunk)?;
        }
        Ok(())
    }

    fn body(&mut self, body: &mut dyn Read) -> Result<()> {
        loop {
            let mut chunk = vec![0; CHUNK_SIZE_BYTES];
            let count = match body.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Source(error)),
            };
            chunk.truncate(count);
            if let Some(promise) = self.intake.promised
                && self.count + count as u64 > promise.size_bytes
            {
                return Err(promise.wrong_size(self.count + count as u64));
            }
            if let Some(arrival) = self.intake.keep {
                durable::write_all_at(arrival.data(), &chunk, self.count)
                    .map_err(cannot("write", &arrival.data_path()))?;
                self.length_bytes.store(self.count + count as u64, Ordering::Release);
                self.since_sync += count as u64;
                if self.since_sync >= SYNC_SIZE_BYTES {
                    self.since_sync = 0;
                    // A full channel means that it is about to sync anyway.
                    let _ = self.wake.map(|wake| wake.try_send(()));
                }
            }
            self.pass(chunk)?;
        }
    }

    fn pass(&mut self, chunk: Vec<u8>) -> Result<()> {
        self.count += chunk.len() as u64;
        self.hasher.update(&chunk);
        let gone = match &self.unpacking {
            Some((sender, _)) => sender.send(Some(chunk)).is_err(),
            None => false,
        };
        if gone { self.unpacking_ended() } else { Ok(()) }
    }

    /// The other thread has given up. Bytes that are no layer are still taken in to the end when
    /// a digest is promised: that they are not the promised ones is the better thing to say.
    fn unpacking_ended(&mut self) -> Result<()> {
        let Some((sender, thread)) = self.unpacking.take() else { return Ok(()) };
        drop(sender);
        match joined(thread) {
            Err(error @ (Error::Layer { .. } | Error::Decompress { .. } | Error::Limit { .. }))
                if self.intake.promised.is_some() =>
            {
                self.layer_error = Some(error);
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<Outcome> {
        let digest = std::mem::take(&mut self.hasher).finish();
        if let Some(promise) = self.intake.promised {
            if self.count != promise.size_bytes {
                return Err(promise.wrong_size(self.count));
            }
            if digest != promise.digest {
                return Err(Error::Mismatch { expected: promise.digest, actual: digest });
            }
        }
        if let Some(error) = self.layer_error.take() {
            return Err(error);
        }
        let layer = match self.unpacking.take() {
            None => None,
            Some((sender, thread)) => {
                // Without this last message the other side knows that the source failed.
                let _ = sender.send(None);
                drop(sender);
                let Parsed { compression, parser, digest: plain } = joined(thread)?;
                let name = self.intake.name();
                let layer = |source| Error::Layer { digest: name, source };
                let diff_id = DiffId(plain.unwrap_or(digest));
                let (summary, tree) = parser.finish(diff_id).map_err(layer)?;
                Some(Unpacked { compression, summary, tree })
            }
        };
        Ok(Outcome { digest, size_bytes: self.count, layer })
    }
}

/// The second thread's part.
fn unpack(
    receiver: Receiver<Option<Vec<u8>>>,
    unpack: Unpack<'_>,
    digest: String,
) -> Result<Parsed> {
    let taken_bytes = AtomicU64::new(0);
    let source =
        Chunks { receiver, chunk: Vec::new(), at: 0, taken_bytes: &taken_bytes, over: false };
    let damaged = |source: io::Error| Error::Decompress { digest: digest.clone(), source };
    let (compression, mut plain) = compression::decode(source).map_err(damaged)?;
    let tar = if compression != Compression::None || unpack.even_if_plain {
        Some(durable::create_new(unpack.tar, PRIVATE_MODE).map_err(cannot("create", unpack.tar))?)
    } else {
        None
    };
    let mut parser = TreeParser::new();
    let mut hasher = (compression != Compression::None).then(Hasher::new);
    let mut buffer = vec![0; CHUNK_SIZE_BYTES];
    let mut tar_size_bytes = 0;
    loop {
        let count = match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(error)),
        };
        tar_size_bytes += count as u64;
        check_growth(compression, tar_size_bytes, taken_bytes.load(Ordering::Relaxed))?;
        let layer = |source| Error::Layer { digest: digest.clone(), source };
        if let Some(hasher) = &mut hasher {
            hasher.update(&buffer[..count]);
        }
        parser.update(&buffer[..count]).map_err(layer)?;
        if let Some(tar) = &tar {
            durable::write_all(tar, &buffer[..count]).map_err(cannot("write", unpack.tar))?;
        }
    }
    Ok(Parsed { compression, parser, digest: hasher.map(Hasher::finish) })
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

/// The chunks of a channel as one stream. It ends well only after the message that says so.
struct Chunks<'a> {
    receiver: Receiver<Option<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
    taken_bytes: &'a AtomicU64,
    over: bool,
}

impl BufRead for Chunks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.chunk.len() && !self.over {
            match self.receiver.recv() {
                Ok(Some(chunk)) => {
                    self.taken_bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                    (self.chunk, self.at) = (chunk, 0);
                }
                Ok(None) => self.over = true,
                Err(_) => return Err(io::Error::other("the source failed")),
            }
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
