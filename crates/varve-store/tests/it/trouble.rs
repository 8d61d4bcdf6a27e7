//! Disks that are full and stores that may not be written.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use varve_store::{Error, LayerState, Store};
use varve_types::Kind;

use crate::made::{Image, Layer, TempStore, add, files, noise, remove};

/// A file system of `size_bytes` that goes with this value; `None` where none can be mounted.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount(size_bytes: usize) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={size_bytes},mode=0755");
        let mounted = rustix::mount::mount(
            "tmpfs",
            directory.path(),
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            Some(std::ffi::CString::new(options).unwrap().as_c_str()),
        );
        if let Err(error) = mounted {
            eprintln!("SKIPPED: cannot mount a small tmpfs: {error}");
            return None;
        }
        Some(Self(directory))
    }

    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.0.path().join("store")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

/// Content that is being stored, and nothing that is there already, is lost with a full disk.
#[test]
fn a_full_disk_is_named_leaves_nothing_half_written_and_images_can_still_be_removed() {
    let Some(disk) = SmallDisk::mount(2 << 20) else { return };
    let store = crate::made::open(&disk.root());
    add(&store, "kept:1", &[Layer::gzipped(&noise(200_000, 1))]);
    let before = files(store.root());

    for layer in [Layer::gzipped(&noise(4 << 20, 2)), Layer::plain(&noise(4 << 20, 3))] {
        let lease = store.lease().unwrap();
        let LayerState::Wanted(mut ingest) = store.ingest_layer(&lease, layer.request()).unwrap()
        else {
            panic!("the layer cannot be here");
        };
        let error = ingest.receive(&mut layer.blob.as_slice()).unwrap_err();
        assert_eq!(error.kind(), Kind::Exhausted, "{error}");
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        drop((ingest, lease));
        assert_eq!(files(store.root()), before);
    }
    assert_eq!(store.check().unwrap(), []);

    // To the last byte.
    let filler = disk.0.path().join("filler");
    let _ = fs::write(&filler, vec![0; 2 << 20]);
    let lease = store.lease();
    let put = lease.and_then(|lease| store.put_blob(&lease, &noise(50_000, 4)));
    assert_eq!(put.unwrap_err().kind(), Kind::Exhausted);
    remove(&store, "kept:1");
    assert!(!files(store.root()).iter().any(|path| path.starts_with("blobs")));
}

#[test]
fn a_layer_that_inflates_to_more_than_the_disk_holds_leaves_nothing_behind() {
    let Some(disk) = SmallDisk::mount(2 << 20) else { return };
    let store = crate::made::open(&disk.root());
    let lease = store.lease().unwrap();
    let layer = Layer::gzipped(&vec![0; 8 << 20]);
    let LayerState::Wanted(mut ingest) = store.ingest_layer(&lease, layer.request()).unwrap()
    else {
        panic!("the layer cannot be here");
    };
    let error = ingest.receive(&mut layer.blob.as_slice()).unwrap_err();
    assert_eq!(error.kind(), Kind::Exhausted, "{error}");
    drop((ingest, lease));
    store.sweep().unwrap();
    let left = files(store.root());
    assert!(!left.iter().any(|it| it.starts_with("blobs") || it.contains("layer.tar")), "{left:?}");
}

/// Runs itself again as a user without privileges.
#[test]
fn a_store_that_may_not_be_written_is_read_and_refuses_changes_by_name() {
    const ROOT: &str = "VARVE_STORE_TEST_UNWRITABLE";
    if let Ok(root) = std::env::var(ROOT) {
        reads_but_does_not_write(Path::new(&root));
        return;
    }
    if !rustix::process::geteuid().is_root() {
        let store = TempStore::new();
        add(&store, "a:1", &[Layer::gzipped(b"one")]);
        protect(store.root(), 0o555);
        reads_but_does_not_write(store.root());
        protect(store.root(), 0o755);
        return;
    }
    let store = TempStore::new();
    add(&store, "a:1", &[Layer::gzipped(b"one")]);
    protect(store.root(), 0o755);
    let above = store.root().parent().unwrap();
    fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
    let program = above.join("again");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let name = "trouble::a_store_that_may_not_be_written_is_read_and_refuses_changes_by_name";
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["--exact", name, "--nocapture"])
        .env(ROOT, store.root())
        .output();
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{text}");
        }
        Err(error) => eprintln!("SKIPPED: setpriv: {error}"),
    }
}

fn protect(directory: &Path, mode: u32) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            protect(&path, mode);
        }
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
}

fn reads_but_does_not_write(root: &Path) {
    let store = crate::made::open(root);
    let names = store.names().unwrap();
    assert_eq!(names.rows.len(), 1);
    assert!(store.config(&names.rows[0].image).is_ok());
    assert_eq!(store.check().unwrap(), []);
    let error = store.lease().unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    let error = store
        .update_names(|names| {
            names.rows.clear();
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert_eq!(store.names().unwrap().rows.len(), 1);

    // A fresh user, whose parent directory may not be written either.
    let absent = Store::open(&root.join("absent")).unwrap();
    assert!(absent.names().unwrap().rows.is_empty());
    assert_eq!(absent.lease().unwrap_err().kind(), Kind::Denied);
}

#[test]
fn a_damaged_blob_is_never_served_and_is_replaced_when_it_comes_again() {
    let store = TempStore::new();
    let lease = store.lease().unwrap();
    let layer = Layer::gzipped(&noise(100_000, 5));
    let image = Image::store(&store, &lease, &[Layer::gzipped(&noise(100_000, 5))]);
    for digest in [layer.descriptor.digest, image.config] {
        let path = store.root().join("blobs/sha256").join(digest.hex());
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let error = store.read_blob(&digest, 1 << 20).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)), "{error}");
        let copied = std::io::copy(&mut store.open_blob(&digest).unwrap(), &mut std::io::sink());
        assert_eq!(copied.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    }
    let directory = store.root().join("varve/layers").join(layer.diff_id.0.hex());
    fs::remove_dir_all(directory).unwrap();
    let again = Image::store(&store, &lease, &[layer]);
    assert_eq!(again.config, image.config);
    assert_eq!(store.check().unwrap(), []);
}

/// Nobody knows what a damaged manifest points at.
#[test]
fn while_a_manifest_is_damaged_nothing_is_swept_and_removing_its_name_ends_that() {
    let store = TempStore::new();
    let image = add(&store, "damaged:1", &[Layer::gzipped(b"one")]);
    let path = store.root().join("blobs/sha256").join(image.row.target.digest.hex());
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, text.replace("sha256:", "sha256:0")).unwrap();
    let layer = Layer::gzipped(b"one");
    add(&store, "other:1", &[Layer::gzipped(b"two")]);
    assert!(remove(&store, "other:1").blobs.is_empty());
    assert!(store.blob_size(&layer.descriptor.digest).unwrap().is_some());
    assert_eq!(remove(&store, "damaged:1").blobs.len(), 6);
}
