//! Owners and capabilities that a user namespace has no words for: they come back out of it.

use std::{
    fs::{self, File},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::Path,
};

use varve_fs::{
    extract::{Extraction, Marks, Source, extract},
    layer::LayerParser,
    mount::{InUse, Mount, Overlay, Upper, unmount},
    tar::{NewEntry, Reader, Writer, Xattr},
    unpack::{Unpacking, unpack},
    upper::{changes, write_layer, write_shown},
};

use crate::store::is_inside;

/// `cap_net_raw=ep`, as root stores it (version 2).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn of(entry: NewEntry<'_>, uid: u32, gid: u32, mode: u32) -> NewEntry<'_> {
    NewEntry { uid, gid, mode, ..entry }
}

/// A layer whose files are everybody's.
fn layer() -> Vec<u8> {
    let mut tar = Writer::new(Vec::new());
    let mut put = |entry: NewEntry<'_>, data: &[u8]| tar.append(&entry, &mut &*data).unwrap();
    put(of(NewEntry::directory(b"home"), 1000, 1000, 0o2750), b"");
    put(of(NewEntry::file(b"home/mail", 4), 1000, 8, 0o640), b"dear");
    put(of(NewEntry::file(b"own", 4), 0, 0, 0o644), b"root");
    let set_id = of(NewEntry::file(b"set-id", 2), 33, 34, 0o6755);
    put(set_id, b"id");
    let xattrs: Vec<Xattr> = vec![(b"security.capability".to_vec(), CAPABILITY.to_vec())];
    put(NewEntry { xattrs: &xattrs, ..of(NewEntry::file(b"ping", 4), 0, 0, 0o755) }, b"ping");
    // Somebody else's notes about owners are not to be taken for ours.
    let xattrs: Vec<Xattr> = vec![(b"user.containers.override_stat".to_vec(), b"7:7:0777".into())];
    put(NewEntry { xattrs: &xattrs, ..of(NewEntry::file(b"forged", 1), 0, 0, 0o600) }, b"f");
    put(of(NewEntry::file(b"given", 1), 1000, 1000, 0o600), b"g");
    tar.finish().unwrap()
}

/// Path, owner, group, mode and attributes of what is in a tar, a line each.
fn listed(tar: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(tar);
    let mut lines = Vec::new();
    while let Some(member) = reader.next().unwrap() {
        let entry = member.entry();
        let path = String::from_utf8_lossy(&entry.path);
        let attributes: Vec<_> =
            entry.xattrs.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        let attributes = attributes.join(" ");
        lines.push(format!("{path} {}:{} {:o} {attributes}", entry.uid, entry.gid, entry.mode));
    }
    lines.sort();
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

fn make(path: &Path) -> File {
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    File::open(path).unwrap()
}

fn change_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn with_one_id_layers_of_changes_name_the_owners_that_the_tar_named() {
    let test = "owners::with_one_id_layers_of_changes_name_the_owners_that_the_tar_named";
    if !is_inside(test, &["--map-root-user"]) {
        return;
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| directory.path().join(name);
    let bytes = layer();
    let mut parser = LayerParser::new();
    parser.update(&bytes).unwrap();
    let (_, tree) = parser.finish().unwrap();
    fs::write(path("tar"), &bytes).unwrap();
    let tar = File::open(path("tar")).unwrap();
    let source = Source::Layer(&tree, &tar);
    let lower = make(&path("lower"));
    let request = Extraction { source, marks: Marks::User, threads: 2 };
    let made = extract(&request, lower.as_fd()).unwrap();
    assert_eq!(made.xattrs_refused, 1, "the forged one");
    for name in ["empty", "work", "place"] {
        make(&path(name));
    }
    let upper = make(&path("upper"));
    let overlay = Overlay {
        lowers: vec![path("lower"), path("empty")],
        upper: Some(Upper { directory: path("upper"), work: path("work"), is_fleeting: true }),
        marks: Marks::User,
        context: None,
    };
    Mount::Overlay(overlay).mount(&path("place")).unwrap();
    let place = path("place");

    let mode = |name: &str| fs::metadata(place.join(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode("set-id"), 0o755, "root's it is only here");
    // Everything is written to, and so copied up.
    for name in ["home/mail", "own", "set-id", "forged", "given"] {
        fs::OpenOptions::new().append(true).open(place.join(name)).unwrap();
    }
    change_mode(&place.join("ping"), 0o711);
    change_mode(&place.join("given"), 0o444);
    fs::write(place.join("home/new"), "n").unwrap();
    let root = File::open(&place).unwrap();
    let shown = write_shown(root.as_fd(), Marks::User, Vec::new()).unwrap().0;
    drop(root);
    unmount(&place, InUse::Refused).unwrap();

    let (written, _) = write_layer(upper.as_fd(), Marks::User, Vec::new()).unwrap();
    let expected = [
        "forged 0:0 600",
        "given 1000:1000 444",
        "home 1000:1000 2750",
        "home/mail 1000:8 640",
        "home/new 0:1000 644",
        "own 0:0 644",
        "ping 0:0 711 security.capability",
        "set-id 33:34 6755",
    ];
    // In a directory whose group is set, files have that group: here the only one there is.
    let expected = expected.map(|line| line.replace("home/new 0:1000", "home/new 0:0"));
    assert_eq!(listed(&written), expected);
    assert_eq!(listed(&shown), expected);
    let mut reader = Reader::new(&*written);
    while let Some(member) = reader.next().unwrap() {
        for (_, value) in &member.entry().xattrs {
            assert_eq!(value, &CAPABILITY, "not as root stores it");
        }
    }
    let changed: Vec<String> = changes(upper.as_fd(), Marks::User, &tree)
        .unwrap()
        .iter()
        .map(|change| String::from_utf8_lossy(&change.path).into_owned())
        .collect();
    assert_eq!(changed, ["given", "home", "home/new", "ping"], "owners that were only kept");
}

#[test]
fn what_is_copied_into_a_container_keeps_owners_that_cannot_be_expressed() {
    let test = "owners::what_is_copied_into_a_container_keeps_owners_that_cannot_be_expressed";
    if !is_inside(test, &["--map-root-user"]) {
        return;
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let upper = make(&directory.path().join("upper"));
    let bytes = layer();
    unpack(&*bytes, upper.as_fd(), Unpacking { keep_owners: true }).unwrap();
    let (written, _) = write_layer(upper.as_fd(), Marks::User, Vec::new()).unwrap();
    let mut expected = listed(&bytes);
    expected.retain(|line| !line.starts_with("forged"));
    let mut written = listed(&written);
    written.retain(|line| !line.starts_with("forged"));
    assert_eq!(written, expected);
}
