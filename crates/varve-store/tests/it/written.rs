//! Layers that are written here, by a build's step or from what a container left.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use varve_fs::{
    compression::Compression,
    extract::Marks,
    mount::{Erofs, Mount},
    tar::{NewEntry, Writer},
    upper::{self, UpperError},
};
use varve_store::{Error, Keep, LayerRequest, LayerState, Lease, Store, StoredLayer};
use varve_types::{DiffId, Digest, Kind, media_type};

use crate::{
    made::{Layer, TempStore, files, noise, tar},
    namespace,
    trouble::SmallDisk,
};

/// Writes bytes as a layer, in pieces of a size.
fn write(store: &Store, lease: &Lease, tar: &[u8], piece: usize) -> Result<StoredLayer, Error> {
    let (stored, pieces) = store.write_layer(lease, |out| {
        let pieces = tar.chunks(piece);
        let count = pieces.len();
        for piece in pieces {
            out.write_all(piece).map_err(Error::Source)?;
        }
        Ok::<_, Error>(count)
    })?;
    assert_eq!(pieces, tar.len().div_ceil(piece));
    Ok(stored)
}

/// Of a small file and one that is longer than a few chunks.
fn long_tar() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, size) in [("etc/a", 5), ("long", 900_000), ("z", 0)] {
        let entry = NewEntry::file(name.as_bytes(), size);
        writer.append_bytes(&entry, &noise(size as usize, size)).unwrap();
    }
    writer.finish().unwrap()
}

fn layer_path(store: &Store, diff_id: &DiffId) -> PathBuf {
    store.root().join("varve/layers").join(diff_id.0.hex())
}

#[test]
fn a_written_layer_is_what_importing_its_tar_gives() {
    for tar in [tar("file", b"short"), long_tar(), Writer::new(Vec::new()).finish().unwrap()] {
        let imported = TempStore::new();
        let lease = imported.lease().unwrap();
        let request = LayerRequest { keep: Keep::Uncompressed, ..LayerRequest::default() };
        let LayerState::Wanted(mut ingest) = imported.ingest_layer(&lease, request).unwrap() else {
            panic!("the layer cannot be here");
        };
        let expected = ingest.receive(&mut &tar[..]).unwrap();
        let diff_id = DiffId(Digest::of(&tar));
        let index = fs::read(layer_path(&imported, &diff_id).join("index.erofs")).unwrap();

        for piece in [1000, 100_000, usize::MAX] {
            let store = TempStore::new();
            let lease = store.lease().unwrap();
            let stored = write(&store, &lease, &tar, piece).unwrap();
            assert_eq!(stored.blob, expected.blob);
            assert_eq!(stored.blob.digest, diff_id.0);
            assert_eq!(&stored.blob.media_type, media_type::OCI_LAYER);
            assert_eq!(stored.compression, Compression::None);
            assert_eq!(stored.record, expected.record);
            let layer = layer_path(&store, &diff_id);
            assert_eq!(fs::read(layer.join("index.erofs")).unwrap(), index);
            assert_eq!(store.read_blob(&diff_id.0, 1 << 30).unwrap(), tar);
            // The blob is the layer's tar: one file with two names.
            let inode = |path: &Path| fs::metadata(path).unwrap().ino();
            let blob = store.root().join("blobs/sha256").join(diff_id.0.hex());
            assert_eq!(inode(&blob), inode(&layer.join("layer.tar")));
            assert_eq!(store.check().unwrap(), []);

            // Once more is no second layer, and no second file.
            let before = (files(store.root()), inode(&blob));
            let again = write(&store, &lease, &tar, piece).unwrap();
            assert_eq!((again.blob, again.record), (stored.blob, stored.record));
            assert_eq!((files(store.root()), inode(&blob)), before);
        }
    }
}

#[test]
fn a_written_layer_lives_as_long_as_its_lease() {
    let store = TempStore::new();
    let (first, second) = (store.lease().unwrap(), store.lease().unwrap());
    let tar = long_tar();
    write(&store, &first, &tar, 4096).unwrap();
    // It was here already, and is held all the same.
    let stored = write(&store, &second, &tar, 4096).unwrap();
    drop(first);
    store.sweep().unwrap();
    assert_eq!(store.layer(&stored.record.summary.diff_id).unwrap().unwrap(), stored.record);
    assert_eq!(store.blob_size(&stored.blob.digest).unwrap(), Some(stored.blob.size));
    drop(second);
    store.sweep().unwrap();
    assert_eq!(store.blob_size(&stored.blob.digest).unwrap(), None);
    assert_eq!(store.layer(&stored.record.summary.diff_id).unwrap(), None);
}

#[test]
fn a_layer_that_came_compressed_gets_its_tar_as_a_blob_when_it_is_written() {
    let store = TempStore::new();
    let lease = store.lease().unwrap();
    let layer = Layer::gzipped_tar(long_tar());
    layer.store(&store, &lease);
    let stored = write(&store, &lease, &layer.tar, 4096).unwrap();
    assert_eq!(stored.blob.digest, layer.diff_id.0);
    assert_eq!(store.read_blob(&layer.diff_id.0, 1 << 30).unwrap(), layer.tar);
    assert_eq!(store.check().unwrap(), []);
}

/// A writer's own error, and one of the store.
#[derive(Debug)]
enum StepError {
    Store(Error),
    Stopped(&'static str),
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

#[test]
fn a_writer_that_fails_leaves_nothing_and_its_error_is_the_one_told() {
    let store = TempStore::new();
    let lease = store.lease().unwrap();
    let before = files(store.root());
    for size in [0, 700, 800_000] {
        let outcome = store.write_layer(&lease, |out| {
            out.write_all(&long_tar()[..size]).unwrap();
            Err::<(), _>(StepError::Stopped("the step was stopped"))
        });
        let Err(StepError::Stopped(why)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(why, "the step was stopped");
        assert_eq!(files(store.root()), before);
    }
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn what_is_no_tar_leaves_nothing_however_long_it_is() {
    let store = TempStore::new();
    let lease = store.lease().unwrap();
    let before = files(store.root());
    let long = long_tar();
    // Noise from the start, from the third chunk on, and an end that never comes.
    let mut late = long.clone();
    late.truncate(late.len() - 1024);
    late.extend(noise(4 << 20, 3));
    for bytes in [noise(600, 1), noise(8 << 20, 2), late, long[..500_000].to_vec()] {
        let error = write(&store, &lease, &bytes, 64 << 10).unwrap_err();
        assert!(matches!(error, Error::Layer { .. }), "{error:?}");
        assert_eq!(error.to_string(), "layer being made cannot be read");
        assert_eq!(files(store.root()), before);
    }
    // Even to a writer that does not listen.
    let outcome = store.write_layer(&lease, |out| {
        for piece in noise(8 << 20, 2).chunks(64 << 10) {
            let _ = out.write_all(piece);
        }
        Ok::<_, Error>(())
    });
    assert!(matches!(outcome, Err(Error::Layer { .. })), "{outcome:?}");
    assert_eq!(files(store.root()), before);
}

#[test]
fn a_layer_that_the_disk_does_not_hold_leaves_nothing_and_the_disk_is_named() {
    let Some(disk) = SmallDisk::mount(2 << 20) else { return };
    let store = crate::made::open(&disk.root());
    let lease = store.lease().unwrap();
    let before = files(store.root());
    for size in [3 << 20, 6 << 20] {
        let outcome = store.write_layer(&lease, |out| {
            let tar = tar("file", &noise(size, 1));
            out.write_all(&tar).map_err(|_| StepError::Stopped("the layer cannot be written"))
        });
        let Err(StepError::Store(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.kind(), Kind::Exhausted, "{error}");
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        assert_eq!(files(store.root()), before);
    }
    write(&store, &lease, &tar("file", b"fits"), 512).unwrap();
    assert_eq!(store.check().unwrap(), []);
}

/// Changes of every kind to the files of [`base`].
const CHANGES: &str = r#"
    rm a; rm -r d; mkdir -m 711 d; echo new > d/n
    echo more >> f; chmod 4711 g; chown 5:6 h; touch -h -d @77 l
    ln f f2; rm linked/two; ln linked/one linked/three
    mkfifo -m 622 p; mknod c c 1 3; mknod b b 7 300
    rm -r e; ln -s x e; rm file; mkdir file; echo in > file/in
    mkdir -p deep/er; touch deep/er/empty "deep/odd	name"
    head -c 700000 /dev/zero > zeros; rm back; echo back > back
"#;

const LIST: &str = r"
    find . -mindepth 1 -type d -exec stat -c '%n %f %u:%g %Y' {} +
    find . ! -type d -exec stat -c '%n %f %u:%g %Y %h %s %t:%T' {} +
    find . -type l -printf '%p -> %l\n'
    find . -type f -exec sha256sum {} +
";

fn base() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.append_bytes(&NewEntry::directory(b"./"), b"").unwrap();
    for name in ["d", "e", "linked", "kept"] {
        writer.append_bytes(&NewEntry::directory(name.as_bytes()), b"").unwrap();
    }
    for name in ["a", "d/x", "d/y", "e/in", "f", "g", "h", "file", "linked/one", "kept/k", "back"] {
        let entry = NewEntry { uid: 7, ..NewEntry::file(name.as_bytes(), name.len() as u64) };
        writer.append_bytes(&entry, name.as_bytes()).unwrap();
    }
    writer.append_bytes(&NewEntry::hard_link(b"linked/two", b"linked/one"), b"").unwrap();
    writer.append_bytes(&NewEntry::symlink(b"l", b"kept/k"), b"").unwrap();
    writer.finish().unwrap()
}

/// Mounts these layers at `1`, `2` … in a directory and runs a script there. Gives what it lists.
fn with_mounted(directory: &Path, layers: &[PathBuf], script: &str) -> Vec<String> {
    for (number, layer) in (1..).zip(layers) {
        let place = directory.join(format!("{number}"));
        let (index, tar) = (layer.join("index.erofs"), Some(layer.join("layer.tar")));
        if !place.exists() {
            fs::create_dir(&place).unwrap();
            Mount::Erofs(Erofs { index, tar }).mount(&place).unwrap();
        }
    }
    let run = Command::new("sh").args(["-ec", script]).current_dir(directory).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let mut lines: Vec<String> =
        String::from_utf8_lossy(&run.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The kernel is asked twice: what the container saw, and what its two layers show.
#[test]
fn what_a_container_left_is_shown_again_by_its_layer() {
    let name = "written::what_a_container_left_is_shown_again_by_its_layer";
    namespace::alone(name, what_a_container_left);
}

fn what_a_container_left() {
    // Of tmpfs and overlayfs the kernel mounts no plain files.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (work, store) = (directory.path().join("work"), directory.path().join("store"));
    fs::create_dir(&work).unwrap();
    let store = crate::made::open(&store);
    let lease = store.lease().unwrap();
    let lower = write(&store, &lease, &base(), 4096).unwrap().record.summary.diff_id;
    let lower = layer_path(&store, &lower);
    let script = format!(
        "mkdir upper over live
         mount -t overlay -o lowerdir=1,upperdir=upper,workdir=over live live
         cd live\n{CHANGES}\n{LIST}"
    );
    let live = with_mounted(&work, std::slice::from_ref(&lower), &script);
    assert!(live.len() > 30, "{live:?}");

    let upper = File::open(work.join("upper")).unwrap();
    let (stored, sockets) = store
        .write_layer(&lease, |out| {
            let written = upper::write_layer(upper.as_fd(), Marks::Trusted, out);
            written.map(|(_, sockets)| sockets).map_err(|error| match error {
                UpperError::Write(source) => Error::Source(source),
                other => Error::Source(io::Error::other(other)),
            })
        })
        .unwrap();
    assert_eq!(sockets, 0);
    let upper = layer_path(&store, &stored.record.summary.diff_id);
    let script =
        format!("mkdir again\nmount -t overlay -o lowerdir=2:1 again again\ncd again\n{LIST}");
    let again = with_mounted(&work, &[lower, upper], &script);
    assert_eq!(again, live);
    let unmount = "umount -l live again 1 2";
    assert!(
        Command::new("sh").args(["-c", unmount]).current_dir(&work).status().unwrap().success()
    );
}
