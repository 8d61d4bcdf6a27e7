//! What is read of mounted layers is in memory once, not a second time with their tars.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use varve_fs::{
    backend::BackendKind,
    mount::InUse,
    tar::{NewEntry, Writer},
};
use varve_store::{Holder, LayerState, Snapshot, Store, Sync};
use varve_types::DiffId;

use crate::{
    made::{Layer, add, noise},
    namespace::{Place, alone, skip},
};

const FILES: usize = 16;
const FILE_SIZE_BYTES: usize = 256 << 10;
const TOTAL: u64 = (FILES * FILE_SIZE_BYTES) as u64;
/// A page that something else looks at just then may stay, and the kernel may need some itself.
const FEW: u64 = TOTAL / 50;

/// Bytes of files that are in the page cache, as util-linux's `fincore` has it.
fn cached_bytes(paths: &[PathBuf]) -> u64 {
    let output = Command::new("fincore")
        .args(["--bytes", "--noheadings", "--output", "RES"])
        .args(paths)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim().parse::<u64>().unwrap()).sum()
}

fn have_fincore() -> bool {
    let have = Command::new("fincore").arg("--version").output().is_ok();
    if !have {
        skip("fincore", "not installed");
    }
    have
}

fn tar(seed: u64) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for number in 0..FILES {
        let path = format!("{seed}-{number}");
        let entry = NewEntry::file(path.as_bytes(), FILE_SIZE_BYTES as u64);
        writer.append_bytes(&entry, &noise(FILE_SIZE_BYTES, seed + number as u64)).unwrap();
    }
    writer.finish().unwrap()
}

fn tars(store: &Store, layers: &[DiffId]) -> Vec<PathBuf> {
    let path =
        |layer: &DiffId| store.root().join("varve/layers").join(layer.0.hex()).join("layer.tar");
    layers.iter().map(path).collect()
}

fn names(seen: &Path) -> Vec<PathBuf> {
    fs::read_dir(seen).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn read_all(seen: &Path) -> Vec<PathBuf> {
    let names = names(seen);
    assert_eq!(names.len(), 2 * FILES);
    for name in &names {
        assert_eq!(fs::read(name).unwrap().len(), FILE_SIZE_BYTES);
    }
    names
}

/// One layer is its own blob, which was synced; the other one's tar was not.
#[test]
fn a_mounted_image_that_was_read_whole_is_in_memory_once() {
    alone("cache::a_mounted_image_that_was_read_whole_is_in_memory_once", || {
        if !have_fincore() {
            return;
        }
        let place = Place::new();
        let layers = [Layer::plain_tar(tar(100)), Layer::gzipped_tar(tar(200))];
        add(&place, "app:1", &layers);
        let all: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
        let store = place.with(BackendKind::Erofs);
        let holder = Holder::Container("one".to_owned());
        let request = Snapshot { holder: &holder, layers: &all, upper: None };
        let seen = store.mount(&request).unwrap().path;
        let (names, tars) = (read_all(&seen), tars(&store, &all));
        assert!(cached_bytes(&names) >= 2 * TOTAL - FEW);
        // As the kernel leaves it.
        assert!(cached_bytes(&tars) >= 2 * TOTAL - FEW, "{}", cached_bytes(&tars));
        // As if all had come in just now: what is not on disk cannot be freed.
        for tar in &tars {
            let bytes = fs::read(tar).unwrap();
            File::options().write(true).open(tar).unwrap().write_all_at(&bytes, 0).unwrap();
        }
        store.forget_tars(&holder, Sync::Yes).unwrap();
        assert!(cached_bytes(&names) >= 2 * TOTAL - FEW, "{}", cached_bytes(&names));
        assert!(cached_bytes(&tars) < FEW, "{}", cached_bytes(&tars));
        // Reading again takes them from there.
        read_all(&seen);
        assert!(cached_bytes(&tars) < FEW, "{}", cached_bytes(&tars));

        // Whoever mounts the same frees what others left.
        for tar in &tars {
            fs::read(tar).unwrap();
        }
        assert!(cached_bytes(&tars) >= 2 * TOTAL - FEW);
        let other = Holder::Container("other".to_owned());
        store.mount(&Snapshot { holder: &other, ..request.clone() }).unwrap();
        assert!(cached_bytes(&tars) < FEW, "{}", cached_bytes(&tars));
        for tar in &tars {
            fs::read(tar).unwrap();
        }
        store.mount(&request).unwrap();
        assert!(cached_bytes(&tars) < FEW, "{}", cached_bytes(&tars));
        for holder in [holder, other] {
            store.release(&holder, InUse::Refused).unwrap();
        }
        place.is_tidy();
    });
}

/// What came as a plain tar is on disk when it is published, and is not read soon.
#[test]
fn a_plain_layer_that_came_in_is_not_in_memory() {
    if !have_fincore() {
        return;
    }
    let place = Place::new();
    let layer = Layer::plain_tar(tar(300));
    let lease = place.lease().unwrap();
    let LayerState::Wanted(mut ingest) = place.ingest_layer(&lease, layer.request()).unwrap()
    else {
        panic!("the store was empty");
    };
    ingest.receive(&mut &layer.blob[..]).unwrap();
    let cached = cached_bytes(&tars(&place, &[layer.diff_id]));
    assert!(cached < FEW, "{cached}");
}

/// Nobody holds anything: there is nothing to free, and that is no error.
#[test]
fn forgetting_for_a_holder_that_is_not_there_does_nothing() {
    let place = Place::new();
    place.forget_tars(&Holder::Container("nobody".to_owned()), Sync::Yes).unwrap();
}
