//! `--cache-to`: what the cache has of a build's steps, written elsewhere.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;
use varve_distribution::{
    client::Access,
    copy::{self, PushRequest},
};
use varve_fs::{
    compression::Compressor,
    durable::{self, Pending},
    root::Root,
};
use varve_store::{CacheRecord, Lease};
use varve_types::{
    Ctx, Descriptor, DiffId, Digest, Index, Manifest, ManifestKind, Reference, limits, media_type,
};

use super::{
    super::{CacheCompression, shown::ShownStep},
    CONFIG_TYPE, CacheConfig, CacheLayer, INLINE_MEMBER, Input, LayerAnnotations, NO_PARENT,
    Record, RecordLayer, Step,
};
use crate::{Engine, Error};

const TAG_ANNOTATION: &str = "org.opencontainers.image.ref.name";
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// A cache in the store, pinned, on its way elsewhere.
pub(in super::super) struct CacheImage {
    manifest: Descriptor,
    /// Everything but the manifest.
    blobs: Vec<Descriptor>,
}

impl Engine {
    /// What the cache has of keys, each once, in their order.
    fn records(
        &self,
        ctx: &Ctx<'_>,
        lease: &Lease,
        keys: &[Digest],
    ) -> Result<Vec<CacheRecord>, Error> {
        let mut records: Vec<CacheRecord> = Vec::new();
        for key in keys {
            if records.iter().all(|record| record.key != *key) {
                records.extend(self.store.cached(lease, key, ctx.now())?);
            }
        }
        Ok(records)
    }

    /// Makes a cache of the records of keys.
    pub(in super::super) fn cache_image(
        &self,
        ctx: &Ctx<'_>,
        lease: &Lease,
        keys: &[Digest],
        compression: CacheCompression,
    ) -> Result<CacheImage, Error> {
        let records = self.records(ctx, lease, keys)?;
        let mut places: HashMap<DiffId, usize> = HashMap::new();
        let (mut layers, mut blobs) = (Vec::new(), Vec::new());
        for layer in records.iter().filter_map(|record| record.layer) {
            if places.contains_key(&layer) {
                continue;
            }
            places.insert(layer, layers.len());
            let blob = match compression {
                CacheCompression::Uncompressed => self.store.layer_blob(lease, &layer)?,
                CacheCompression::Gzip => {
                    self.store.compressed_layer(lease, &layer, &Compressor::gzip())?
                }
                CacheCompression::Zstd => {
                    self.store.compressed_layer(lease, &layer, &Compressor::zstd(3))?
                }
            };
            let (media_type, size) = (blob.media_type.clone(), blob.size);
            let annotations = Some(LayerAnnotations { media_type, diff_id: layer, size });
            layers.push(CacheLayer { blob: blob.digest, parent: NO_PARENT, annotations });
            blobs.push(blob);
        }
        let config = CacheConfig { layers, records: listed(&records, &places) };
        let bytes = serde_json::to_vec(&config).map_err(of_json)?;
        let config = Descriptor::of(CONFIG_TYPE, &bytes);
        self.store.put_blob(lease, &bytes)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: config.clone(),
            layers: blobs.clone(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&manifest).map_err(of_json)?;
        self.store.put_blob(lease, &bytes)?;
        blobs.push(config);
        Ok(CacheImage { manifest: Descriptor::of(media_type::OCI_MANIFEST, &bytes), blobs })
    }

    /// Pushes a cache.
    pub(in super::super) fn push_cache(
        &self,
        ctx: &Ctx<'_>,
        lease: &Lease,
        cache: &CacheImage,
        reference: &Reference,
    ) -> Result<(), Error> {
        let client = self.registries.client(ctx);
        let remote = client.repository(reference.repository(), Access::PushPull);
        let tag = reference.tag().unwrap_or(varve_types::reference::DEFAULT_TAG);
        let request = PushRequest { target: &cache.manifest, tag, compress: None, mount_from: &[] };
        copy::push(&self.store, lease, &remote, &request, ctx).map_err(Error::for_push)?;
        Ok(())
    }

    /// Writes a cache into a layout, under a tag; what is there under others stays.
    pub(in super::super) fn write_cache(
        &self,
        cache: &CacheImage,
        directory: &Path,
        tag: &str,
    ) -> Result<(), Error> {
        let cannot = |action: &'static str| {
            let path = directory.display().to_string();
            move |source: io::Error| Error::File { action, path, source }
        };
        let place = directory.join("blobs/sha256");
        durable::create_directories(&place, DIRECTORY_MODE).map_err(cannot("mkdir"))?;
        for blob in cache.blobs.iter().chain([&cache.manifest]) {
            let path = place.join(blob.digest.hex());
            if path.metadata().is_ok_and(|facts| facts.len() == blob.size) {
                continue;
            }
            let mut file = Pending::create(&path, FILE_MODE).map_err(cannot("write"))?;
            let mut reader = self.store.open_blob(&blob.digest)?;
            io::copy(&mut reader, &mut file).map_err(cannot("write"))?;
            file.commit().map_err(cannot("write"))?;
        }
        let mut manifests = others(directory, tag);
        let annotations = BTreeMap::from([(TAG_ANNOTATION.to_owned(), tag.to_owned())]);
        manifests.push(Descriptor { annotations, ..cache.manifest.clone() });
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        };
        let index = serde_json::to_vec(&index).map_err(of_json)?;
        for (name, bytes) in [("oci-layout", LAYOUT), ("index.json", &index)] {
            durable::replace(&directory.join(name), bytes, FILE_MODE).map_err(cannot("write"))?;
        }
        Ok(())
    }

    /// An image's config with the records of keys in it, as far as they are of the image's own
    /// layers.
    pub(in super::super) fn with_inline_cache(
        &self,
        ctx: &Ctx<'_>,
        lease: &Lease,
        config: &[u8],
        (keys, diff_ids): (&[Digest], &[DiffId]),
    ) -> Result<Vec<u8>, Error> {
        let mut records = self.records(ctx, lease, keys)?;
        let places: HashMap<DiffId, usize> =
            diff_ids.iter().enumerate().map(|(place, layer)| (*layer, place)).collect();
        records.retain(|record| record.layer.is_none_or(|layer| places.contains_key(&layer)));
        let layers = (NO_PARENT..).zip(diff_ids);
        let layers =
            layers.map(|(parent, layer)| CacheLayer { blob: layer.0, parent, annotations: None });
        let cache = CacheConfig { layers: layers.collect(), records: listed(&records, &places) };
        let cache = STANDARD.encode(serde_json::to_vec(&cache).map_err(of_json)?);
        // Sorted by name, as docker's builder has the members.
        let mut members: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(config).map_err(of_json)?;
        let cache = serde_json::value::to_raw_value(&cache).map_err(of_json)?;
        members.insert(INLINE_MEMBER.to_owned(), cache);
        serde_json::to_vec(&members).map_err(of_json)
    }
}

/// Shows what is written.
pub(in super::super) fn show(step: &ShownStep<'_>, cache: &CacheImage) {
    if let Some((config, layers)) = cache.blobs.split_last() {
        for layer in layers {
            step.part(&format!("writing layer {}", layer.digest), true);
        }
        step.part(&format!("writing config {}", config.digest), true);
    }
    step.part(&format!("writing cache image manifest {}", cache.manifest.digest), true);
}

/// Records in the form of a cache; `places` tells where layers are among the cache's.
fn listed(records: &[CacheRecord], places: &HashMap<DiffId, usize>) -> Vec<Record> {
    let links: HashMap<Digest, usize> =
        records.iter().enumerate().map(|(place, record)| (record.key, place)).collect();
    let record = |record: &CacheRecord| Record {
        digest: record.key,
        layers: record
            .layer
            .and_then(|layer| places.get(&layer))
            .map(|layer| RecordLayer { layer: *layer, created: Some(record.created) })
            .into_iter()
            .collect(),
        inputs: record
            .parents
            .iter()
            .filter_map(|parent| links.get(parent))
            .map(|link| vec![Input { link: *link }])
            .collect(),
        step: Some(Step { description: record.description.clone(), content: record.content }),
    };
    records.iter().map(record).collect()
}

/// What a layout has under other tags; nothing where there is none that can be read.
fn others(directory: &Path, tag: &str) -> Vec<Descriptor> {
    let read = || -> io::Result<Vec<u8>> {
        let file = Root::open(directory)?.open_file(Path::new("index.json"))?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(
            &mut io::Read::take(file, limits::MANIFEST_SIZE_BYTES_MAX),
            &mut bytes,
        )?;
        Ok(bytes)
    };
    let index = read().ok().and_then(|it| ManifestKind::parse(it, media_type::OCI_INDEX).ok());
    let Some(ManifestKind::Index(index)) = index else { return Vec::new() };
    let is_other = |it: &&Descriptor| it.annotation(TAG_ANNOTATION) != Some(tag);
    index.manifests.iter().filter(is_other).cloned().collect()
}

fn of_json(error: serde_json::Error) -> Error {
    Error::Output(error.into())
}
