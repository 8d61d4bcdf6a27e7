//! Trees made into files are what GNU tar makes of the same tar.

use std::{
    fs::{self, File},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
};

use varve_fs::extract::{self, ExtractError, Extraction, Marks, Source, extract};
use varve_types::Kind;

use crate::{
    kernel,
    made::{self, Layer},
};

/// Extracts a tar with GNU tar and by ourselves, and compares what GNU tar sees of both.
#[track_caller]
fn compare(tar: &[u8]) {
    compare_named("this", tar);
}

#[track_caller]
pub(crate) fn compare_named(name: &str, tar: &[u8]) {
    if !kernel::is_root() || !kernel::have("tar") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (archive, theirs, ours) =
        (dir.path().join("a.tar"), dir.path().join("theirs"), dir.path().join("ours"));
    fs::write(&archive, tar).unwrap();
    fs::create_dir(&theirs).unwrap();
    let done = Command::new("tar")
        .args(["--extract", "--preserve-permissions", "--numeric-owner", "--xattrs"])
        .args(["--xattrs-include=*", "--delay-directory-restore", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(&theirs)
        .status()
        .unwrap();
    assert!(done.success());
    let layer = Layer::of(tar);
    kernel::extract_to(Source::Layer(&layer.tree, &layer.tar), &ours, Marks::None);
    let (mut theirs_seen, mut ours_seen) =
        (kernel::facts_of_directory(&theirs), kernel::facts_of_directory(&ours));
    // Nobody says what directories without an entry are. The root of an empty layer is one.
    let is_empty = layer.summary.entries == 0;
    for path in layer.summary.implied_directories.iter().map(String::as_str) {
        let path = if path.is_empty() { "." } else { path };
        theirs_seen.remove(path);
        ours_seen.remove(path);
    }
    if is_empty {
        theirs_seen.remove(".");
        ours_seen.remove(".");
    }
    for (path, fact) in &theirs_seen {
        assert_eq!(ours_seen.get(path), Some(fact), "{path} of {name}");
    }
    assert_eq!(ours_seen.len(), theirs_seen.len(), "{name}");
    assert_eq!(links(&ours), links(&theirs), "{name}");
}

/// The paths that are names of one file, for each file with several.
fn links(root: &Path) -> Vec<Vec<PathBuf>> {
    let mut files = std::collections::BTreeMap::<u64, Vec<PathBuf>>::new();
    let mut paths = vec![root.to_path_buf()];
    while let Some(path) = paths.pop() {
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if meta.nlink() > 1 {
            files.entry(meta.ino()).or_default().push(path.strip_prefix(root).unwrap().into());
        }
    }
    let mut links: Vec<_> = files.into_values().collect();
    for paths in &mut links {
        paths.sort();
    }
    links.sort();
    links
}

#[test]
fn every_kind_of_file_is_as_gnu_tar_makes_it() {
    compare(&made::tar(
        "./ =751 +9 @3:4
        d/ =1777 @1:2 +5 user.a:=b
        d/f =4755 @7:8 +1 user.k:=v user.l:=w = text
        d/g =0 = closed
        d/h => d/f
        a => d/f
        e/ =500 +77
        e/x => a
        e/y/ =0 +78
        e/y/z = z
        l =777 @5:6 +3 trusted.t:=v -> d/f
        l2 => l
        p =640 @9:9 +4 |
        p2 => p
        c =666 @0:5 +6 char 1,3
        empty +8",
    ));
}

#[test]
fn names_that_are_long_or_odd_are_as_gnu_tar_makes_them() {
    let deep = "deep/".repeat(60);
    let mut lines = String::from("./ +1\n");
    for level in 1..=60 {
        lines += &format!("{} +{level}\n", "deep/".repeat(level));
    }
    lines += &format!("{deep}file = x\n{0} = long\n\u{fc}\u{a0}\\ = odd", "n".repeat(255));
    compare(&made::tar(&lines));
}

#[test]
fn sparse_files_have_their_holes() {
    if !kernel::have("tar") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(dir.path().join("sparse")).unwrap();
    for piece in 0..20_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, b"piece", 5000 + piece * 300_000).unwrap();
    }
    file.set_len(20_000_000).unwrap();
    for format in ["--format=gnu", "--format=posix"] {
        let output = Command::new("tar")
            .args(["--create", "--sparse", format, "--directory"])
            .arg(dir.path())
            .arg(".")
            .output()
            .unwrap();
        compare(&output.stdout);
        let (layer, ours) = (Layer::of(&output.stdout), tempfile::tempdir().unwrap());
        if kernel::is_root() {
            let target = ours.path().join("ours");
            kernel::extract_to(Source::Layer(&layer.tree, &layer.tar), &target, Marks::None);
            assert!(target.join("sparse").metadata().unwrap().blocks() * 512 < 1 << 20);
        }
    }
}

/// Set `VARVE_DEBIAN_TAR` to a root file system's tar to have another one compared.
#[test]
fn debian_root_is_as_gnu_tar_makes_it() {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-root.tar");
    let path = std::env::var_os("VARVE_DEBIAN_TAR").map_or(made, PathBuf::from);
    match fs::read(path) {
        Ok(tar) => compare(&tar),
        Err(_) => kernel::skip("a Debian root", "not there: `cargo xtask test` makes it"),
    }
}

#[test]
fn nothing_is_written_where_something_is_or_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let own = outside.metadata().unwrap();
    let owner = format!("@{}:{}", own.uid(), own.gid());
    let layer = Layer::made(&format!("./ {owner}\nd/ {owner}\nd/f {owner} = f\ng {owner} = g"));
    for (name, target) in [("d", outside.clone()), ("g", outside.join("g")), ("d", "/".into())] {
        let inside = tempfile::tempdir().unwrap();
        symlink(&target, inside.path().join(name)).unwrap();
        let (source, directory) =
            (Source::Layer(&layer.tree, &layer.tar), File::open(inside.path()).unwrap());
        let request = Extraction { source, marks: Marks::None, threads: 2 };
        let error = extract(&request, directory.as_fd()).unwrap_err();
        let (shown, kind) = (error.to_string(), error.kind());
        assert!(shown.starts_with("cannot create"), "{shown}");
        assert!(shown.ends_with(&format!("`/{name}`")), "{shown}");
        assert_eq!(kind, Kind::Internal);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}

/// While files are made, somebody keeps exchanging a directory for a link that leads outside.
#[test]
fn nothing_is_written_outside_while_directories_are_exchanged_for_links() {
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    let own = outside.metadata().unwrap();
    let owner = format!("@{}:{}", own.uid(), own.gid());
    let mut lines = format!("./ {owner}\nd/ {owner}\n");
    for number in 0..300 {
        lines += &format!("d/{number}/ {owner}\nd/{number}/f {owner} = f\n");
    }
    let layer = Layer::made(&lines);
    for round in 0..8 {
        fs::create_dir(&inside).unwrap();
        let target = File::open(&inside).unwrap();
        let is_done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (from, away) = (inside.join("d"), inside.join("away"));
                while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                    if fs::rename(&from, &away).is_ok() {
                        let _ = symlink(&outside, &from);
                        let _ = fs::remove_file(&from);
                        let _ = fs::rename(&away, &from);
                    }
                }
            });
            let source = Source::Layer(&layer.tree, &layer.tar);
            let request = Extraction { source, marks: Marks::None, threads: 2 };
            // It may well fail; it must not follow.
            let _ = extract(&request, target.as_fd());
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "round {round}");
        fs::remove_dir_all(&inside).unwrap();
    }
}

#[test]
fn tar_that_became_shorter_is_told_with_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().metadata().unwrap();
    let owner = format!("@{}:{}", own.uid(), own.gid());
    let layer = Layer::made(&format!("./ {owner}\nd/ {owner}\nd/f {owner} = some text"));
    layer.tar.set_len(512 * 3 + 4).unwrap();
    let (source, target) =
        (Source::Layer(&layer.tree, &layer.tar), File::open(dir.path()).unwrap());
    let request = Extraction { source, marks: Marks::None, threads: 1 };
    let error = extract(&request, target.as_fd()).unwrap_err();
    assert!(matches!(&error, ExtractError::TarTooShort { path } if path == b"d/f"), "{error}");
    assert_eq!(error.kind(), Kind::Corrupt);
}

#[test]
fn user_namespaces_form_of_whiteouts_is_mounted_with_userxattr() {
    if !kernel::is_root() || !kernel::may_mount_overlays() {
        return;
    }
    let lower = Layer::made("a = a\nb = b\nd/\nd/x = x\ne/\ne/y = y\ne/z = z");
    let upper =
        Layer::made(".wh.a\nd/.wh..wh..opq\nd/n = n\ne/.wh.y\nf user.overlay.opaque:=y = f");
    for marks in [Marks::User, Marks::UserAttributes] {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().join("lower"), dir.path().join("upper")];
        kernel::extract_to(Source::Layer(&lower.tree, &lower.tar), &paths[0], marks);
        kernel::extract_to(Source::Layer(&upper.tree, &upper.tar), &paths[1], marks);
        let facts = kernel::facts_of_overlay(&paths, "userxattr", "");
        let seen: Vec<&str> = facts.keys().map(String::as_str).collect();
        assert_eq!(seen, [".", "b", "d", "d/n", "e", "e/z", "f"], "{marks:?}");
        assert!(facts["f"].ends_with(" user.overlay.opaque=y"), "{}", facts["f"]);
    }
}

#[test]
fn whole_trees_are_removed_however_deep_and_closed_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (store, trash) = (dir.path().join("store"), dir.path().join("trash"));
    fs::create_dir_all(&store).unwrap();
    fs::create_dir(&trash).unwrap();
    let outside = dir.path().join("outside");
    fs::write(&outside, "kept").unwrap();
    // Deeper than a path can be long.
    let mut at = File::open(&store).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&at, "tree", rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY;
        at = rustix::fs::openat(&at, "tree", flags, rustix::fs::Mode::empty()).unwrap().into();
    }
    symlink(&outside, store.join("tree/link")).unwrap();
    for name in ["a", "b", "c"] {
        fs::create_dir(store.join("tree").join(name)).unwrap();
        fs::write(store.join("tree").join(name).join("f"), "x").unwrap();
    }
    let closed = fs::Permissions::from_mode(0o500);
    fs::set_permissions(store.join("tree/b"), closed).unwrap();
    fs::set_permissions(store.join("tree/c"), fs::Permissions::from_mode(0o000)).unwrap();
    let (store_fd, trash_fd) = (File::open(&store).unwrap(), File::open(&trash).unwrap());
    extract::remove(store_fd.as_fd(), b"tree", trash_fd.as_fd()).unwrap();
    extract::remove(store_fd.as_fd(), b"never there", trash_fd.as_fd()).unwrap();
    assert_eq!(fs::read_dir(&store).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&trash).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");

    // What a killed process left.
    fs::create_dir_all(trash.join("left/over")).unwrap();
    extract::empty(trash_fd.as_fd()).unwrap();
    assert_eq!(fs::read_dir(&trash).unwrap().count(), 0);
}

#[test]
fn merged_tree_is_extracted_from_the_tars_of_its_layers() {
    if !kernel::is_root() {
        return;
    }
    let layers = [
        Layer::made("./ +1\nd/ +2\nd/a = low\nb = hidden"),
        Layer::made("d/c => d/a\n.wh.b\ne = high"),
    ];
    let trees = [&layers[0].tree, &layers[1].tree];
    let stack = varve_fs::stack::Stack::merge(&trees).unwrap();
    let tars: Vec<File> = layers.iter().map(|layer| layer.tar.try_clone().unwrap()).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    kernel::extract_to(Source::Stack(&stack, &tars), &path, Marks::None);
    let expected = made::facts_of_stack(&stack, &tars.iter().collect::<Vec<_>>());
    assert_eq!(kernel::facts_of_directory(&path), expected);
    assert_eq!(path.join("d/a").metadata().unwrap().nlink(), 2);
}
