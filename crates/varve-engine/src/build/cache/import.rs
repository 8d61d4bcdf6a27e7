//! `--cache-from`: records of caches elsewhere, whose layers are fetched when a step wants them.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::value::RawValue;
use varve_build::solve::{BuildEvent, Fault, StepId};
use varve_distribution::{
    client::{Access, Client},
    copy::{self, PlatformChoice},
};
use varve_fs::{compression::decode, root::Root};
use varve_store::{CacheKind, CacheRecord, Lease};
use varve_types::{
    Descriptor, DiffId, Digest, ManifestKind, Platform, Reference, limits, media_type,
};

use super::{
    super::{CacheImport, bases::resolve_text, remote::Remotes, shown::ShownStep},
    CONFIG_TYPE, CacheConfig, INLINE_MEMBER,
};
use crate::{Engine, Error};

const TAG_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// The caches that one build looks into.
pub(in super::super) struct Imports<'a> {
    remotes: &'a Remotes<'a>,
    caches: Vec<Imported>,
}

/// A cache that was found.
struct Imported {
    place: Place,
    records: HashMap<Digest, Known>,
    /// The step under which it was read.
    id: StepId,
}

/// Where the layers of a cache are.
enum Place {
    Registry(Box<Client>, Reference),
    Directory(PathBuf),
}

/// What a cache says of a key.
#[derive(Debug, Clone)]
struct Known {
    layer: Option<(Descriptor, DiffId)>,
    content: Option<Digest>,
    description: String,
    created: Option<Timestamp>,
    parents: Vec<Digest>,
}

impl<'a> Imports<'a> {
    /// Reads the records of caches. One that cannot be read is told of and left out.
    pub(in super::super) fn read(
        remotes: &'a Remotes<'a>,
        show: impl Fn(String) -> ShownStep<'a>,
        wanted: &[CacheImport],
    ) -> Self {
        let mut caches = Vec::new();
        for import in wanted {
            let step = show(match import {
                CacheImport::Registry(reference) => {
                    format!("importing cache manifest from {}", reference.familiar())
                }
                CacheImport::Local { directory, .. } => {
                    format!("importing cache manifest from local:{}", directory.display())
                }
            });
            let id = step.id();
            let read = match import {
                CacheImport::Registry(reference) => of_registry(remotes, reference),
                CacheImport::Local { directory, tag } => of_directory(directory, tag),
            };
            let told = read.map_err(|error| match import {
                CacheImport::Registry(reference) => {
                    let text = resolve_text(&error, reference);
                    format!("failed to configure registry cache importer: {text}")
                }
                CacheImport::Local { .. } => error.to_string(),
            });
            if let Ok((place, records)) = step.ending(told) {
                caches.push(Imported { place, records, id });
            }
        }
        Self { remotes, caches }
    }

    /// Brings in what a cache has of a key. One whose layer cannot be had has nothing.
    pub(in super::super) fn import(&self, key: &Digest, lease: &Lease) -> Result<bool, Fault> {
        for cache in &self.caches {
            let Some(known) = cache.records.get(key) else { continue };
            let engine = self.remotes.engine;
            match cache.bring(engine, lease, known) {
                Ok(()) => {
                    self.remember(key, known, lease)?;
                    return Ok(true);
                }
                Err(error) => {
                    let text = format!("a layer of the cache cannot be had: {error}");
                    self.remotes.watch.event(&BuildEvent::Warning { id: cache.id, text: &text });
                }
            }
        }
        Ok(false)
    }

    fn remember(&self, key: &Digest, known: &Known, lease: &Lease) -> Result<(), Fault> {
        let created = known.created.unwrap_or_else(|| self.remotes.ctx.now());
        let kind = match known.layer {
            Some(_) => CacheKind::Regular,
            None => CacheKind::Internal,
        };
        let mut record = CacheRecord::new(*key, kind, known.description.as_str(), created);
        record.layer = known.layer.as_ref().map(|(_, diff_id)| *diff_id);
        record.content = known.content;
        record.parents.clone_from(&known.parents);
        let remembered = self.remotes.engine.store.remember(lease, &record, None);
        remembered.map(drop).map_err(|error| Fault::new(error.kind(), error))
    }
}

impl Imported {
    /// Brings in the layer of a record, verified by its diff ID.
    fn bring(&self, engine: &Engine, lease: &Lease, known: &Known) -> Result<(), Error> {
        let Some((blob, diff_id)) = &known.layer else { return Ok(()) };
        let store = &engine.store;
        if store.pin_layer(lease, diff_id)?.is_some() {
            return Ok(());
        }
        let remote;
        let reader: Box<dyn Read + Send + '_> = match &self.place {
            Place::Registry(client, reference) => {
                remote = client.repository(reference.repository(), Access::Pull);
                remote.blob(blob, 0)?
            }
            Place::Directory(directory) => Box::new(open_blob(directory, &blob.digest)?),
        };
        let source = |error: io::Error| Error::from(varve_store::Error::Source(error));
        let (_, mut plain) = decode(BufReader::new(reader)).map_err(source)?;
        let (record, ()) = store
            .write_cache_layer(lease, |out| io::copy(&mut plain, out).map(drop).map_err(source))?;
        if record.summary.diff_id == *diff_id {
            return Ok(());
        }
        let actual = record.summary.diff_id;
        Err(varve_store::Error::DiffId { expected: *diff_id, actual }.into())
    }
}

/// Where a cache is, and what it has.
type Found = Result<(Place, HashMap<Digest, Known>), Error>;

/// A cache of its own, or that of an image.
fn of_registry(remotes: &Remotes<'_>, reference: &Reference) -> Found {
    let engine = remotes.engine;
    let client = engine.registries.client(remotes.ctx);
    let reference = reference.clone().or_latest();
    let records = {
        let remote = client.repository(reference.repository(), Access::Pull);
        let name = reference.manifest_name();
        let (manifest, _) =
            remote.manifest(&name).map_err(copy::Error::from).map_err(Error::Transfer)?;
        match manifest {
            ManifestKind::Manifest(manifest) if manifest.config.media_type == CONFIG_TYPE => {
                let body = remote.blob(&manifest.config, 0)?;
                of_config(&verified(body, &manifest.config)?, &manifest.layers)?
            }
            _ => {
                let choice = PlatformChoice::Best(Platform::host());
                let (store, lease) = (&engine.store, remotes.lease);
                let found = copy::resolve(store, lease, &remote, &name, &choice, remotes.ctx);
                let found = found.map_err(Error::Transfer)?;
                let layers = found.manifest.layers.iter().cloned();
                let layers = layers.zip(found.config.diff_ids().iter().copied()).collect();
                of_image(found.config.bytes(), layers)?
            }
        }
    };
    Ok((Place::Registry(Box::new(client), reference), records))
}

fn of_directory(directory: &Path, tag: &str) -> Found {
    let source = |error: io::Error| Error::from(varve_store::Error::Source(error));
    let file = Root::open(directory).and_then(|root| root.open_file(Path::new("index.json")));
    let limit = limits::MANIFEST_SIZE_BYTES_MAX;
    let bytes = file.and_then(|file| read_all(file, limit)).map_err(source)?;
    let parsed = ManifestKind::parse(bytes, media_type::OCI_INDEX).map_err(invalid)?;
    let ManifestKind::Index(index) = parsed else {
        return Err(invalid("index.json is no index"));
    };
    let fits = |it: &&Descriptor| it.annotation(TAG_ANNOTATION) == Some(tag);
    let target = index.manifests.iter().find(fits);
    let target = target.ok_or_else(|| invalid(format!("there is no cache with tag {tag}")))?;
    let manifest = verified(open_blob(directory, &target.digest)?, target)?;
    let parsed = ManifestKind::parse(manifest, &target.media_type).map_err(invalid)?;
    let ManifestKind::Manifest(manifest) = parsed else {
        return Err(invalid("the manifest is that of no cache"));
    };
    if manifest.config.media_type != CONFIG_TYPE {
        return Err(invalid("the manifest is that of no cache"));
    }
    let config = verified(open_blob(directory, &manifest.config.digest)?, &manifest.config)?;
    let records = of_config(&config, &manifest.layers)?;
    Ok((Place::Directory(directory.to_owned()), records))
}

/// The records of a cache of its own.
fn of_config(config: &[u8], blobs: &[Descriptor]) -> Result<HashMap<Digest, Known>, Error> {
    let config: CacheConfig = serde_json::from_slice(config).map_err(invalid)?;
    let layer = |at: usize| {
        let layer = config.layers.get(at)?;
        let blob = blobs.iter().find(|blob| blob.digest == layer.blob)?;
        Some((blob.clone(), layer.annotations.as_ref()?.diff_id))
    };
    Ok(known(&config, layer))
}

/// The records in an image's config; none where it has no cache.
fn of_image(
    config: &[u8],
    layers: Vec<(Descriptor, DiffId)>,
) -> Result<HashMap<Digest, Known>, Error> {
    let members: HashMap<String, &RawValue> = serde_json::from_slice(config).map_err(invalid)?;
    let Some(cache) = members.get(INLINE_MEMBER) else { return Ok(HashMap::new()) };
    let cache: String = serde_json::from_str(cache.get()).map_err(invalid)?;
    let cache = STANDARD.decode(cache).map_err(invalid)?;
    let cache: CacheConfig = serde_json::from_slice(&cache).map_err(invalid)?;
    Ok(known(&cache, |at| {
        let layer = layers.get(at)?;
        (cache.layers.get(at)?.blob == layer.1.0).then(|| layer.clone())
    }))
}

/// What varve can use of records: those with exactly one layer that is there, or with a content.
fn known(
    config: &CacheConfig,
    layer: impl Fn(usize) -> Option<(Descriptor, DiffId)>,
) -> HashMap<Digest, Known> {
    let mut all = HashMap::new();
    for record in &config.records {
        let Some(step) = &record.step else { continue };
        let created = record.layers.first().and_then(|layer| layer.created);
        let found = match record.layers.as_slice() {
            [] if step.content.is_some() => None,
            [only] => match layer(only.layer) {
                Some(layer) => Some(layer),
                None => continue,
            },
            _ => continue,
        };
        let parents = record.inputs.iter().flatten();
        let parents = parents.filter_map(|input| config.records.get(input.link));
        let known = Known {
            layer: found,
            content: step.content,
            description: step.description.clone(),
            created,
            parents: parents.map(|parent| parent.digest).collect(),
        };
        all.insert(record.digest, known);
    }
    all
}

fn open_blob(directory: &Path, digest: &Digest) -> Result<File, Error> {
    let path = Path::new("blobs/sha256").join(digest.hex());
    let file = Root::open(directory).and_then(|root| root.open_file(&path));
    file.map_err(|error| varve_store::Error::Source(error).into())
}

/// The bytes that a descriptor promises.
fn verified(reader: impl Read, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
    let limit = limits::CONFIG_SIZE_BYTES_MAX;
    let bytes = read_all(reader, limit).map_err(varve_store::Error::Source)?;
    if Digest::of(&bytes) == descriptor.digest {
        return Ok(bytes);
    }
    Err(invalid(format!("{} is not what it should be, or too large", descriptor.digest)))
}

fn read_all(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    varve_store::Error::Source(io::Error::new(io::ErrorKind::InvalidData, error)).into()
}
