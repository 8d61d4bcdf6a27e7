//! Bytes on their way in.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::mpsc,
    thread,
};

use varve_fs::{backend::forget_cached, compression::Compression, durable};
use varve_types::{Descriptor, DiffId, Digest, media_type};

use crate::{
    Error, LayerRecord, Lease, Result, Store,
    arrival::{self, Arrival},
    error::cannot,
    layers::{Built, check_diff_id, forget_tar, link},
    lease::Pin,
    pipeline::{self, CHUNK_SIZE_BYTES, Intake, Outcome, Progress, Promise, Unpack, Unpacked},
    store::BLOB_MODE,
};

/// From this size on a blob is not unpacked again to learn which layer it holds.
const LARGE_SIZE_BYTES: u64 = 1 << 20;

/// A layer to take in.
#[derive(Debug, Clone, Default)]
pub struct LayerRequest {
    /// Digest and size of the bytes that will come, when known. Only such an ingest can be resumed.
    pub descriptor: Option<Descriptor>,
    /// The diff ID that the config lists, when known; checked before anything is published.
    pub diff_id: Option<DiffId>,
    /// What becomes the blob.
    pub keep: Keep,
}

/// Which bytes become the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Those that came: what was pulled or loaded is pushed and saved bit for bit.
    #[default]
    AsReceived,
    /// The plain tar, whatever the source was compressed with (`import`).
    Uncompressed,
}

/// A layer that is in the store: blob and layer record, both pinned under the lease.
#[derive(Debug, Clone)]
pub struct StoredLayer {
    /// The blob: its digest and size, with the OCI layer media type for its compression.
    pub blob: Descriptor,
    /// How the blob is compressed.
    pub compression: Compression,
    /// The indexed layer.
    pub record: LayerRecord,
}

/// A layer being taken in. Holds the ingest's lock: another process that wants the same blob
/// waits in [`Store::ingest_layer`] and then finds it present.
#[derive(Debug)]
pub struct LayerIngest {
    store: Store,
    lease: Lease,
    request: LayerRequest,
    /// `None` once everything is published.
    arrival: Option<Arrival>,
    stored: Option<StoredLayer>,
}

/// What [`Store::ingest_layer`] found.
#[expect(clippy::large_enum_variant, reason = "there is one for each layer, and it is not kept")]
#[derive(Debug)]
pub enum LayerState {
    /// Blob and layer are here already.
    Present(StoredLayer),
    /// Bytes are wanted.
    Wanted(LayerIngest),
}

impl LayerIngest {
    /// How many of the blob's bytes are here already: the source must begin behind them. When that
    /// is all of them, nothing need be fetched, and an empty body completes the layer.
    pub fn resume_from(&self) -> u64 {
        self.arrival.as_ref().map_or(0, Arrival::length_bytes)
    }

    /// Forgets the bytes that are here already (the source cannot continue, or they were damaged).
    pub fn restart(&mut self) -> Result<()> {
        self.arrival.as_mut().map_or(Ok(()), discard)
    }

    /// Takes all of `body`, in one pass: hash, file, inflate, hash, tar, tree, index; then publishes
    /// blob and layer. `body` begins at [`resume_from`](Self::resume_from). When reading `body`
    /// fails ([`crate::Error::Source`]) the bytes that came are kept and synced: `self` may be
    /// asked again, now or by another process. When the bytes are wrong, nothing is kept: after
    /// [`crate::Error::Mismatch`] on a resumed ingest, asking again with the whole body may help.
    pub fn receive(&mut self, body: &mut dyn Read) -> Result<StoredLayer> {
        if let Some(stored) = &self.stored {
            return Ok(stored.clone());
        }
        let mut arrival = match self.arrival.take() {
            Some(arrival) => arrival,
            // An earlier try got as far as publishing, and failed there.
            None => enter(&self.store, &self.request)?,
        };
        arrival.clear_layer()?;
        arrival.make_layer_directory()?;
        let tar = arrival.layer_path().join("layer.tar");
        let as_received = self.request.keep == Keep::AsReceived;
        let unpack = Unpack { tar: &tar, even_if_plain: !as_received };
        let promised = self.request.descriptor.as_ref().map(Promise::of);
        let outcome = match take_in(&mut arrival, as_received, promised, Some(unpack), body) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.arrival = Some(arrival);
                return Err(error);
            }
        };
        let stored = publish_layer(&self.store, &self.lease, &self.request, &arrival, outcome);
        // The file may be a blob by now, so nothing is cut: the directory goes as it is.
        let finished = arrival.finish();
        let stored = stored?;
        finished?;
        self.stored = Some(stored.clone());
        Ok(stored)
    }
}

/// Opens the arrival that a request needs.
fn enter(store: &Store, request: &LayerRequest) -> Result<Arrival> {
    match &request.descriptor {
        Some(descriptor) if request.keep == Keep::AsReceived => enter_blob(store, descriptor),
        _ => Arrival::unnamed(store),
    }
}

/// Opens the arrival of a blob. More bytes than it has cannot be resumed from.
fn enter_blob(store: &Store, descriptor: &Descriptor) -> Result<Arrival> {
    let mut arrival = Arrival::enter(store, &arrival::blob_name(&descriptor.digest))?;
    if arrival.length_bytes() > descriptor.size {
        discard(&mut arrival)?;
    }
    Ok(arrival)
}

impl Promise {
    fn of(descriptor: &Descriptor) -> Self {
        Self { digest: descriptor.digest, size_bytes: descriptor.size }
    }
}

/// Removes all bytes of an arrival.
fn discard(arrival: &mut Arrival) -> Result<()> {
    arrival.clear_layer()?;
    arrival.cut(0)?;
    arrival.note_empty()
}

/// Runs the pipeline; afterwards the arrival holds what may be resumed, or nothing.
fn take_in(
    arrival: &mut Arrival,
    keep: bool,
    promised: Option<Promise>,
    layer: Option<Unpack<'_>>,
    body: &mut dyn Read,
) -> Result<Outcome> {
    let progress = Progress::default();
    let intake = Intake { keep: keep.then_some(&*arrival), promised, layer };
    let result = pipeline::run(&intake, body, &progress);
    let claim = progress.claim();
    let length_bytes = claim.length_bytes.max(arrival.length_bytes());
    match result {
        Ok(outcome) => {
            arrival.grown(length_bytes);
            Ok(outcome)
        }
        Err(error @ Error::Source(_)) => {
            arrival.clear_layer()?;
            if claim.length_bytes > 0 {
                arrival.syncer().sync(claim)?;
            }
            arrival.grown(length_bytes);
            Err(error)
        }
        Err(error) => {
            // The first error is the one to tell.
            let _ = discard(arrival);
            Err(error)
        }
    }
}

/// Takes in a blob of which nothing is known beforehand; returns its digest and size in bytes.
pub(crate) fn take_unnamed(
    store: &Store,
    lease: &Lease,
    body: &mut dyn Read,
) -> Result<(Digest, u64)> {
    let mut arrival = Arrival::unnamed(store)?;
    let outcome = take_in(&mut arrival, true, None, None, body)?;
    seal(&arrival.data_path())?;
    publish_blob(store, lease, &arrival, &outcome.digest, None)?;
    arrival.finish()?;
    Ok((outcome.digest, outcome.size_bytes))
}

/// Gives blob and layer their places.
pub(crate) fn publish_layer(
    store: &Store,
    lease: &Lease,
    request: &LayerRequest,
    arrival: &Arrival,
    outcome: Outcome,
) -> Result<StoredLayer> {
    let Some(layer) = outcome.layer else {
        return Err(Error::Source(io::Error::other("the source is no layer")));
    };
    let (data, tar) = (arrival.data_path(), arrival.layer_path().join("layer.tar"));
    let (compression, digest) = match request.keep {
        Keep::AsReceived => {
            if layer.compression == Compression::None {
                link(&data, &tar)?;
            }
            (layer.compression, outcome.digest)
        }
        Keep::Uncompressed => {
            durable::unlink(&data).map_err(cannot("remove", &data))?;
            link(&tar, &data)?;
            (Compression::None, layer.diff_id.0)
        }
    };
    let finish = || {
        let Unpacked { summary, tree, .. } = layer.finish()?;
        check_diff_id(request.diff_id.as_ref(), &summary)?;
        store.finish_layer(arrival, Built { summary, tree, blob: digest })
    };
    let publish = |record: LayerRecord| {
        publish_blob(store, lease, arrival, &digest, Some(&record)).map(|()| record)
    };
    let record = if outcome.size_bytes <= CHUNK_SIZE_BYTES as u64 {
        seal(&data)?;
        forget_tar(&tar);
        publish(finish()?)?
    } else {
        // The tree and the index are made while the disk is busy with the blob, and the layer gets
        // its place while the memory is let go.
        let (sender, sealed) = mpsc::sync_channel(1);
        let (data, tar) = (&data, File::open(&tar).map_err(cannot("open", &tar))?);
        thread::scope(|scope| {
            scope.spawn(move || {
                // Nobody hears it when there is an error already.
                let _ = sender.send(seal(data));
                let _ = forget_cached(&tar);
            });
            let record = finish()?;
            sealed.recv().expect("the thread sends before it ends")?;
            publish(record)
        })?
    };
    let size = match request.keep {
        Keep::AsReceived => outcome.size_bytes,
        Keep::Uncompressed => record.summary.tar_size_bytes,
    };
    Ok(StoredLayer { blob: layer_descriptor(compression, digest, size), compression, record })
}

/// Makes the arrived bytes fit to be a blob.
pub(crate) fn seal(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(cannot("open", path))?;
    durable::set_mode(&file, BLOB_MODE).map_err(cannot("write", path))?;
    durable::sync(&file).map_err(cannot("sync", path))
}

fn publish_blob(
    store: &Store,
    lease: &Lease,
    arrival: &Arrival,
    digest: &Digest,
    record: Option<&LayerRecord>,
) -> Result<()> {
    let (from, to) = (arrival.data_path(), store.blob_path(digest));
    {
        let publishing = store.publishing()?;
        let layer = record.map(|record| Pin::Layer(record.summary.diff_id));
        let pins: Vec<Pin> = std::iter::once(Pin::Blob(*digest)).chain(layer).collect();
        lease.pin(&publishing, &pins)?;
        durable::rename(&from, &to).map_err(cannot("rename", &from))?;
        if let Some(record) = record {
            store.publish_layer(arrival, record, &publishing)?;
        }
    }
    store.sync_blobs()
}

/// Describes a layer's blob by the media type of the OCI image specification.
pub(crate) fn layer_descriptor(compression: Compression, digest: Digest, size: u64) -> Descriptor {
    let media_type = match compression {
        Compression::None => media_type::OCI_LAYER,
        Compression::Gzip => media_type::OCI_LAYER_GZIP,
        Compression::Zstd => media_type::OCI_LAYER_ZSTD,
        // Not in the specification; spelled as it would be.
        Compression::Bzip2 => "application/vnd.oci.image.layer.v1.tar+bzip2",
        Compression::Xz => "application/vnd.oci.image.layer.v1.tar+xz",
    };
    Descriptor::new(media_type, digest, size)
}

/// A blob that is not a layer being taken in (an artifact's content, for instance).
#[derive(Debug)]
pub struct BlobIngest {
    store: Store,
    lease: Lease,
    descriptor: Descriptor,
    /// `None` once it is published.
    arrival: Option<Arrival>,
}

impl BlobIngest {
    /// Begins to take a blob in, whatever is there.
    pub(crate) fn enter(store: &Store, lease: &Lease, descriptor: &Descriptor) -> Result<Self> {
        let arrival = Some(enter_blob(store, descriptor)?);
        let (store, lease, descriptor) = (store.clone(), lease.clone(), descriptor.clone());
        Ok(Self { store, lease, descriptor, arrival })
    }

    /// How many bytes are here already.
    pub fn resume_from(&self) -> u64 {
        self.arrival.as_ref().map_or(0, Arrival::length_bytes)
    }

    /// Forgets the bytes that are here already.
    pub fn restart(&mut self) -> Result<()> {
        self.arrival.as_mut().map_or(Ok(()), discard)
    }

    /// Takes all of `body` and publishes the blob. Fails and resumes as
    /// [`LayerIngest::receive`] does.
    pub fn receive(&mut self, body: &mut dyn Read) -> Result<Descriptor> {
        let Some(arrival) = &mut self.arrival else { return Ok(self.descriptor.clone()) };
        let promise = Promise::of(&self.descriptor);
        let outcome = take_in(arrival, true, Some(promise), None, body)?;
        seal(&arrival.data_path())?;
        publish_blob(&self.store, &self.lease, arrival, &outcome.digest, None)?;
        if let Some(arrival) = self.arrival.take() {
            arrival.finish()?;
        }
        Ok(self.descriptor.clone())
    }
}

impl Store {
    /// Begins to take a layer in, waiting while another process takes the same one.
    /// Where blob or layer are here already, only what is missing is made (a layer is rebuilt
    /// from its blob without the source).
    pub fn ingest_layer(&self, lease: &Lease, request: LayerRequest) -> Result<LayerState> {
        let wanted = request.descriptor.as_ref().filter(|_| request.keep == Keep::AsReceived);
        // Asked before the blob is tried: one that comes in the meantime is not a damaged one.
        let whole = wanted.map_or(Ok(false), |descriptor| self.is_blob_whole(descriptor))?;
        if let Some(stored) = self.present_layer(lease, &request)? {
            return Ok(LayerState::Present(stored));
        }
        // It has the right size and is of no use: it is replaced.
        let damaged = whole;
        let arrival = enter(self, &request)?;
        if let Some(descriptor) = wanted
            && !damaged
            && self.is_blob_whole(descriptor)?
        {
            // Another process was quicker.
            arrival.finish()?;
            return self.ingest_layer(lease, request);
        }
        let (store, lease) = (self.clone(), lease.clone());
        let arrival = Some(arrival);
        Ok(LayerState::Wanted(LayerIngest { store, lease, request, arrival, stored: None }))
    }

    /// Begins to take in a blob that is not a layer; `None` when it is here already (and now pinned).
    pub fn ingest_blob(
        &self,
        lease: &Lease,
        descriptor: &Descriptor,
    ) -> Result<Option<BlobIngest>> {
        if self.pin_blob(lease, &descriptor.digest)? == Some(descriptor.size) {
            return Ok(None);
        }
        let arrival = enter_blob(self, descriptor)?;
        if self.pin_blob(lease, &descriptor.digest)? == Some(descriptor.size) {
            arrival.finish()?;
            return Ok(None);
        }
        let (store, lease, descriptor) = (self.clone(), lease.clone(), descriptor.clone());
        Ok(Some(BlobIngest { store, lease, descriptor, arrival: Some(arrival) }))
    }

    fn is_blob_whole(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.blob_size(&descriptor.digest)? == Some(descriptor.size))
    }

    /// A layer whose blob is here, pinned; the indexed layer is made when it is not.
    fn present_layer(&self, lease: &Lease, request: &LayerRequest) -> Result<Option<StoredLayer>> {
        let blob = match (&request.descriptor, &request.diff_id) {
            (Some(descriptor), _) if request.keep == Keep::AsReceived => {
                if !self.is_blob_whole(descriptor)? {
                    return Ok(None);
                }
                descriptor.digest
            }
            (_, Some(diff_id)) if request.keep == Keep::Uncompressed => diff_id.0,
            (None, Some(diff_id)) => match self.layer(diff_id)? {
                Some(record) => record.blob,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let Some(size) = self.pin_blob(lease, &blob)? else { return Ok(None) };
        let known = match request.diff_id {
            None if size >= LARGE_SIZE_BYTES => self.layer_of(&blob)?,
            known => known,
        };
        let layer = match known {
            Some(diff_id) => self.pin_layer(lease, &diff_id)?,
            None => None,
        };
        let (compression, record) = match layer {
            Some(record) if record.blob == blob => (self.compression_of(&blob)?, record),
            _ => match self.rebuild_layer(lease, &blob, request.diff_id.as_ref()) {
                // Bytes that are wanted anew.
                Err(Error::Damaged(_) | Error::Size { .. } | Error::BlobNotFound(_)) => {
                    return Ok(None);
                }
                other => other?,
            },
        };
        Ok(Some(StoredLayer {
            blob: layer_descriptor(compression, blob, size),
            compression,
            record,
        }))
    }
}
