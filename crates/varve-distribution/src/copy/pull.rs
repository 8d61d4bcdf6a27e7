//! Registry → store.

use std::{
    collections::HashSet,
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use jiff::Timestamp;
use varve_store::{
    LayerRecord, LayerRequest, Lease, Store, StoredLayer,
    ingest::{LayerIngest, LayerState as IngestState},
};
use varve_types::{
    Ctx, Descriptor, DiffId, Digest, Document, Event, ImageConfig, ImageId, Index, LayerState,
    Manifest, ManifestKind, Platform, limits, media_type,
};

use super::{
    Error, Result,
    select::select,
    workers::{self, Stop, Watched},
};
use crate::client::Remote;

/// Which of an index's platforms to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformChoice {
    /// What suits this platform best.
    Best(Platform),
    /// This one only.
    Only(Platform),
    /// Everything that the index lists; the image of this platform is the one that is named.
    All(Platform),
}

impl PlatformChoice {
    fn platform(&self) -> &Platform {
        match self {
            Self::Best(platform) | Self::Only(platform) | Self::All(platform) => platform,
        }
    }
}

/// An image that is in the store now, pinned under the lease, without a name yet.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// What the name resolved to: the digest of the index, if there is one.
    pub resolved: Digest,
    /// What a row of the image table is to point at.
    pub target: Descriptor,
    /// The index that the image was reached through, stored beside it.
    pub index: Option<Digest>,
    /// The image.
    pub image: ImageId,
    /// Its platform.
    pub platform: Platform,
    /// `created` of its config.
    pub created: Option<Timestamp>,
    /// Docker's SIZE in bytes.
    pub size_bytes: u64,
}

/// Pulls what `name` (a tag or digest) points at, under `lease`. `label` is what the first
/// progress line shows.
pub fn pull(
    store: &Store,
    lease: &Lease,
    remote: &Remote<'_>,
    name: &str,
    label: &str,
    choice: &PlatformChoice,
    ctx: &Ctx<'_>,
) -> Result<Pulled, PullError> {
    let (top, descriptor) = remote.manifest(name).map_err(|e| PullError::before(e.into()))?;
    let path = remote.repository().path().to_owned();
    ctx.progress.event(Event::Pulling { tag: label.to_owned(), path });
    let pull = Pull { store, lease, remote, choice, ctx, listed: AtomicUsize::new(0) };
    let pulled = pull.top(top, &descriptor).map_err(|error| PullError { error, started: true })?;
    ctx.progress.event(Event::Resolved { digest: pulled.resolved });
    Ok(pulled)
}

/// An image of a registry whose layers have not been asked for. What was fetched of it is in the
/// store, pinned under the lease.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What the name resolved to: the digest of the index, if there is one.
    pub digest: Digest,
    /// The image's manifest.
    pub manifest: Document<Manifest>,
    /// Its config.
    pub config: Document<ImageConfig>,
}

/// Finds what image `name` (a tag or digest) points at, and fetches its manifest and config only.
pub fn resolve(
    store: &Store,
    lease: &Lease,
    remote: &Remote<'_>,
    name: &str,
    choice: &PlatformChoice,
    ctx: &Ctx<'_>,
) -> Result<Resolved> {
    let (top, descriptor) = remote.manifest(name)?;
    let pull = Pull { store, lease, remote, choice, ctx, listed: AtomicUsize::new(0) };
    let manifest = match top {
        ManifestKind::Manifest(manifest) => manifest,
        ManifestKind::Index(index) => pull.chosen_manifest(&index, 1)?.0,
    };
    let config = pull.checked_config(&manifest)?;
    store.put_blob(lease, config.bytes())?;
    store.put_blob(lease, manifest.bytes())?;
    Ok(Resolved { digest: descriptor.digest, manifest, config })
}

/// Why a pull failed, and whether it had begun to report.
#[derive(Debug)]
pub struct PullError {
    /// Why.
    pub error: Error,
    /// Whether progress had been reported: Docker words the error differently then.
    pub started: bool,
}

impl PullError {
    fn before(error: Error) -> Self {
        Self { error, started: false }
    }
}

struct Pull<'a> {
    store: &'a Store,
    lease: &'a Lease,
    remote: &'a Remote<'a>,
    choice: &'a PlatformChoice,
    ctx: &'a Ctx<'a>,
    /// How many manifests have been listed so far by the indexes that are pulled whole.
    listed: AtomicUsize,
}

/// One image of those pulled.
struct One {
    target: Descriptor,
    config: Document<ImageConfig>,
    size_bytes: u64,
}

impl Pull<'_> {
    fn top(&self, top: ManifestKind, descriptor: &Descriptor) -> Result<Pulled> {
        let resolved = descriptor.digest;
        match top {
            ManifestKind::Manifest(manifest) => {
                let one = self.image(&manifest, descriptor)?;
                Ok(finish(resolved, one, None, None))
            }
            ManifestKind::Index(index) => match self.choice {
                PlatformChoice::All(platform) => {
                    let one = self.whole_index(&index, platform, 1)?;
                    self.store.put_blob(self.lease, index.bytes())?;
                    let target = Descriptor::new(&descriptor.media_type, resolved, index.size());
                    Ok(finish(resolved, one, None, Some(target)))
                }
                PlatformChoice::Best(_) | PlatformChoice::Only(_) => {
                    let one = self.chosen(&index, 1)?;
                    self.store.put_blob(self.lease, index.bytes())?;
                    Ok(finish(resolved, one, Some(resolved), None))
                }
            },
        }
    }

    /// Pulls the one image of an index that suits.
    fn chosen(&self, index: &Document<Index>, depth: usize) -> Result<One> {
        let (manifest, child) = self.chosen_manifest(index, depth)?;
        self.image(&manifest, &child)
    }

    /// The manifest of the one image of an index that suits, and how the index describes it.
    fn chosen_manifest(
        &self,
        index: &Document<Index>,
        depth: usize,
    ) -> Result<(Document<Manifest>, Descriptor)> {
        check_depth(index, depth)?;
        let platform = self.choice.platform();
        let exact = matches!(self.choice, PlatformChoice::Only(_));
        let child =
            select(index, platform, exact).ok_or_else(|| Error::NoPlatform(platform.clone()))?;
        match self.child(child)? {
            ManifestKind::Manifest(manifest) => Ok((manifest, child.clone())),
            ManifestKind::Index(inner) => self.chosen_manifest(&inner, depth + 1),
        }
    }

    /// Pulls everything that an index lists, and returns the image that suits `platform` best.
    fn whole_index(
        &self,
        index: &Document<Index>,
        platform: &Platform,
        depth: usize,
    ) -> Result<One> {
        check_depth(index, depth)?;
        let listed = index.manifests.len();
        if self.listed.fetch_add(listed, Ordering::Relaxed) + listed > limits::INDEX_MANIFESTS_MAX {
            return Err(Error::TooManyManifests);
        }
        let preferred = select(index, platform, false)
            .or_else(|| index.manifests.iter().find(|child| !child.is_attestation()))
            .map(|child| child.digest);
        let mut best = None;
        let mut seen = HashSet::new();
        for child in &index.manifests {
            if !seen.insert(child.digest) {
                continue;
            }
            let one = match self.child(child)? {
                ManifestKind::Manifest(manifest)
                    if is_image(&manifest) && !child.is_attestation() =>
                {
                    Some(self.image(&manifest, child)?)
                }
                ManifestKind::Manifest(manifest) => {
                    self.artifact(&manifest)?;
                    None
                }
                ManifestKind::Index(inner) => {
                    let one = self.whole_index(&inner, platform, depth + 1)?;
                    self.store.put_blob(self.lease, inner.bytes())?;
                    Some(one)
                }
            };
            if Some(child.digest) == preferred {
                best = one;
            }
        }
        best.ok_or_else(|| Error::NoPlatform(platform.clone()))
    }

    /// Fetches a manifest that an index lists.
    fn child(&self, descriptor: &Descriptor) -> Result<ManifestKind> {
        let (child, found) = self.remote.manifest(&descriptor.digest.to_string())?;
        if found.digest != descriptor.digest {
            return Err(Error::ManifestVerification(descriptor.digest));
        }
        check_size("manifest", descriptor, child.bytes().len() as u64)?;
        Ok(child)
    }

    fn image(&self, manifest: &Document<Manifest>, descriptor: &Descriptor) -> Result<One> {
        let config = self.checked_config(manifest)?;
        let size_bytes = self.layers(manifest, config.diff_ids())?;
        self.store.put_blob(self.lease, config.bytes())?;
        self.store.put_blob(self.lease, manifest.bytes())?;
        let media_type = manifest.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        let mut target = Descriptor::new(media_type, manifest.digest(), manifest.size());
        target.platform.clone_from(&descriptor.platform);
        Ok(One { target, config, size_bytes })
    }

    /// The config of an image that can be worked with.
    fn checked_config(&self, manifest: &Document<Manifest>) -> Result<Document<ImageConfig>> {
        if !is_image(manifest) {
            return Err(Error::NotAnImage(not_an_image(manifest)));
        }
        let config = self.config(&manifest.config)?;
        let (layers, diff_ids) = (&manifest.layers, config.diff_ids());
        if layers.len() != diff_ids.len() {
            let (config, manifest) = (diff_ids.len(), layers.len());
            return Err(Error::LayerCount { config, manifest });
        }
        let explicit = matches!(self.choice, PlatformChoice::Only(_) | PlatformChoice::All(_));
        if config.os == "windows" && !explicit {
            return Err(Error::OperatingSystem(config.os.clone()));
        }
        Ok(config)
    }

    /// Reads the config from the store, or fetches it.
    fn config(&self, descriptor: &Descriptor) -> Result<Document<ImageConfig>> {
        if descriptor.size > limits::CONFIG_SIZE_BYTES_MAX {
            return Err(varve_types::config::ConfigError::TooLarge(descriptor.size).into());
        }
        self.store.pin_blob(self.lease, &descriptor.digest)?;
        let bytes = match self.store.read_blob(&descriptor.digest, limits::CONFIG_SIZE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if is_fetched_anew(&error) => {
                let fetched = fetch_config(self.remote, descriptor);
                match (fetched, self.remote.without_mirrors()) {
                    (Err(_), Some(registry)) => fetch_config(&registry, descriptor)?,
                    (fetched, _) => fetched?,
                }
            }
            Err(error) => return Err(error.into()),
        };
        check_size("config", descriptor, bytes.len() as u64)?;
        Ok(ImageConfig::parse(bytes)?)
    }

    /// Brings all layers in, several at once; returns Docker's SIZE in bytes.
    fn layers(&self, manifest: &Document<Manifest>, diff_ids: &[DiffId]) -> Result<u64> {
        let layers = &manifest.layers;
        let named = self.is_named(manifest.digest())?;
        let mut missing = Vec::new();
        let mut present = HashSet::new();
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            let size = self.store.pin_blob(self.lease, &layer.digest)?;
            let record = self.store.pin_layer(self.lease, diff_id)?;
            // That both are here does not say that they belong together: the record tells of
            // one blob, and what is named has been verified when it was.
            let belongs = |record: LayerRecord| named || record.blob == layer.digest;
            if size == Some(layer.size) && record.is_some_and(belongs) {
                present.insert(layer.digest);
            } else {
                missing.push((layer, *diff_id));
            }
        }
        if !missing.is_empty() {
            self.announce(layers, &present);
        }
        let mut unique = HashSet::new();
        missing.retain(|(layer, diff_id)| unique.insert((layer.digest, *diff_id)));
        workers::run(&missing, |(layer, diff_id), stop| self.layer(layer, *diff_id, stop))?;
        let mut size_bytes = 0;
        for diff_id in diff_ids {
            let record = self.store.pin_layer(self.lease, diff_id)?;
            size_bytes += record
                .ok_or(varve_store::Error::LayerNotFound(*diff_id))?
                .summary
                .content_size_bytes;
        }
        Ok(size_bytes)
    }

    /// Whether a row of the image table is this very manifest.
    fn is_named(&self, manifest: Digest) -> Result<bool> {
        Ok(self.store.names()?.rows.iter().any(|row| row.target.digest == manifest))
    }

    fn announce(&self, layers: &[Descriptor], present: &HashSet<Digest>) {
        let mut wanted = 0;
        for layer in layers {
            if present.contains(&layer.digest) {
                self.layer_event(layer, LayerState::AlreadyExists);
                continue;
            }
            self.layer_event(layer, LayerState::PullingFsLayer);
            wanted += 1;
            if wanted > workers::AT_ONCE_MAX {
                self.layer_event(layer, LayerState::Waiting);
            }
        }
    }

    fn layer(&self, layer: &Descriptor, diff_id: DiffId, stop: &Stop) -> Result<StoredLayer> {
        if layer.size > limits::BLOB_SIZE_BYTES_MAX {
            return Err(Error::Store(varve_store::Error::Limit {
                what: "layer size",
                actual: layer.size,
                limit: limits::BLOB_SIZE_BYTES_MAX,
            }));
        }
        let request = LayerRequest {
            descriptor: Some(layer.clone()),
            diff_id: Some(diff_id),
            ..LayerRequest::default()
        };
        let failed = |error| Error::from_store(error, layer.digest);
        match self.store.ingest_layer(self.lease, request).map_err(failed)? {
            IngestState::Present(stored) => {
                self.layer_event(layer, LayerState::DownloadComplete);
                self.layer_event(layer, LayerState::PullComplete);
                Ok(stored)
            }
            IngestState::Wanted(mut ingest) => {
                let resumed = ingest.resume_from() > 0;
                let mut received = self.receive(self.remote, layer, &mut ingest, stop);
                // Bytes kept from an earlier try may be damaged, or the registry may not be able
                // to continue behind them: begin again, once.
                if let Err(error) = &received
                    && resumed
                    && may_begin_again(error)
                {
                    ingest.restart().map_err(failed)?;
                    received = self.receive(self.remote, layer, &mut ingest, stop);
                }
                match (received, self.remote.without_mirrors()) {
                    // A mirror's word is not the registry's.
                    (Err(error), Some(registry)) if is_the_sources_fault(&error) => {
                        self.receive(&registry, layer, &mut ingest, stop)
                    }
                    (received, _) => received,
                }
            }
        }
    }

    fn receive(
        &self,
        remote: &Remote<'_>,
        layer: &Descriptor,
        ingest: &mut LayerIngest,
        stop: &Stop,
    ) -> Result<StoredLayer> {
        let offset = ingest.resume_from();
        let body = remote.blob(layer, offset)?;
        if offset == layer.size {
            self.layer_event(layer, LayerState::VerifyingChecksum);
        }
        let report = |done_bytes| {
            let total_bytes = layer.size;
            self.layer_event(layer, LayerState::Downloading { done_bytes, total_bytes });
            if done_bytes == total_bytes {
                self.layer_event(layer, LayerState::VerifyingChecksum);
            }
        };
        let mut body = Watched { inner: body, stop, done_bytes: offset, report };
        let received = ingest.receive(&mut body);
        let stored = match received {
            Err(varve_store::Error::Source(_)) if stop.is_set() => return Err(Error::Cancelled),
            other => other.map_err(|error| Error::from_store(error, layer.digest))?,
        };
        self.layer_event(layer, LayerState::DownloadComplete);
        self.layer_event(layer, LayerState::PullComplete);
        Ok(stored)
    }

    /// Brings in the content of a manifest that is not an image (an attestation, for instance).
    fn artifact(&self, manifest: &Document<Manifest>) -> Result<()> {
        for content in std::iter::once(&manifest.config).chain(&manifest.layers) {
            let failed = |error| Error::from_store(error, content.digest);
            if let Some(mut ingest) = self.store.ingest_blob(self.lease, content).map_err(failed)? {
                let mut body = self.remote.blob(content, ingest.resume_from())?;
                ingest.receive(&mut body).map_err(failed)?;
            }
        }
        self.store.put_blob(self.lease, manifest.bytes())?;
        Ok(())
    }

    fn layer_event(&self, layer: &Descriptor, state: LayerState) {
        self.ctx.progress.event(Event::Layer { id: layer.digest.short(), state });
    }
}

fn finish(resolved: Digest, one: One, index: Option<Digest>, whole: Option<Descriptor>) -> Pulled {
    Pulled {
        resolved,
        target: whole.unwrap_or(one.target),
        index,
        image: one.config.image_id(),
        platform: one.config.platform(),
        created: one.config.created,
        size_bytes: one.size_bytes,
    }
}

fn is_image(manifest: &Manifest) -> bool {
    media_type::is_image_config(&manifest.config.media_type)
        && manifest.layers.iter().all(|layer| media_type::is_layer(&layer.media_type))
}

/// The media type that shows why a manifest is not an image.
fn not_an_image(manifest: &Manifest) -> String {
    if !media_type::is_image_config(&manifest.config.media_type) {
        return manifest.config.media_type.clone();
    }
    let odd = manifest.layers.iter().find(|layer| !media_type::is_layer(&layer.media_type));
    odd.map(|layer| layer.media_type.clone()).unwrap_or_default()
}

/// Whether a layer that failed so when it was resumed may do better from its first byte on.
fn may_begin_again(error: &Error) -> bool {
    match error {
        Error::LayerVerification { .. } => true,
        Error::Registry(error) => error.is_about_range(),
        _ => false,
    }
}

/// Whether a document that the store cannot give may come from the registry instead.
fn is_fetched_anew(error: &varve_store::Error) -> bool {
    matches!(error, varve_store::Error::BlobNotFound(_) | varve_store::Error::Damaged(_))
}

/// Whether another source of the same layer may do better.
fn is_the_sources_fault(error: &Error) -> bool {
    matches!(error, Error::LayerVerification { .. } | Error::Registry(_))
}

/// Fetches a config, of which only the digest is verified.
fn fetch_config(remote: &Remote<'_>, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let body = remote.blob(descriptor, 0)?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(body, descriptor.size + 1), &mut bytes).map_err(
        |source| Error::from_store(varve_store::Error::Source(source), descriptor.digest),
    )?;
    if Digest::of(&bytes) != descriptor.digest {
        return Err(Error::ManifestVerification(descriptor.digest));
    }
    Ok(bytes)
}

fn check_depth(index: &Document<Index>, depth: usize) -> Result<()> {
    if depth > limits::INDEX_DEPTH_MAX {
        return Err(Error::Depth { digest: index.digest() });
    }
    Ok(())
}

fn check_size(what: &'static str, descriptor: &Descriptor, actual: u64) -> Result<()> {
    if descriptor.size == actual {
        return Ok(());
    }
    Err(Error::Size { what, digest: descriptor.digest, expected: descriptor.size, actual })
}
