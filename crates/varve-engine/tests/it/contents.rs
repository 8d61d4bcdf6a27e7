//! Looking into images: listing, reading, comparing and exporting their files.

use std::{fmt::Write as _, io::Cursor};

use varve_engine::{EntryKind, Load, LoadSource};
use varve_fs::{
    layer::LayerParser,
    tar::{Device, EntryKind as TarKind, NewEntry, Writer},
};
use varve_testkit::{Image, image::Built};
use varve_types::{Ctx, Kind};

use crate::images::Bench;

type Tar = Writer<Vec<u8>>;

fn tar(fill: impl FnOnce(&mut Tar)) -> Vec<u8> {
    let mut tar = Writer::new(Vec::new());
    fill(&mut tar);
    tar.finish().unwrap()
}

fn file(tar: &mut Tar, path: &str, content: &str) {
    let entry = NewEntry::file(path.as_bytes(), content.len() as u64);
    tar.append_bytes(&entry, content.as_bytes()).unwrap();
}

fn add(tar: &mut Tar, entry: &NewEntry) {
    tar.append_bytes(entry, b"").unwrap();
}

/// Three layers: the second hides, replaces and links what the first has, and so does the third.
fn stack() -> Vec<Vec<u8>> {
    let lowest = tar(|tar| {
        add(tar, &NewEntry { mode: 0o2750, uid: 7, gid: 8, ..NewEntry::directory(b"etc") });
        file(tar, "etc/hosts", "localhost");
        file(tar, "etc/motd", "hello");
        file(tar, "etc/shadow", "secret");
        add(tar, &NewEntry::directory(b"opt"));
        file(tar, "opt/old", "old");
        file(tar, "usr/bin/tool", "#!tool");
        add(tar, &NewEntry::symlink(b"bin", b"usr/bin"));
        add(tar, &NewEntry::symlink(b"loop", b"loop"));
        add(tar, &NewEntry::symlink(b"way-out", b"../../../etc/hosts"));
    });
    let middle = tar(|tar| {
        file(tar, "etc/.wh.shadow", "");
        file(tar, "etc/motd", "HELLO");
        add(tar, &NewEntry::directory(b"opt"));
        file(tar, "opt/.wh..wh..opq", "");
        file(tar, "opt/new", "new");
    });
    let highest = tar(|tar| {
        add(tar, &NewEntry::hard_link(b"etc/motd.link", b"etc/motd"));
        let device = Device { major: 1, minor: 3 };
        let null = NewEntry::file(b"null", 0);
        add(tar, &NewEntry { kind: TarKind::CharacterDevice, device, mode: 0o666, ..null });
        file(tar, "usr/bin/.wh.tool", "");
        file(tar, "usr/bin/tool2", "#!tool2");
    });
    vec![lowest, middle, highest]
}

fn load(bench: &Bench, name: &str, tars: Vec<Vec<u8>>) {
    let built: Built = Image::seeded(3).layers(tars.len()).plain().build().with_tars(tars);
    let mut archive = Cursor::new(built.docker_archive(&[name]));
    let source = LoadSource::Stream(&mut archive);
    bench.engine.load(&Ctx::for_test(), Load { source, platform: None }).unwrap();
}

fn listed(bench: &Bench, path: &str) -> String {
    let mut text = String::new();
    for entry in bench.engine.tree("app:1", path, None).unwrap() {
        let path = String::from_utf8(entry.path).unwrap();
        let kind = match entry.kind {
            EntryKind::File => format!("file of {}", entry.size_bytes),
            EntryKind::Directory => "directory".to_owned(),
            EntryKind::Symlink(target) => format!("-> {}", String::from_utf8(target).unwrap()),
            EntryKind::CharacterDevice(major, minor) => format!("device {major}/{minor}"),
            other => format!("{other:?}"),
        };
        let (mode, uid, gid, names) = (entry.mode, entry.uid, entry.gid, entry.names);
        writeln!(text, "{mode:04o} {uid} {gid} {names} {path} {kind}").unwrap();
    }
    text
}

fn cat(bench: &Bench, path: &str) -> Result<Vec<u8>, (String, Kind)> {
    let mut bytes = Vec::new();
    match bench.engine.cat("app:1", path, None, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err((error.to_string(), error.kind())),
    }
}

#[test]
fn a_listing_shows_what_a_container_would_see() {
    let bench = Bench::new();
    load(&bench, "app:1", stack());
    let expected = "\
0755 0 0 1 / directory
0777 0 0 1 /bin -> usr/bin
2750 7 8 1 /etc directory
0644 0 0 1 /etc/hosts file of 9
0644 0 0 2 /etc/motd file of 5
0644 0 0 2 /etc/motd.link file of 5
0777 0 0 1 /loop -> loop
0666 0 0 1 /null device 1/3
0755 0 0 1 /opt directory
0644 0 0 1 /opt/new file of 3
0755 0 0 1 /usr directory
0755 0 0 1 /usr/bin directory
0644 0 0 1 /usr/bin/tool2 file of 7
0777 0 0 1 /way-out -> ../../../etc/hosts
";
    assert_eq!(listed(&bench, "/"), expected);
    assert_eq!(listed(&bench, ""), expected);
}

#[test]
fn a_listing_begins_at_a_path_and_follows_links_on_the_way() {
    let bench = Bench::new();
    load(&bench, "app:1", stack());
    assert_eq!(listed(&bench, "etc//./hosts"), "0644 0 0 1 /etc/hosts file of 9\n");
    assert_eq!(listed(&bench, "/bin/tool2"), "0644 0 0 1 /bin/tool2 file of 7\n");
    assert_eq!(listed(&bench, "/bin"), "0777 0 0 1 /bin -> usr/bin\n");
    let followed = "0755 0 0 1 /bin directory\n0644 0 0 1 /bin/tool2 file of 7\n";
    assert_eq!(listed(&bench, "/bin/"), followed);
    let error = bench.engine.tree("app:1", "/etc/shadow", None).unwrap_err();
    assert_eq!(error.to_string(), "open /etc/shadow: no such file or directory");
    assert_eq!(error.kind(), Kind::NotFound);
    let error = bench.engine.tree("nosuch", "/", None).unwrap_err();
    assert_eq!(error.to_string(), "No such image: nosuch:latest");
}

#[test]
fn a_file_is_read_from_the_layer_that_has_it() {
    let bench = Bench::new();
    load(&bench, "app:1", stack());
    for (path, content) in [
        ("/etc/hosts", "localhost"),
        ("etc/motd", "HELLO"),
        ("/etc/motd.link", "HELLO"),
        ("/bin/tool2", "#!tool2"),
        // Never out of the image, however far up the link goes.
        ("/way-out", "localhost"),
        ("/../../etc/hosts", "localhost"),
    ] {
        assert_eq!(cat(&bench, path).unwrap(), content.as_bytes(), "{path}");
    }
    for (path, reason, kind) in [
        ("/opt/old", "open /opt/old: no such file or directory", Kind::NotFound),
        ("/bin/tool", "open /bin/tool: no such file or directory", Kind::NotFound),
        ("/etc/.wh.shadow", "open /etc/.wh.shadow: no such file or directory", Kind::NotFound),
        ("/etc", "read /etc: is a directory", Kind::Internal),
        ("/etc/hosts/", "open /etc/hosts/: not a directory", Kind::Internal),
        ("/null", "open /null: no such device or address", Kind::Internal),
        ("/loop", "open /loop: too many levels of symbolic links", Kind::Internal),
    ] {
        assert_eq!(cat(&bench, path).unwrap_err(), (reason.to_owned(), kind));
    }
}

#[test]
fn two_images_differ_in_what_was_added_changed_and_deleted() {
    let bench = Bench::new();
    let mut tars = stack();
    load(&bench, "app:1", tars.clone());
    load(&bench, "same:1", tars.clone());
    assert_eq!(bench.engine.compare("app:1", "same:1", None).unwrap(), []);
    // The same files and bytes in another layer are no difference.
    tars[2] = tar(|tar| {
        file(tar, "usr/bin/tool2", "#!tool2");
        file(tar, "usr/bin/.wh.tool", "");
        file(tar, "etc/hosts", "LOCALHOST");
        file(tar, "etc/motd", "longer");
        file(tar, "opt/new/inside", "12");
        add(tar, &NewEntry { mode: 0o700, ..NewEntry::directory(b"usr") });
    });
    load(&bench, "other:1", tars);
    let differences = bench.engine.compare("app:1", "other:1", None).unwrap();
    let lines: Vec<String> = differences
        .into_iter()
        .map(|it| {
            let path = String::from_utf8(it.path).unwrap();
            let size = |size: Option<u64>| size.map_or("-".to_owned(), |size| size.to_string());
            let sizes = (size(it.old_size_bytes), size(it.new_size_bytes));
            format!("{} {path} {} {} {}", it.kind, sizes.0, sizes.1, it.aspects.join(","))
        })
        .collect();
    let expected = [
        "changed /etc/hosts 9 9 content",
        "changed /etc/motd 5 6 content",
        "deleted /etc/motd.link 5 - ",
        "deleted /null 0 - ",
        "changed /opt/new 3 0 type,mode",
        "added /opt/new/inside - 2 ",
        "changed /usr 0 0 mode",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn an_export_is_the_merged_tree_and_always_the_same() {
    let bench = Bench::new();
    load(&bench, "app:1", stack());
    let export = || {
        let mut bytes = Vec::new();
        let exporting = bench.engine.prepare_export("app:1", None).unwrap();
        bench.engine.export(&exporting, &mut bytes).unwrap();
        bytes
    };
    let exported = export();
    assert!(exported == export(), "a second export differs from the first");
    let mut parser = LayerParser::new();
    parser.update(&exported).unwrap();
    let (_, tree) = parser.finish().unwrap();
    let mut walk = tree.walk();
    let mut paths = Vec::new();
    while let Some((path, _)) = walk.next() {
        paths.push(String::from_utf8(path.to_vec()).unwrap());
    }
    let expected = "bin etc etc/hosts etc/motd etc/motd.link loop null opt opt/new usr usr/bin \
                    usr/bin/tool2 way-out";
    assert_eq!(paths.join(" "), expected);
    // As the one layer of another image, it is the same image to look at.
    load(&bench, "flat:1", vec![exported]);
    assert_eq!(bench.engine.compare("app:1", "flat:1", None).unwrap(), []);
    bench.check();
}

#[test]
fn a_layer_that_was_dropped_is_made_again_from_its_blob() {
    let bench = Bench::new();
    load(&bench, "app:1", stack());
    for layer in std::fs::read_dir(bench.root.path().join("varve/layers")).unwrap() {
        std::fs::remove_dir_all(layer.unwrap().path()).unwrap();
    }
    assert_eq!(cat(&bench, "/etc/motd").unwrap(), b"HELLO");
    bench.check();
}
