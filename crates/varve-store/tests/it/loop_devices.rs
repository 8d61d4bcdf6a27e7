//! A store on tmpfs, from which the kernel mounts no plain files: layers go through loop devices.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use varve_fs::{backend::BackendKind, mount::InUse, mount::Upper};
use varve_store::{Holder, Options, Snapshot, Store};
use varve_types::DiffId;

use crate::{
    made::{Layer, add, remove},
    namespace::{Made, alone, is_tidy, layer, skip},
};

fn have_loop_devices() -> bool {
    let control = File::options().read(true).write(true).open("/dev/loop-control");
    if let Err(error) = &control {
        skip("loop-devices", &error.to_string());
    }
    control.is_ok()
}

/// The files below a directory that loop devices show.
fn shown_from(directory: &Path) -> Vec<PathBuf> {
    let shown = fs::read_dir("/sys/block").unwrap().filter_map(|entry| {
        let path = fs::read_to_string(entry.unwrap().path().join("loop/backing_file")).ok()?;
        let path = PathBuf::from(path.trim_end());
        path.starts_with(directory).then_some(path)
    });
    shown.collect()
}

fn stack() -> Vec<Layer> {
    vec![
        layer(7, &[("d", Made::Directory(0o701)), ("d/low", Made::File(b"low"))]),
        layer(8, &[("d/gone", Made::File(b"gone")), ("other", Made::File(&[b'o'; 2000]))]),
        layer(9, &[("d/.wh.gone", Made::File(b"")), ("linked", Made::Link("d/low"))]),
    ]
}

fn made(directory: &Path, name: &str) -> PathBuf {
    let path = directory.join(name);
    fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn a_store_in_memory_is_mounted_over_loop_devices_of_which_none_is_left() {
    alone(
        "loop_devices::a_store_in_memory_is_mounted_over_loop_devices_of_which_none_is_left",
        || {
            if !have_loop_devices() {
                return;
            }
            let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let directory = home.path();
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "tmpfs"]).arg(directory);
            assert!(mount.status().unwrap().success());
            let options = Options { run: Some(directory.join("run")), ..Options::default() };
            let store = Store::open_with(&directory.join("store"), options).unwrap();
            let layers = stack();
            add(&store, "app:1", &layers);
            let all: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
            // Nobody said so: it was found out.
            let found = store.backend().unwrap();
            assert_eq!(found.kind, BackendKind::ErofsLoop);

            let (one, two) = (Holder::Container("1".to_owned()), Holder::Container("2".to_owned()));
            let (changes, work) = (made(directory, "u"), made(directory, "w"));
            let upper = Upper { directory: changes, work, is_fleeting: false };
            let request = Snapshot { holder: &one, layers: &all, upper: Some(upper.clone()) };
            let seen = store.mount(&request).unwrap().path;
            // Index and tar of each layer, and the mend, which has no tar.
            assert_eq!(shown_from(directory).len(), 2 * layers.len() + 1);
            assert_eq!(fs::read(seen.join("linked")).unwrap(), b"low");
            assert_eq!(fs::read(seen.join("other")).unwrap(), [b'o'; 2000]);
            assert!(!seen.join("d/gone").exists());
            fs::write(seen.join("d/low"), b"changed").unwrap();
            assert_eq!(fs::read(upper.directory.join("d/low")).unwrap(), b"changed");

            // The second has the same mounts.
            let request = Snapshot { holder: &two, layers: &all, upper: None };
            let other = store.mount(&request).unwrap().path;
            assert_eq!(shown_from(directory).len(), 2 * layers.len() + 1);
            assert_eq!(fs::read(other.join("d/low")).unwrap(), b"low");
            store.release(&one, InUse::Refused).unwrap();
            assert_eq!(fs::read(other.join("other")).unwrap(), [b'o'; 2000]);
            store.release(&two, InUse::Refused).unwrap();
            assert_eq!(shown_from(directory), [""; 0].map(PathBuf::from));
            remove(&store, "app:1");
            assert_eq!(fs::read_dir(store.root().join("varve/layers")).unwrap().count(), 0);
            is_tidy(directory);
            assert_eq!(store.check().unwrap(), []);
        },
    );
}
