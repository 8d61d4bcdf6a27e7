//! Layers mounted once for all, and overlays over them.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
};

use varve_fs::mount::{InUse, Upper};
use varve_store::{Error, Holder, Mounted, Snapshot, Store};
use varve_types::{DiffId, ImageId, Kind};

use crate::{
    made::{self, Layer, add, remove},
    namespace::{Made, Place, alone, layer},
};

fn ids(layers: &[Layer]) -> Vec<DiffId> {
    layers.iter().map(|layer| layer.diff_id).collect()
}

fn container(id: &str) -> Holder {
    Holder::Container(id.to_owned())
}

fn mount(store: &Store, holder: &Holder, layers: &[DiffId]) -> Mounted {
    store.mount(&Snapshot { holder, layers, upper: None }).unwrap()
}

fn numbered(count: usize) -> Vec<Layer> {
    let layer = |number: usize| {
        let text = format!("{number}");
        layer(1, &[(&format!("file{number}"), Made::File(text.as_bytes()))])
    };
    (0..count).map(layer).collect()
}

#[test]
fn layers_are_mounted_once_and_go_with_the_last_who_uses_them() {
    alone("mounts::layers_are_mounted_once_and_go_with_the_last_who_uses_them", || {
        let place = Place::new();
        let layers = numbered(3);
        add(&place, "one:1", &layers);
        let (one, other) = (container("one"), container("other"));
        let all = ids(&layers);
        let seen = mount(&place, &one, &all[..2]);
        assert_eq!(fs::read_to_string(seen.path.join("file1")).unwrap(), "1");
        assert!(!seen.path.join("file2").exists());
        let seen = mount(&place.with(varve_fs::backend::BackendKind::Erofs), &other, &all[1..]);
        assert_eq!(fs::read_to_string(seen.path.join("file2")).unwrap(), "2");
        let places = |holders: &[&str], layers: &[DiffId]| {
            let holders = holders.iter().map(|id| format!("containers/{id}/rootfs"));
            let layers = layers.iter().map(|layer| format!("layers/{}", layer.0.hex()));
            let mut places: Vec<String> = holders.chain(layers).collect();
            places.sort();
            places
        };
        assert_eq!(place.mounted(), places(&["one", "other"], &all));
        // Again is the same.
        mount(&place, &one, &all[..2]);
        assert_eq!(place.mounted(), places(&["one", "other"], &all));
        place.release(&one, InUse::Refused).unwrap();
        assert_eq!(place.mounted(), places(&["other"], &all[1..]));
        place.release(&one, InUse::Refused).unwrap();
        place.release(&other, InUse::Refused).unwrap();
        place.is_tidy();
    });
}

#[test]
fn a_hundred_and_twenty_seven_layers_are_mounted() {
    alone("mounts::a_hundred_and_twenty_seven_layers_are_mounted", || {
        let place = Place::new();
        let layers = numbered(127);
        add(&place, "many:1", &layers);
        let holder = container("many");
        let seen = mount(&place, &holder, &ids(&layers));
        assert_eq!(fs::read_dir(&seen.path).unwrap().count(), 127);
        assert_eq!(place.mounted().len(), 128);
        place.release(&holder, InUse::Refused).unwrap();
        place.is_tidy();
    });
}

/// What layers cannot know of each other is put on top, once for each stack, and goes with them.
#[test]
fn a_stack_is_mended_and_its_mend_goes_with_its_layers() {
    alone("mounts::a_stack_is_mended_and_its_mend_goes_with_its_layers", || {
        let place = Place::new();
        let layers = [
            layer(7, &[("d", Made::Directory(0o701)), ("d/low", Made::File(b"low"))]),
            layer(9, &[("d/high", Made::File(b"high")), ("linked", Made::Link("d/low"))]),
        ];
        add(&place, "mended:1", &layers);
        let holder = container("one");
        let seen = mount(&place, &holder, &ids(&layers)).path;
        let facts = fs::metadata(seen.join("d")).unwrap();
        assert_eq!((facts.permissions().mode() & 0o7777, facts.mtime()), (0o701, 7));
        assert_eq!(fs::read(seen.join("d/high")).unwrap(), b"high");
        assert_eq!(fs::read(seen.join("linked")).unwrap(), b"low");
        assert_eq!(place.mounted().len(), 4);
        assert_eq!(place.check().unwrap(), []);
        // Held layers stay without a name, and all goes when they are let go.
        remove(&place, "mended:1");
        assert_eq!(fs::read(seen.join("d/low")).unwrap(), b"low");
        assert!(place.layer(&layers[0].diff_id).unwrap().is_some());
        place.release(&holder, InUse::Refused).unwrap();
        place.sweep().unwrap();
        place.is_tidy();
        assert_eq!(made::files(place.root()).iter().find(|path| path.contains("/layers/")), None);
        assert_eq!(made::files(place.root()).iter().find(|path| path.contains("/chains/")), None);
    });
}

#[test]
fn one_layer_none_and_the_same_twice_are_stacks_too() {
    alone("mounts::one_layer_none_and_the_same_twice_are_stacks_too", || {
        let place = Place::new();
        let [a, b] = [0, 1].map(|number| numbered(2).remove(number));
        let empty = Layer::gzipped_tar(vec![0; 1024]);
        let all = [a, b, empty];
        add(&place, "odd:1", &all);
        let [a, b, empty] = [0, 1, 2].map(|number: usize| all[number].diff_id);
        let stacks: [(&[DiffId], usize); 5] =
            [(&[], 0), (&[empty], 0), (&[a], 1), (&[a, empty, empty], 1), (&[a, b, a, b, a], 2)];
        for (number, (layers, files)) in stacks.into_iter().enumerate() {
            let holder = container(&number.to_string());
            let seen = mount(&place, &holder, layers).path;
            assert_eq!(fs::read_dir(&seen).unwrap().count(), files, "{number}");
            assert_eq!(fs::metadata(&seen).unwrap().permissions().mode() & 0o7777, 0o755);
            let upper = upper(&place, &format!("upper{number}"));
            let changed = container(&format!("changed-{number}"));
            let request = Snapshot { holder: &changed, layers, upper: Some(upper.clone()) };
            let seen = place.mount(&request).unwrap().path;
            fs::write(seen.join("new"), b"new").unwrap();
            assert_eq!(fs::read(upper.directory.join("new")).unwrap(), b"new");
            for holder in [holder, changed] {
                place.release(&holder, InUse::Refused).unwrap();
            }
        }
        place.is_tidy();
    });
}

fn upper(place: &Place, name: &str) -> Upper {
    let make = |name: &str| {
        let path: PathBuf = place.directory.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let (directory, work) = (make(&format!("{name}/upper")), make(&format!("{name}/work")));
    Upper { directory, work, is_fleeting: false }
}

#[test]
fn an_image_that_is_removed_leaves_no_mount_and_no_file() {
    alone("mounts::an_image_that_is_removed_leaves_no_mount_and_no_file", || {
        let place = Place::new();
        let (mine, theirs) = (numbered(3), numbered(1));
        let image = add(&place, "mine:1", &mine);
        let other = add(&place, "theirs:1", &theirs);
        let (id, other_id) = (ImageId(image.config), ImageId(other.config));
        let seen = mount(&place, &Holder::Image(id), &ids(&mine)).path;
        mount(&place, &Holder::Image(other_id), &ids(&theirs));
        let listed: Vec<ImageId> =
            place.mounted_images().unwrap().into_iter().map(|(id, _)| id).collect();
        assert!(listed.contains(&id) && listed.contains(&other_id) && listed.len() == 2);
        // Also when somebody looks into it.
        let held = fs::File::open(seen.join("file2")).unwrap();
        remove(&place, "mine:1");
        drop(held);
        assert_eq!(place.mounted_images().unwrap().len(), 1);
        assert_eq!(place.mounted().len(), 2, "{:?}", place.mounted());
        assert_eq!(fs::read_dir(place.root().join("varve/layers")).unwrap().count(), 1);
        remove(&place, "theirs:1");
        place.is_tidy();
        assert_eq!(fs::read_dir(place.root().join("varve/layers")).unwrap().count(), 0);
    });
}

#[test]
fn a_mount_in_use_is_not_taken_away_unless_it_may_be_detached() {
    alone("mounts::a_mount_in_use_is_not_taken_away_unless_it_may_be_detached", || {
        let (place, layers) = (Place::new(), numbered(2));
        add(&place, "app:1", &layers);
        let holder = container("one");
        let seen = mount(&place, &holder, &ids(&layers)).path;
        let file = fs::File::open(seen.join("file1")).unwrap();
        let refused = place.release(&holder, InUse::Refused).unwrap_err();
        assert!(matches!(&refused, Error::InUse(path) if *path == seen), "{refused:?}");
        assert_eq!(refused.kind(), Kind::Conflict);
        assert_eq!(place.mounted().len(), 3);
        place.release(&holder, InUse::Detached).unwrap();
        place.is_tidy();
        drop(file);
    });
}

#[test]
fn a_holder_is_named_like_a_file() {
    alone("mounts::a_holder_is_named_like_a_file", || {
        let (place, layers) = (Place::new(), numbered(1));
        add(&place, "app:1", &layers);
        for name in ["", "../up", "a/b", "a\n"] {
            let refused = place.lowers(&container(name), &ids(&layers)).unwrap_err();
            assert_eq!(refused.kind(), Kind::Invalid, "{name:?}");
        }
        place.is_tidy();
    });
}
