//! One pass over a layer: source → hash → file, and beside it inflate → hash → tar → tree.
//! The index is written from that tree afterwards, when the bytes are known to be the right ones.
//!
//! The calling thread reads the source, hashes and writes; a second one inflates; a third one hashes
//! the tar, parses and writes it; a fourth one syncs. Of a tar that comes plain there is one hash
//! only, and nothing to inflate: the calling thread reads and writes, another one hashes and parses,
//! unless a transfer may be resumed, whose hash so far is synced with it.
//! They are joined by channels that hold few batches, so memory does not depend on the layer's size.
//! Waking a thread costs as much as parsing some ten headers: small pieces, as networks have them,
//! are written and hashed as they come and passed on together.

mod unpack;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{
        Mutex, PoisonError,
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
use varve_types::{DiffId, Digest, Hasher};

use self::unpack::{Decoded, PlainHash};
use crate::{
    Error, Result,
    arrival::{Arrival, Claim, Syncer},
    error::cannot,
};

/// Read, written and hashed at once, while the caches have it.
pub(crate) const CHUNK_SIZE_BYTES: usize = 128 << 10;
/// Passed to another thread at once, as soon as there is no room for another chunk.
const BATCH_SIZE_BYTES: usize = 256 << 10;
const BATCHES: usize = 4;
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
    pub(crate) layer: Option<Parsed>,
}

/// A layer's tar that has gone by. What is left to do can be done while its bytes are synced.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) compression: Compression,
    pub(crate) diff_id: DiffId,
    /// It has seen all bytes.
    pub(crate) parser: TreeParser,
    /// What the layer is called in errors.
    pub(crate) name: String,
}

impl Parsed {
    /// Ends: the tar must be whole.
    pub(crate) fn finish(self) -> Result<Unpacked> {
        let Self { compression, diff_id, parser, name } = self;
        let layer = |source| Error::Layer { digest: name, source };
        let (summary, tree) = parser.finish(diff_id).map_err(layer)?;
        Ok(Unpacked { compression, summary, tree })
    }
}

/// What the bytes are as a layer.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) compression: Compression,
    pub(crate) summary: LayerSummary,
    pub(crate) tree: Tree,
}

/// How many bytes are in a file, and their hash, for those who sync them.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<(u64, Hasher)>);

impl Progress {
    /// So many bytes have come, of which the hasher has seen all.
    pub(crate) fn reached(&self, length_bytes: u64, hasher: &Hasher) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (length_bytes, hasher.clone());
    }

    /// What may be claimed of them.
    pub(crate) fn claim(&self) -> Claim {
        let (length_bytes, hasher) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Claim { length_bytes, digest: hasher.finish() }
    }
}

/// Takes in the bytes that are kept already, then all of `body`. On an error `progress` says
/// how many bytes are in the file.
pub(crate) fn run(
    intake: &Intake<'_>,
    body: &mut dyn Read,
    progress: &Progress,
) -> Result<Outcome> {
    // What another process may go on with is synced with its hash.
    let hashed_here = intake.layer.is_none() || intake.keep.is_some() && intake.promised.is_some();
    thread::scope(|scope| {
        let stop_syncing = intake.keep.map(|arrival| {
            let (stop, wake) = mpsc::sync_channel::<()>(1);
            let syncer = arrival.syncer();
            (stop, scope.spawn(move || sync_often(syncer, &wake, || progress.claim())))
        });
        let unpacking = intake.layer.map(|unpack| {
            let (sender, receiver) = mpsc::sync_channel(BATCHES);
            let (used, spare) = mpsc::channel();
            let name = intake.name();
            let hashing = match (hashed_here, intake.promised) {
                (true, _) => PlainHash::NotHere,
                (false, Some(_)) => PlainHash::InAnyCase,
                (false, None) => PlainHash::OfLayers,
            };
            let thread =
                scope.spawn(move || unpack::unpack((receiver, used), unpack, name, hashing));
            Unpacking { sender, spare, thread }
        });
        let mut pump = Pump {
            intake,
            hashing: if hashed_here { Hashing::here() } else { Hashing::Undecided },
            count: 0,
            progress,
            since_sync: 0,
            wake: stop_syncing.as_ref().map(|(stop, _)| stop),
            unpacking,
            batch: Vec::new(),
            filled: 0,
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
    written: impl Fn() -> Claim,
) -> Result<()> {
    let mut synced = 0;
    loop {
        match wake.recv_timeout(SYNC_INTERVAL) {
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Ok(()) | Err(RecvTimeoutError::Timeout) => {
                let claim = written();
                if claim.length_bytes > synced {
                    syncer.sync(claim)?;
                    synced = claim.length_bytes;
                }
            }
        }
    }
}

/// The second thread, and what it makes of its batches.
struct Unpacking<'scope> {
    /// Where the batches go in. `None` ends the stream well; a stream that just stops has failed.
    sender: SyncSender<Option<Vec<u8>>>,
    /// Batches that it has done with: their memory is used again, while the caches have it.
    spare: Receiver<Vec<u8>>,
    thread: ScopedJoinHandle<'scope, Result<Decoded>>,
}

/// Who hashes the bytes that come.
enum Hashing {
    /// Not known before the first of them are passed on.
    Undecided,
    /// The calling thread.
    Here(Hasher),
    /// Who parses: they are the plain tar.
    There,
}

impl Hashing {
    fn here() -> Self {
        Self::Here(Hasher::new())
    }
}

/// The calling thread's part.
struct Pump<'a, 'scope> {
    intake: &'a Intake<'a>,
    hashing: Hashing,
    count: u64,
    progress: &'a Progress,
    since_sync: u64,
    wake: Option<&'a SyncSender<()>>,
    unpacking: Option<Unpacking<'scope>>,
    /// What the second thread gets next; its first `filled` bytes have come.
    batch: Vec<u8>,
    filled: usize,
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
            let room = self.room();
            let size = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = file.read(&mut room[..size]).map_err(cannot("read", &path))?;
            if count == 0 {
                break;
            }
            left -= count as u64;
            self.take(count)?;
        }
        Ok(())
    }

    fn body(&mut self, body: &mut dyn Read) -> Result<()> {
        loop {
            let count = match body.read(self.room()) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Source(error)),
            };
            if let Some(promise) = self.intake.promised
                && self.count + count as u64 > promise.size_bytes
            {
                return Err(promise.wrong_size(self.count + count as u64));
            }
            if let Some(arrival) = self.intake.keep {
                let chunk = &self.batch[self.filled..][..count];
                durable::write_all_at(arrival.data(), chunk, self.count)
                    .map_err(cannot("write", &arrival.data_path()))?;
                self.since_sync += count as u64;
                if self.since_sync >= SYNC_SIZE_BYTES {
                    self.since_sync = 0;
                    // A full channel means that it is about to sync anyway.
                    let _ = self.wake.map(|wake| wake.try_send(()));
                }
            }
            self.take(count)?;
        }
    }

    /// Where the next bytes are read to: a chunk.
    fn room(&mut self) -> &mut [u8] {
        let end = self.filled + CHUNK_SIZE_BYTES;
        if self.batch.len() < end {
            self.batch.reserve_exact(BATCH_SIZE_BYTES - self.batch.len());
            self.batch.resize(end, 0);
        }
        &mut self.batch[self.filled..end]
    }

    /// Takes as many bytes as were put there.
    fn take(&mut self, count: usize) -> Result<()> {
        if let Hashing::Here(hasher) = &mut self.hashing {
            hasher.update(&self.batch[self.filled..][..count]);
        }
        self.count += count as u64;
        // Kept bytes are hashed again; until all of them are, nothing new is known.
        if self.intake.keep.is_some_and(|arrival| self.count >= arrival.length_bytes()) {
            match &self.hashing {
                Hashing::Here(hasher) => self.progress.reached(self.count, hasher),
                // Nobody goes on with what was not promised: its hash is not asked for.
                Hashing::Undecided | Hashing::There => {
                    self.progress.reached(self.count, &Hasher::new());
                }
            }
        }
        self.filled += count;
        if self.filled + CHUNK_SIZE_BYTES > BATCH_SIZE_BYTES { self.pass() } else { Ok(()) }
    }

    /// Passes the batch on.
    fn pass(&mut self) -> Result<()> {
        let filled = std::mem::take(&mut self.filled);
        if matches!(self.hashing, Hashing::Undecided) {
            let first = &self.batch[..filled];
            self.hashing = if compression::detect(first) == Compression::None {
                Hashing::There
            } else {
                let mut hasher = Hasher::new();
                hasher.update(first);
                Hashing::Here(hasher)
            };
        }
        let Some(unpacking) = self.unpacking.as_ref().filter(|_| filled > 0) else {
            return Ok(());
        };
        let next = unpacking.spare.try_recv().unwrap_or_default();
        let mut batch = std::mem::replace(&mut self.batch, next);
        batch.truncate(filled);
        let gone = unpacking.sender.send(Some(batch)).is_err();
        if gone { self.unpacking_ended() } else { Ok(()) }
    }

    /// The other thread has given up. Bytes that are no layer are still taken in to the end when
    /// a digest is promised: that they are not the promised ones is the better thing to say.
    fn unpacking_ended(&mut self) -> Result<()> {
        let Some(Unpacking { sender, thread, .. }) = self.unpacking.take() else { return Ok(()) };
        drop(sender);
        match joined(thread) {
            Err(error @ (Error::Layer { .. } | Error::Decompress { .. } | Error::Limit { .. }))
                if self.intake.promised.is_some() && matches!(self.hashing, Hashing::Here(_)) =>
            {
                self.layer_error = Some(error);
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<Outcome> {
        self.pass()?;
        let decoded = match self.unpacking.take() {
            None => None,
            Some(Unpacking { sender, thread, .. }) => {
                // Without this last message the other side knows that the source failed.
                let _ = sender.send(None);
                drop(sender);
                Some(joined(thread))
            }
        };
        let (digest, decoded) =
            match (std::mem::replace(&mut self.hashing, Hashing::There), decoded) {
                (Hashing::Here(hasher), decoded) => (hasher.finish(), decoded),
                (_, Some(decoded)) => {
                    let decoded = decoded?;
                    (decoded.digest.ok_or_else(stopped)?, Some(Ok(decoded)))
                }
                // Only who cannot hash it ends before the last message.
                (_, None) => return Err(self.layer_error.take().unwrap_or_else(stopped)),
            };
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
        let layer = match decoded.transpose()? {
            None => None,
            Some(Decoded { compression, parsed, digest: plain }) => {
                let (diff_id, name) = (DiffId(plain.unwrap_or(digest)), self.intake.name());
                Some(Parsed { compression, diff_id, parser: parsed?, name })
            }
        };
        Ok(Outcome { digest, size_bytes: self.count, layer })
    }
}

fn stopped() -> Error {
    Error::Source(io::Error::other("the layer was not read to its end"))
}
