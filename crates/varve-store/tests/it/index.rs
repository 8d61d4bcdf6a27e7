//! The index of a layer: what it lists, and what becomes of one that is lost.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::io::Errno;
use varve_fs::{
    erofs::{Index, Kind},
    layer::LayerParser,
    tar::{Device, EntryKind, NewEntry, Time, Writer, Xattr},
    tree::{Content, Tree},
};
use varve_store::{Keep, LayerRequest, LayerState, Store};
use varve_types::{DiffId, Digest};

use crate::made::{Layer, TempStore, add, files, noise, remove, take_index_away};

/// Some of everything.
fn varied() -> Vec<u8> {
    let mut tar = Writer::new(Vec::new());
    let mtime = Time { seconds: 1_700_000_000, nanoseconds: 5 };
    let xattrs: Vec<Xattr> = vec![(b"user.one".to_vec(), b"1".to_vec())];
    tar.append_bytes(&NewEntry { mode: 0o1777, ..NewEntry::directory(b"tmp") }, b"").unwrap();
    for (name, size) in [("etc/empty", 0), ("etc/short", 5), ("etc/long", 100_000)] {
        let bytes = noise(size, size as u64);
        let entry = NewEntry::file(name.as_bytes(), size as u64);
        let entry = NewEntry { mode: 0o4755, uid: 7, gid: 70_000, mtime, ..entry };
        tar.append_bytes(&NewEntry { xattrs: &xattrs, ..entry }, &bytes).unwrap();
    }
    tar.append_bytes(&NewEntry::hard_link(b"etc/same", b"etc/short"), b"").unwrap();
    tar.append_bytes(&NewEntry::symlink(b"link", b"etc/long"), b"").unwrap();
    let fifo = NewEntry { kind: EntryKind::Fifo, ..NewEntry::file(b"fifo", 0) };
    tar.append_bytes(&fifo, b"").unwrap();
    let device = Device { major: 1, minor: 3 };
    let null = NewEntry { kind: EntryKind::CharacterDevice, device, ..NewEntry::file(b"null", 0) };
    tar.append_bytes(&null, b"").unwrap();
    tar.append_bytes(&NewEntry::file(b".wh.gone", 0), b"").unwrap();
    tar.finish().unwrap()
}

/// A path, what is there, mode, owner, group, time, attributes.
type Fact = (Vec<u8>, String, u32, u32, u32, Time, Vec<Xattr>);

fn facts_of_tree(tree: &Tree, tar: &[u8]) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        let inode = tree.inode(id);
        let what = match &inode.content {
            Content::File(bytes) => {
                let start = bytes.data_offset as usize;
                let digest = Digest::of(&tar[start..start + bytes.size as usize]);
                format!("file {digest} {}", inode.links)
            }
            Content::Directory(_) => "directory".to_owned(),
            Content::Symlink(target) => format!("link {}", String::from_utf8_lossy(target)),
            Content::CharacterDevice(device) => format!("device {device:?}"),
            Content::Fifo => "fifo".to_owned(),
            Content::Whiteout => "whiteout".to_owned(),
            other => panic!("{other:?}"),
        };
        let xattrs = inode.xattrs.to_vec();
        let mode = if what == "whiteout" { 0 } else { inode.mode };
        facts.push((path.to_vec(), what, mode, inode.uid, inode.gid, inode.mtime, xattrs));
    }
    facts.sort();
    facts
}

fn facts_of_index(index: &Index<File>, tar: &File) -> Vec<Fact> {
    let mut facts = Vec::new();
    let root = index.node(index.root()).unwrap();
    let mut visit = index.visit(&root);
    while let Some((path, node)) = visit.next().unwrap() {
        let what = match node.kind {
            Kind::File => {
                let mut content = Vec::new();
                index.copy_content(&node, tar, &mut content).unwrap();
                format!("file {} {}", Digest::of(&content), node.links)
            }
            Kind::Directory => "directory".to_owned(),
            Kind::Symlink => {
                format!("link {}", String::from_utf8_lossy(&index.read_link(&node).unwrap()))
            }
            Kind::CharacterDevice(device) => format!("device {device:?}"),
            Kind::Fifo => "fifo".to_owned(),
            Kind::Whiteout => "whiteout".to_owned(),
            Kind::BlockDevice(device) => panic!("{device:?}"),
        };
        let xattrs = index.attributes(&node).unwrap().xattrs;
        // Nobody sees that of a whiteout.
        let mode = if node.kind == Kind::Whiteout { 0 } else { node.mode };
        facts.push((path.to_vec(), what, mode, node.uid, node.gid, node.mtime, xattrs));
    }
    facts.sort();
    facts
}

fn index_path(store: &Store, diff_id: &DiffId) -> PathBuf {
    store.root().join("varve/layers").join(diff_id.0.hex()).join("index.erofs")
}

/// Takes a layer in as `import` does.
fn import(store: &Store, body: &[u8]) -> DiffId {
    let lease = store.lease().unwrap();
    let request = LayerRequest { keep: Keep::Uncompressed, ..LayerRequest::default() };
    let LayerState::Wanted(mut ingest) = store.ingest_layer(&lease, request).unwrap() else {
        panic!("the layer cannot be here");
    };
    ingest.receive(&mut &*body).unwrap().record.summary.diff_id
}

#[test]
fn however_a_layer_came_its_index_lists_the_tree_of_the_tar_in_the_same_bytes() {
    let tar = varied();
    let mut parser = LayerParser::new();
    parser.update(&tar).unwrap();
    let expected = facts_of_tree(&parser.finish().unwrap().1, &tar);
    assert!(expected.len() > 9);

    let mut seen = Vec::new();
    let ways: [fn(&Store, &[u8]) -> DiffId; 4] = [
        |store, tar| {
            add(store, "a:1", &[Layer::gzipped_tar(tar.to_vec())]);
            DiffId(Digest::of(tar))
        },
        |store, tar| {
            add(store, "a:1", &[Layer::plain_tar(tar.to_vec())]);
            DiffId(Digest::of(tar))
        },
        import,
        |store, tar| import(store, &crate::made::gzip(tar)),
    ];
    for way in ways {
        let store = TempStore::new();
        let diff_id = way(&store, &tar);
        let path = index_path(&store, &diff_id);
        let before = fs::metadata(&path).unwrap();
        assert_eq!(before.permissions().mode() & 0o777, 0o444);
        let record = store.layer(&diff_id).unwrap().unwrap();
        let bytes = fs::read(&path).unwrap();
        let index = record.index.unwrap();
        assert_eq!((index.digest, index.size_bytes), (Digest::of(&bytes), bytes.len() as u64));
        let tar = store.open_layer_tar(&diff_id).unwrap();
        let index = store.open_layer_index(&diff_id).unwrap();
        assert_eq!(facts_of_index(&index, &tar), expected);
        assert_eq!(store.check().unwrap(), []);
        seen.push(bytes);
    }
    assert!(seen.iter().all(|bytes| *bytes == seen[0]));
}

#[test]
fn a_lost_or_damaged_index_is_found_by_check_and_made_anew_when_it_is_opened() {
    let store = TempStore::new();
    let layer = Layer::gzipped_tar(varied());
    let diff_id = layer.diff_id;
    add(&store, "a:1", &[layer]);
    let path = index_path(&store, &diff_id);
    let record = store.layer(&diff_id).unwrap().unwrap();
    let bytes = fs::read(&path).unwrap();

    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (spoilt, problem) in [
        (None, "index.erofs is missing"),
        (Some(&bytes[..bytes.len() - 1]), "index.erofs is not the one"),
        (Some(&flipped), "index.erofs is not the one"),
    ] {
        fs::remove_file(&path).unwrap();
        if let Some(spoilt) = spoilt {
            fs::write(&path, spoilt).unwrap();
        }
        let [finding] = &store.check().unwrap()[..] else { panic!("{:#?}", store.check()) };
        assert!(finding.problem.contains(problem), "{finding:?}");
        assert!(finding.path.ends_with(diff_id.0.hex()), "{finding:?}");
        assert_eq!(finding.affects, ["a:1"]);
        store.open_layer_index(&diff_id).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(store.layer(&diff_id).unwrap().unwrap(), record);
        assert_eq!(store.check().unwrap(), []);
    }
    assert!(!files(store.root()).iter().any(|path| path.contains("ingest")));
}

#[test]
fn a_layer_that_came_without_an_index_is_in_order_and_gets_one_whoever_asks_first() {
    let store = TempStore::new();
    let layer = Layer::plain_tar(varied());
    let diff_id = layer.diff_id;
    add(&store, "a:1", &[layer]);
    let record = store.layer(&diff_id).unwrap().unwrap();
    take_index_away(&store, &diff_id);
    assert_eq!(store.check().unwrap(), []);
    assert_eq!(store.layer(&diff_id).unwrap().unwrap().index, None);

    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| store.again().open_layer_index(&diff_id).unwrap());
        }
    });
    assert_eq!(store.layer(&diff_id).unwrap().unwrap(), record);
    assert_eq!(store.check().unwrap(), []);

    // The layer may be gone as a whole, too.
    fs::remove_dir_all(index_path(&store, &diff_id).parent().unwrap()).unwrap();
    store.open_layer_index(&diff_id).unwrap();
    assert_eq!(store.layer(&diff_id).unwrap().unwrap(), record);

    remove(&store, "a:1");
    assert!(!files(store.root()).iter().any(|path| path.contains("layers")));
}

#[test]
fn an_index_is_not_made_from_a_tar_that_changed() {
    let store = TempStore::new();
    let layer = Layer::gzipped_tar(varied());
    let diff_id = layer.diff_id;
    let mut tar = layer.tar.clone();
    add(&store, "a:1", &[layer]);
    take_index_away(&store, &diff_id);
    // In the middle of a file.
    let middle = tar.len() / 2;
    tar[middle] ^= 1;
    let path = index_path(&store, &diff_id).with_file_name("layer.tar");
    fs::remove_file(&path).unwrap();
    fs::write(&path, tar).unwrap();
    let error = store.open_layer_index(&diff_id).unwrap_err();
    assert_eq!(error.kind(), varve_types::Kind::Corrupt);
    assert!(error.to_string().contains(&diff_id.to_string()), "{error}");
    assert!(!index_path(&store, &diff_id).exists());
}

#[test]
fn after_a_restart_an_index_that_lost_bytes_is_made_anew() {
    let store = TempStore::new();
    // A plain tar is on disk before its layer has its name; its index is not.
    for layer in [Layer::gzipped_tar(varied()), Layer::plain(b"two")] {
        let diff_id = layer.diff_id;
        add(&store, "a:1", &[layer]);
        let path = index_path(&store, &diff_id);
        let bytes = fs::read(&path).unwrap();
        let record_path = path.with_file_name("record.json");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let record = crate::made::unsealed(&record_path);
        let earlier = record.replace(boot.trim(), "00000000-0000-0000-0000-000000000000");
        assert_ne!(record, earlier);

        // It made it to disk.
        fs::write(&record_path, &earlier).unwrap();
        let settled = store.layer(&diff_id).unwrap().unwrap();
        assert!(settled.index.is_some() && settled.boot.is_none());

        // It did not.
        fs::write(&record_path, &earlier).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, vec![0; bytes.len()]).unwrap();
        assert_eq!(store.check().unwrap(), []);
        assert_eq!(store.layer(&diff_id).unwrap().unwrap().index, None);
        assert_eq!(store.check().unwrap(), []);
        store.open_layer_index(&diff_id).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(store.layer(&diff_id).unwrap().unwrap(), settled);
    }
}

#[test]
fn what_the_index_cannot_hold_is_among_the_warnings_of_the_layer_once() {
    let mut tar = Writer::new(Vec::new());
    let xattrs: Vec<Xattr> = vec![(b"strange.name".to_vec(), b"1".to_vec())];
    tar.append_bytes(&NewEntry { xattrs: &xattrs, ..NewEntry::file(b"file", 0) }, b"").unwrap();
    let store = TempStore::new();
    let diff_id = import(&store, &tar.finish().unwrap());
    let warnings = |store: &Store| store.layer(&diff_id).unwrap().unwrap().summary.warnings;
    let first = warnings(&store);
    assert_eq!(first.iter().filter(|it| it.contains("strange.name")).count(), 1, "{first:?}");
    take_index_away(&store, &diff_id);
    store.open_layer_index(&diff_id).unwrap();
    assert_eq!(warnings(&store), first);
}

/// A directory of many files, and the same as a layer by GNU tar; `None` where there is no tar.
fn by_gnu_tar(directory: &Path) -> Option<(PathBuf, Vec<u8>)> {
    let root = directory.join("root");
    for number in 0..300_u64 {
        let folder = root.join(format!("{}/{}", number % 7, number % 31));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(number.to_string()), noise(number as usize * 37, number)).unwrap();
    }
    std::os::unix::fs::symlink("0/0/0", root.join("link")).unwrap();
    fs::hard_link(root.join("0/0/0"), root.join("hard")).unwrap();
    let Ok(made) = Command::new("tar").args(["-c", "-C"]).arg(&root).arg(".").output() else {
        eprintln!("SKIPPED: tar is not installed");
        return None;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some((root, made.stdout))
}

/// fsck.erofs before 1.6 knows blocks of 4,096 bytes only; later ones, up to 1.8.6 at least, read beyond their
/// memory for the checksum of an index in blocks of 512, so theirs has none.
#[test]
fn fsck_accepts_the_index_in_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let Some((_, tar)) = by_gnu_tar(directory.path()) else { return };
    let store = TempStore::new();
    let index = index_path(&store, &import(&store, &tar));
    let mut bytes = fs::read(&index).unwrap();
    bytes[1028..1032].fill(0);
    bytes[1032] &= !1;
    let image = directory.path().join("index");
    fs::write(&image, bytes).unwrap();
    let fsck = Command::new("fsck.erofs")
        .arg(format!("--device={}", index.with_file_name("layer.tar").display()))
        .arg("--extract")
        .arg(&image)
        .output();
    let Ok(fsck) = fsck else {
        eprintln!("SKIPPED: fsck.erofs is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&[fsck.stdout, fsck.stderr].concat()).into_owned();
    if said.contains("isn't supported on this platform") {
        eprintln!("SKIPPED: this fsck.erofs knows no blocks of 512 bytes");
        return;
    }
    assert!(fsck.status.success(), "{said}");
}

#[test]
fn the_kernel_shows_the_files_of_a_layer_from_the_store() {
    // Of tmpfs and overlayfs the kernel mounts no plain files.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let Some((root, tar)) = by_gnu_tar(directory.path()) else { return };
    let store = crate::made::open(&directory.path().join("store"));
    let index = index_path(&store, &import(&store, &tar));
    let place = directory.path().join("mounted");
    fs::create_dir(&place).unwrap();
    let options = format!("device={}", index.with_file_name("layer.tar").display());
    let options = std::ffi::CString::new(options).unwrap();
    let flags = rustix::mount::MountFlags::RDONLY;
    if let Err(error) = rustix::mount::mount(&index, &place, "erofs", flags, &*options) {
        assert!(
            matches!(error, Errno::NOTBLK | Errno::NODEV | Errno::PERM | Errno::NOSYS),
            "{error}"
        );
        eprintln!("SKIPPED: cannot mount plain files: {error}");
        return;
    }
    let diff = Command::new("diff").args(["-r", "--no-dereference"]).args([&root, &place]).output();
    let _ = rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH);
    let diff = diff.unwrap();
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
}
