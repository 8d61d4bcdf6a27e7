//! Layers, images and stores made to order.

use std::{io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;
use varve_store::{Error, LayerRequest, LayerState, Lease, Options, Row, Store, StoredLayer};
use varve_types::{Descriptor, DiffId, Digest, ImageId, Reference, media_type};

/// A store in a directory that goes with it.
pub(crate) struct TempStore {
    _directory: TempDir,
    pub(crate) store: Store,
}

impl std::ops::Deref for TempStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TempStore {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory.path().join("store"));
        Self { _directory: directory, store }
    }

    /// Where there is a file system in memory, a store in it: for tests that sync very often.
    pub(crate) fn in_memory() -> Self {
        let Ok(directory) = tempfile::tempdir_in("/dev/shm") else { return Self::new() };
        let store = open(&directory.path().join("store"));
        Self { _directory: directory, store }
    }

    /// What another process sees.
    pub(crate) fn again(&self) -> Store {
        open(self.store.root())
    }
}

/// Opens the store in a directory, with a run directory beside it: who tests need not be root.
pub(crate) fn open(root: &Path) -> Store {
    let mut run = root.as_os_str().to_owned();
    run.push(".run");
    Store::open_with(root, Options { run: Some(run.into()), ..Options::default() }).unwrap()
}

/// A tar of one file with `content`.
pub(crate) fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that do not compress and are the same on every run.
pub(crate) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A layer as it comes from a registry.
pub(crate) struct Layer {
    pub(crate) diff_id: DiffId,
    pub(crate) tar: Vec<u8>,
    pub(crate) blob: Vec<u8>,
    pub(crate) descriptor: Descriptor,
}

impl Layer {
    pub(crate) fn gzipped(content: &[u8]) -> Self {
        Self::gzipped_tar(tar("file", content))
    }

    pub(crate) fn plain(content: &[u8]) -> Self {
        Self::plain_tar(tar("file", content))
    }

    pub(crate) fn gzipped_tar(tar: Vec<u8>) -> Self {
        let blob = gzip(&tar);
        let descriptor = Descriptor::of(media_type::OCI_LAYER_GZIP, &blob);
        Self { diff_id: DiffId(Digest::of(&tar)), tar, blob, descriptor }
    }

    pub(crate) fn plain_tar(tar: Vec<u8>) -> Self {
        let descriptor = Descriptor::of(media_type::OCI_LAYER, &tar);
        Self { diff_id: DiffId(Digest::of(&tar)), blob: tar.clone(), tar, descriptor }
    }

    pub(crate) fn request(&self) -> LayerRequest {
        LayerRequest {
            descriptor: Some(self.descriptor.clone()),
            diff_id: Some(self.diff_id),
            ..LayerRequest::default()
        }
    }

    pub(crate) fn store(&self, store: &Store, lease: &Lease) -> StoredLayer {
        self.try_store(store, lease).unwrap()
    }

    pub(crate) fn try_store(&self, store: &Store, lease: &Lease) -> Result<StoredLayer, Error> {
        match store.ingest_layer(lease, self.request())? {
            LayerState::Present(stored) => Ok(stored),
            LayerState::Wanted(mut ingest) => {
                let from = ingest.resume_from() as usize;
                ingest.receive(&mut &self.blob[from..])
            }
        }
    }
}

/// An image in a store, not in its table yet.
pub(crate) struct Image {
    pub(crate) row: Row,
    pub(crate) config: Digest,
}

impl Image {
    pub(crate) fn store(store: &Store, lease: &Lease, layers: &[Layer]) -> Self {
        Self::try_store(store, lease, layers).unwrap()
    }

    pub(crate) fn try_store(store: &Store, lease: &Lease, layers: &[Layer]) -> Result<Self, Error> {
        let diff_ids: Vec<String> =
            layers.iter().map(|layer| format!("\"{}\"", layer.diff_id)).collect();
        let config = format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2026-01-01T00:00:00Z\",\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}}}}",
            diff_ids.join(",")
        );
        let config_digest = store.put_blob(lease, config.as_bytes())?;
        let stored = layers.iter().map(|layer| Ok(layer.try_store(store, lease)?.blob));
        let descriptors = stored.collect::<Result<Vec<Descriptor>, Error>>()?;
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": Descriptor::of(media_type::OCI_CONFIG, config.as_bytes()),
            "layers": descriptors,
        })
        .to_string();
        store.put_blob(lease, manifest.as_bytes())?;
        let target = Descriptor::of(media_type::OCI_MANIFEST, manifest.as_bytes());
        let mut row = Row::new(target, ImageId(config_digest));
        row.size_bytes = layers.iter().map(|layer| layer.tar.len() as u64).sum();
        Ok(Self { row, config: config_digest })
    }

    pub(crate) fn named(&self, name: &str) -> Row {
        Row { reference: Some(reference(name)), ..self.row.clone() }
    }
}

pub(crate) fn reference(name: &str) -> Reference {
    name.parse().unwrap()
}

/// Puts an image of these layers into the store under a name.
pub(crate) fn add(store: &Store, name: &str, layers: &[Layer]) -> Image {
    let lease = store.lease().unwrap();
    let image = Image::store(store, &lease, layers);
    store.update_names(|names| Ok::<_, varve_store::Error>(names.put(image.named(name)))).unwrap();
    image
}

/// Takes a name away and sweeps.
pub(crate) fn remove(store: &Store, name: &str) -> varve_store::Swept {
    let name = reference(name);
    store.remove_names(|names| Ok::<_, varve_store::Error>(names.take(&name))).unwrap().1
}

/// All files below a directory, as paths relative to it.
pub(crate) fn files(root: &Path) -> Vec<String> {
    fn walk(root: &Path, at: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

/// The text of a record without its sum, to be changed: what has none is read as it is.
pub(crate) fn unsealed(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line: &str| match line.split_once(",\"sum\":\"") {
        Some((object, _)) => format!("{object}}}\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Makes an indexed layer as a varve left it that wrote no indexes.
pub(crate) fn take_index_away(store: &Store, diff_id: &DiffId) {
    let directory = store.root().join("varve/layers").join(diff_id.0.hex());
    let record = unsealed(&directory.join("record.json"));
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record.as_object_mut().unwrap().remove("index");
    std::fs::write(directory.join(".older"), record.to_string()).unwrap();
    std::fs::rename(directory.join(".older"), directory.join("record.json")).unwrap();
    let _ = std::fs::remove_file(directory.join("index.erofs"));
}
