//! Layers that are made here: what a build's step or a container left, written as a tar by whoever
//! knows how, and hashed, indexed and stored while it is written.
//!
//! The bytes go by once: into the file that becomes the blob, and into the parser, which hashes
//! them and collects the tree. A layer of more than one chunk is parsed by a second thread, and
//! synced by a third while it grows; a small one, and there are thousands of those, starts none.

use std::{
    io::{self, Write},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, Scope, ScopedJoinHandle},
};

use varve_fs::{
    compression::Compression,
    durable,
    layer::{LayerError, LayerParser},
};
use varve_types::limits;

use crate::{
    Error, LayerRecord, LayerRequest, Lease, Result, Store, StoredLayer,
    arrival::{Arrival, Claim},
    error::cannot,
    ingest::{self, layer_descriptor},
    layers::{Built, forget_tar},
    lease::Pin,
    pipeline::{CHUNK_SIZE_BYTES, Outcome, Parsed, SYNC_SIZE_BYTES, Unpacked, joined, sync_often},
};

/// Chunks that may wait for the parser.
const CHUNKS: usize = 8;

impl Store {
    /// Makes a layer of the tar that `write` writes: blob and layer are then in the store, pinned
    /// under the lease, as if [`ingest_layer`](Self::ingest_layer) had taken that tar in. The blob
    /// is the plain tar. With it comes what `write` returned.
    ///
    /// Nothing is kept when `write` fails, when what it wrote is no sound layer
    /// ([`Error::Layer`]), or when the disk is full. An error of the store is told rather than the
    /// one that `write` made of it.
    pub fn write_layer<T, E: From<Error>>(
        &self,
        lease: &Lease,
        write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<(StoredLayer, T), E> {
        let arrival = Arrival::unnamed(self)?;
        let (outcome, value) = take(&arrival, write)?;
        if let Some(stored) = self.stored_already(lease, &outcome)? {
            arrival.finish()?;
            return Ok((stored, value));
        }
        arrival.make_layer_directory()?;
        let request = LayerRequest::default();
        let stored = ingest::publish_layer(self, lease, &request, &arrival, outcome);
        // The file may be a blob by now, so nothing is cut: the directory goes as it is.
        let finished = arrival.finish();
        let stored = stored?;
        finished?;
        Ok((stored, value))
    }

    /// Like [`write_layer`](Self::write_layer), for what only records of the build cache reach: the
    /// tar lies in the layer's directory and nowhere else, and nothing waits for the disk.
    /// [`layer_blob`](Self::layer_blob) makes a blob of it.
    pub fn write_cache_layer<T, E: From<Error>>(
        &self,
        lease: &Lease,
        write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<(LayerRecord, T), E> {
        let arrival = Arrival::unnamed(self)?;
        let (outcome, value) = take(&arrival, write)?;
        let record = self.keep_layer(lease, &arrival, outcome);
        let finished = arrival.finish();
        let record = record?;
        finished?;
        Ok((record, value))
    }

    fn keep_layer(
        &self,
        lease: &Lease,
        arrival: &Arrival,
        outcome: Outcome,
    ) -> Result<LayerRecord> {
        let Some(layer) = outcome.layer else {
            return Err(Error::Source(io::Error::other("the source is no layer")));
        };
        let Unpacked { summary, tree, .. } = layer.finish()?;
        if self.is_layer_whole(lease, &summary.diff_id)?
            && let Some(record) = self.pin_layer(lease, &summary.diff_id)?
        {
            return Ok(record);
        }
        arrival.make_layer_directory()?;
        let (data, tar) = (arrival.data_path(), arrival.layer_path().join("layer.tar"));
        durable::rename(&data, &tar).map_err(cannot("rename", &data))?;
        let blob = summary.diff_id.0;
        let record = self.finish_layer(arrival, Built { summary, tree, blob })?;
        {
            let publishing = self.publishing()?;
            lease.pin(&publishing, &[Pin::Layer(record.summary.diff_id)])?;
            self.publish_layer(arrival, &record, &publishing)?;
        }
        forget_tar(&self.layer_path(&record.summary.diff_id).join("layer.tar"));
        Ok(record)
    }

    /// The same layer, if it is here with the same tar as its blob. It is then pinned.
    fn stored_already(&self, lease: &Lease, outcome: &Outcome) -> Result<Option<StoredLayer>> {
        let Some(made) = &outcome.layer else { return Ok(None) };
        if self.pin_blob(lease, &outcome.digest)? != Some(outcome.size_bytes) {
            return Ok(None);
        }
        let record = self.pin_layer(lease, &made.diff_id)?;
        Ok(record.filter(|record| record.blob == outcome.digest).map(|record| StoredLayer {
            blob: layer_descriptor(Compression::None, outcome.digest, outcome.size_bytes),
            compression: Compression::None,
            record,
        }))
    }
}

/// Has a tar written into an arrival.
fn take<T, E: From<Error>>(
    arrival: &Arrival,
    write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<(Outcome, T), E> {
    let length_bytes = AtomicU64::new(0);
    thread::scope(|scope| {
        let mut sink = Sink::new(scope, arrival, &length_bytes);
        let written = write(&mut sink);
        if let Some(failure) = sink.failure.take() {
            return Err(failure.into());
        }
        let value = written?;
        Ok((sink.finish()?, value))
    })
}

/// Where the tar is written.
struct Sink<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    arrival: &'env Arrival,
    /// Bytes in the file.
    length_bytes: &'env AtomicU64,
    /// Bytes that are not in the file yet; fewer than a chunk.
    chunk: Vec<u8>,
    since_sync: u64,
    /// Once there is more than one chunk.
    threads: Option<Threads<'scope>>,
    /// The first thing that went wrong. Nothing is written after it.
    failure: Option<Error>,
}

struct Threads<'scope> {
    chunks: SyncSender<Vec<u8>>,
    parsing: ScopedJoinHandle<'scope, Result<LayerParser, LayerError>>,
    wake: SyncSender<()>,
    syncing: ScopedJoinHandle<'scope, Result<()>>,
}

impl<'scope, 'env> Sink<'scope, 'env> {
    fn new(
        scope: &'scope Scope<'scope, 'env>,
        arrival: &'env Arrival,
        length_bytes: &'env AtomicU64,
    ) -> Self {
        let chunk = Vec::new();
        Self { scope, arrival, length_bytes, chunk, since_sync: 0, threads: None, failure: None }
    }

    /// Passes the chunk on, which is full.
    fn pass(&mut self) -> Result<()> {
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_SIZE_BYTES));
        self.keep(&chunk)?;
        let threads = match &mut self.threads {
            Some(threads) => threads,
            none => none.insert(Threads::start(self.scope, self.arrival, self.length_bytes)),
        };
        self.since_sync += chunk.len() as u64;
        if self.since_sync >= SYNC_SIZE_BYTES {
            self.since_sync = 0;
            // A full channel means that it is about to sync anyway.
            let _ = threads.wake.try_send(());
        }
        if threads.chunks.send(chunk).is_ok() {
            return Ok(());
        }
        // The parser has given up: no more can come of the bytes.
        self.parsed(&[])?.finish().map(|_| ())
    }

    fn keep(&self, chunk: &[u8]) -> Result<()> {
        let position = self.length_bytes.load(Ordering::Relaxed);
        let size_bytes = position + chunk.len() as u64;
        if size_bytes > limits::LAYER_INFLATED_SIZE_BYTES_MAX {
            let (actual, limit) = (size_bytes, limits::LAYER_INFLATED_SIZE_BYTES_MAX);
            return Err(Error::Limit { what: "layer size", actual, limit });
        }
        durable::write_all_at(self.arrival.data(), chunk, position)
            .map_err(cannot("write", &self.arrival.data_path()))?;
        self.length_bytes.store(size_bytes, Ordering::Release);
        Ok(())
    }

    /// What the parser makes of all bytes, of which these are the last.
    fn parsed(&mut self, last: &[u8]) -> Result<Parsed> {
        let parser = match self.threads.take() {
            None => Ok(LayerParser::new()),
            Some(threads) => threads.end()?,
        };
        let name = "being made".to_owned();
        match parser.and_then(|mut parser| parser.update(last).map(|()| parser)) {
            Ok(parser) => {
                let (diff_id, parser) = parser.hashed();
                Ok(Parsed { compression: Compression::None, diff_id, parser, name })
            }
            Err(source) => Err(Error::Layer { digest: name, source }),
        }
    }

    fn finish(mut self) -> Result<Outcome> {
        let last = std::mem::take(&mut self.chunk);
        self.keep(&last)?;
        let layer = self.parsed(&last)?;
        let size_bytes = self.length_bytes.load(Ordering::Relaxed);
        Ok(Outcome { digest: layer.diff_id.0, size_bytes, layer: Some(layer) })
    }
}

impl Write for Sink<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other("the layer cannot be stored"));
        }
        let count = bytes.len().min(CHUNK_SIZE_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK_SIZE_BYTES
            && let Err(failure) = self.pass()
        {
            self.failure = Some(failure);
            return Err(io::Error::other("the layer cannot be stored"));
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'scope> Threads<'scope> {
    fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        arrival: &'env Arrival,
        length_bytes: &'env AtomicU64,
    ) -> Self {
        let (chunks, receiver) = mpsc::sync_channel(CHUNKS);
        let (wake, woken) = mpsc::sync_channel(1);
        let syncer = arrival.syncer();
        // Nobody resumes it, so nobody asks what the bytes hash to.
        let written =
            || Claim { length_bytes: length_bytes.load(Ordering::Acquire), ..Claim::nothing() };
        Self {
            chunks,
            parsing: scope.spawn(move || parse(&receiver)),
            wake,
            syncing: scope.spawn(move || sync_often(syncer, &woken, written)),
        }
    }

    fn end(self) -> Result<Result<LayerParser, LayerError>> {
        drop((self.chunks, self.wake));
        let parsed = joined(self.parsing);
        joined(self.syncing).map(|()| parsed)
    }
}

fn parse(chunks: &Receiver<Vec<u8>>) -> Result<LayerParser, LayerError> {
    let mut parser = LayerParser::new();
    for chunk in chunks {
        parser.update(&chunk)?;
    }
    Ok(parser)
}
