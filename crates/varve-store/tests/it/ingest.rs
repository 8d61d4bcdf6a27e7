//! Bytes on their way in.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
};

use varve_fs::compression::Compression;
use varve_store::{Error, Keep, LayerIngest, LayerRequest, LayerState, Lease, Store};
use varve_types::{Digest, Kind};

use crate::made::{Layer, TempStore, files, gzip, noise, tar};

fn wanted(store: &Store, lease: &Lease, request: LayerRequest) -> LayerIngest {
    match store.ingest_layer(lease, request).unwrap() {
        LayerState::Wanted(ingest) => ingest,
        LayerState::Present(stored) => panic!("present already: {stored:?}"),
    }
}

/// Gives some bytes and then fails, as a broken connection does.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            count => Ok(count),
        }
    }
}

fn is_clean(store: &Store) -> bool {
    !files(store.root()).iter().any(|path| {
        ["varve/ingest", "varve/layers", "varve/trash", "blobs"].iter().any(|d| path.starts_with(d))
    })
}

#[test]
fn a_gzipped_layer_becomes_blob_tar_and_record() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(300_000, 1)));
    let lease = store.lease().unwrap();
    let stored = layer.store(&store, &lease);
    assert_eq!(stored.blob, layer.descriptor);
    assert_eq!(stored.compression, Compression::Gzip);
    assert_eq!(stored.record.summary.diff_id, layer.diff_id);
    assert_eq!(stored.record.summary.content_size_bytes, 300_000);
    let mut bytes = Vec::new();
    store.again().open_layer_tar(&layer.diff_id).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, layer.tar);
    let blob = store.read_blob(&layer.descriptor.digest, 1 << 20).unwrap();
    assert_eq!(blob, layer.blob);
    assert!(!files(store.root()).iter().any(|path| path.starts_with("varve/ingest")));
}

#[test]
fn a_plain_layer_is_written_once_and_linked() {
    let (store, layer) = (TempStore::new(), Layer::plain(b"plain"));
    let lease = store.lease().unwrap();
    let stored = layer.store(&store, &lease);
    assert_eq!(stored.compression, Compression::None);
    let hex = layer.descriptor.digest.hex();
    let blob = fs::metadata(store.root().join("blobs/sha256").join(&hex)).unwrap();
    let tar = fs::metadata(store.root().join("varve/layers").join(&hex).join("layer.tar")).unwrap();
    assert_eq!(blob.ino(), tar.ino());
    assert_eq!(blob.mode() & 0o777, 0o444);
}

#[test]
fn an_import_keeps_the_plain_tar_only() {
    let store = TempStore::new();
    let lease = store.lease().unwrap();
    let plain = tar("a", b"imported");
    for source in [gzip(&plain), plain.clone()] {
        let request = LayerRequest { keep: Keep::Uncompressed, ..LayerRequest::default() };
        let stored = wanted(&store, &lease, request).receive(&mut source.as_slice()).unwrap();
        assert_eq!(stored.blob.digest, Digest::of(&plain));
        assert_eq!(stored.blob.size, plain.len() as u64);
        assert_eq!(stored.compression, Compression::None);
    }
    let blobs = fs::read_dir(store.root().join("blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 1);
}

#[test]
fn a_broken_connection_costs_no_byte_that_came() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(1_000_000, 2)));
    let lease = store.lease().unwrap();
    let mut ingest = wanted(&store, &lease, layer.request());
    let error = ingest.receive(&mut Broken(&layer.blob[..400_000])).unwrap_err();
    assert!(matches!(error, Error::Source(_)), "{error}");
    assert_eq!(ingest.resume_from(), 400_000);
    drop((ingest, lease));

    // Another process goes on, also after somebody removed an image.
    let other = store.again();
    other.sweep().unwrap();
    let lease = other.lease().unwrap();
    let mut ingest = wanted(&other, &lease, layer.request());
    assert_eq!(ingest.resume_from(), 400_000);
    let stored = ingest.receive(&mut &layer.blob[400_000..]).unwrap();
    assert_eq!(stored.blob, layer.descriptor);
}

#[test]
fn after_a_restart_of_the_machine_only_synced_bytes_are_trusted() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(1_000_000, 3)));
    let lease = store.lease().unwrap();
    let mut ingest = wanted(&store, &lease, layer.request());
    ingest.receive(&mut Broken(&layer.blob[..400_000])).unwrap_err();
    drop(ingest);
    let arrival = store.root().join("varve/ingest").join(layer.descriptor.digest.hex());
    let state = format!("00000000-0000-0000-0000-000000000000 {:020}\n", 300_000);
    fs::write(arrival.join("state"), state).unwrap();

    let mut ingest = wanted(&store, &lease, layer.request());
    assert_eq!(ingest.resume_from(), 300_000);
    ingest.receive(&mut &layer.blob[300_000..]).unwrap();
}

#[test]
fn kept_bytes_that_turn_out_damaged_are_discarded_and_a_fresh_start_succeeds() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(1_000_000, 4)));
    let lease = store.lease().unwrap();
    let mut ingest = wanted(&store, &lease, layer.request());
    ingest.receive(&mut Broken(&layer.blob[..400_000])).unwrap_err();
    let hex = layer.descriptor.digest.hex();
    let data = store.root().join("varve/ingest").join(hex).join("data");
    let mut bytes = fs::read(&data).unwrap();
    bytes[300_000] ^= 1;
    fs::write(&data, bytes).unwrap();

    let error = ingest.receive(&mut &layer.blob[400_000..]).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    assert_eq!(ingest.resume_from(), 0);
    ingest.receive(&mut layer.blob.as_slice()).unwrap();
}

/// Refuses `body` for `layer` by an error whose text has `part`, and keeps nothing.
#[track_caller]
fn refused(request: LayerRequest, body: &[u8], part: &str) {
    let store = TempStore::new();
    let lease = store.lease().unwrap();
    let mut ingest = wanted(&store, &lease, request);
    let error = ingest.receive(&mut &*body).unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
    assert!(matches!(error.kind(), Kind::Corrupt | Kind::Exhausted), "{:?}", error.kind());
    drop(ingest);
    assert!(is_clean(&store), "{:?}", files(store.root()));
}

#[test]
fn wrong_bytes_are_refused_by_name_and_leave_no_trace() {
    let layer = Layer::gzipped(&noise(500_000, 5));
    let mut flipped = layer.blob.clone();
    flipped[250_000] ^= 1;
    refused(layer.request(), &flipped, "expected blob");
    refused(layer.request(), &layer.blob[..400_000], "expected");
    refused(layer.request(), &[&*layer.blob, b"more"].concat(), "bytes for blob");

    let mut other = layer.request();
    other.diff_id = Some(varve_types::DiffId(Digest::of(b"other")));
    refused(other, &layer.blob, "expected diff ID");
}

#[test]
fn promised_bytes_that_are_no_layer_are_refused_by_name() {
    let request = |blob: &[u8]| LayerRequest {
        descriptor: Some(varve_types::Descriptor::of("", blob)),
        ..LayerRequest::default()
    };
    let whole = gzip(&tar("a", &noise(10_000, 6)));
    let short = &whole[..whole.len() - 2_000];
    refused(request(short), short, "cannot be decompressed");
    let trailing = [&*whole, b"garbage"].concat();
    refused(request(&trailing), &trailing, "cannot be decompressed");
    let text = vec![b'x'; 2_000];
    refused(request(&text), &text, "cannot be read");
}

#[test]
fn a_second_taker_waits_and_finds_the_layer_present() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(1_000_000, 7)));
    let lease = store.lease().unwrap();
    let mut ingest = wanted(&store, &lease, layer.request());
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let store = store.again();
            let lease = store.lease().unwrap();
            matches!(store.ingest_layer(&lease, layer.request()).unwrap(), LayerState::Present(_))
        });
        std::thread::sleep(std::time::Duration::from_millis(20));
        ingest.receive(&mut layer.blob.as_slice()).unwrap();
        assert!(other.join().unwrap());
    });
}

#[test]
fn a_dropped_layer_is_rebuilt_from_its_blob() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(100_000, 8)));
    crate::made::add(&store, "a:1", &[Layer::gzipped(&noise(100_000, 8))]);
    let directory = store.root().join("varve/layers").join(layer.diff_id.0.hex());
    fs::remove_dir_all(&directory).unwrap();
    assert!(store.layer(&layer.diff_id).unwrap().is_none());
    let mut bytes = Vec::new();
    store.open_layer_tar(&layer.diff_id).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, layer.tar);
}

#[test]
fn after_a_restart_a_layer_that_lost_bytes_is_not_served() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(100_000, 9)));
    crate::made::add(&store, "a:1", &[Layer::gzipped(&noise(100_000, 9))]);
    let directory = store.root().join("varve/layers").join(layer.diff_id.0.hex());
    let record = crate::made::unsealed(&directory.join("record.json"));
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let earlier = record.replace(boot.trim(), "00000000-0000-0000-0000-000000000000");
    assert_ne!(record, earlier);

    // The bytes made it to disk: the layer is taken and settled.
    fs::write(directory.join("record.json"), &earlier).unwrap();
    assert!(store.layer(&layer.diff_id).unwrap().unwrap().boot.is_none());
    assert!(!fs::read_to_string(directory.join("record.json")).unwrap().contains("boot"));

    // They did not.
    fs::write(directory.join("record.json"), &earlier).unwrap();
    fs::remove_file(directory.join("layer.tar")).unwrap();
    fs::write(directory.join("layer.tar"), vec![0; layer.tar.len()]).unwrap();
    assert!(store.layer(&layer.diff_id).unwrap().is_none());
    let mut bytes = Vec::new();
    store.open_layer_tar(&layer.diff_id).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, layer.tar);
}

/// A process that dies between publishing a blob and removing its arrival leaves the directory,
/// which nobody enters again; bytes that can still be resumed stay.
#[test]
fn a_sweep_removes_an_arrival_whose_blob_is_here_and_no_other() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(300_000, 5)));
    let other = Layer::gzipped(&noise(300_000, 6));
    let lease = store.lease().unwrap();
    layer.store(&store, &lease);
    let mut ingest = wanted(&store, &lease, other.request());
    ingest.receive(&mut Broken(&other.blob[..100_000])).unwrap_err();
    drop(ingest);
    let arrival =
        |layer: &Layer| store.root().join("varve/ingest").join(layer.descriptor.digest.hex());
    fs::create_dir_all(arrival(&layer).join("layer")).unwrap();
    for left in ["lock", "state", "layer/layer.tar"] {
        fs::write(arrival(&layer).join(left), "left").unwrap();
    }
    store.sweep().unwrap();
    assert!(!arrival(&layer).exists());
    assert!(arrival(&other).exists());
    assert!(store.sweep_ingests().unwrap() >= 100_000);
    assert!(!arrival(&other).exists());
}
