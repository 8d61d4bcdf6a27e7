//! What other programs write we read, and what we write others read: GNU tar and Python's tarfile.
#![expect(clippy::format_push_string, reason = "speed does not count here")]

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timestamps, XattrFlags};
use varve_fs::{
    layer::LayerParser,
    tar::{Device, Event, NewEntry, Parser, Time, Writer},
    tree::{Content, FileBytes, Inode, Tree},
};

/// Of each path, everything that a tar keeps, as text.
type Facts = BTreeMap<String, String>;

/// What a format of tar can hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    FilesAndLinks,
    ShortNames,
    Anything,
    AttributesAndFractions,
}

#[test]
fn every_format_of_gnu_tar_is_read_as_the_files_it_was_made_of() {
    if !have("tar", "--version") {
        return;
    }
    let formats: [(&[&str], Holds); 8] = [
        (&["--format=v7"], Holds::FilesAndLinks),
        (&["--format=ustar"], Holds::ShortNames),
        (&["--format=oldgnu", "--sparse"], Holds::Anything),
        (&["--format=gnu", "--sparse"], Holds::Anything),
        (&["--format=posix", "--xattrs"], Holds::AttributesAndFractions),
        (&["--format=posix", "--xattrs", "-S", "--sparse-version=0.0"], HOLDS_ALL),
        (&["--format=posix", "--xattrs", "-S", "--sparse-version=0.1"], HOLDS_ALL),
        (&["--format=posix", "--xattrs", "-S", "--sparse-version=1.0"], HOLDS_ALL),
    ];
    for (options, holds) in formats {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("files");
        make_awkward_files(&files, holds);
        let archive = dir.path().join("a.tar");
        let made = Command::new("tar")
            .args(["--create", "--numeric-owner", "--file"])
            .arg(&archive)
            .args(options)
            .arg("--directory")
            .args([files.as_os_str(), OsStr::new(".")])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "{options:?}");
        let tar = fs::read(&archive).unwrap();
        let whole_seconds = holds < Holds::AttributesAndFractions;
        compare(&facts_of_disk(&files, whole_seconds), &facts_of_layer(&tar), options);
        compare_with_python(&archive, &tar);
    }
}

#[test]
fn sparse_file_of_ten_gigabytes_is_read_in_every_format() {
    if !have("tar", "--version") {
        return;
    }
    let formats: [&[&str]; 4] = [
        &["--format=gnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ];
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("huge")).unwrap();
    file.set_len(10 << 30).unwrap();
    file.write_all_at(b"far out", 9 << 30).unwrap();
    for options in formats {
        let archive = dir.path().join("a.tar");
        let mut tar = Command::new("tar");
        tar.args(["--create", "--sparse", "--file"]).arg(&archive).args(options);
        assert!(tar.arg("--directory").arg(dir.path()).arg("huge").status().unwrap().success());
        let tar = fs::read(&archive).unwrap();
        compare_with_python(&archive, &tar);
        let mut parser = LayerParser::new();
        parser.update(&tar).unwrap();
        let (summary, tree) = parser.finish().unwrap();
        assert_eq!(summary.content_size_bytes, 10 << 30);
        let Content::File(data) = &tree.inode(tree.lookup(b"huge").unwrap()).content else {
            panic!("not a file");
        };
        let extent = data.extents().next().unwrap();
        let at = extent.tar_offset + (9 << 30) - extent.offset;
        assert_eq!(&tar[at as usize..][..7], b"far out");
    }
}

const HOLDS_ALL: Holds = Holds::AttributesAndFractions;

#[test]
fn gnu_tar_unpacks_what_we_write() {
    if !have("tar", "--version") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (archive, files) = (dir.path().join("a.tar"), dir.path().join("files"));
    fs::write(&archive, written_by_us()).unwrap();
    fs::create_dir(&files).unwrap();
    let unpacked = Command::new("tar")
        .args(["--extract", "--preserve-permissions", "--numeric-owner", "--xattrs"])
        .args(["--xattrs-include=*", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(&files)
        .status()
        .unwrap();
    assert!(unpacked.success());
    let tar = fs::read(&archive).unwrap();
    compare(&facts_of_disk(&files, false), &facts_of_layer(&tar), &["Writer"]);
    compare_with_python(&archive, &tar);
}

/// Says aloud what is skipped, also to whoever runs all tests.
pub(crate) fn have(program: &str, argument: &str) -> bool {
    let run = Command::new(program).arg(argument).stdout(Stdio::null()).status();
    let found = run.is_ok_and(|status| status.success());
    if !found {
        skipped(program, "not installed");
    }
    found
}

/// Says aloud that something is missing here, and why.
pub(crate) fn skipped(what: &str, why: &str) {
    eprintln!("SKIPPED: {what}: {why}");
    if let Some(list) = std::env::var_os("VARVE_TEST_SKIPS") {
        let mut list = fs::File::options().append(true).create(true).open(list).unwrap();
        // In one go: other test programs write there too.
        list.write_all(format!("{what}: {why}\n").as_bytes()).unwrap();
    }
}

fn written_by_us() -> Vec<u8> {
    let ids = if is_root() { (3_000_000, 5) } else { own_ids() };
    let xattrs = [(b"user.a".to_vec(), b"\n\0=\xff".to_vec()), (b"user.b".to_vec(), vec![b'x'])];
    let long = [&b"long name/".repeat(25)[..], b"end"].concat();
    let prefixed = [&b"p".repeat(90)[..], b"/", &b"n".repeat(90)].concat();
    let time = |seconds, nanoseconds| Time { seconds, nanoseconds };
    let entry = |path| NewEntry { uid: ids.0, gid: ids.1, ..NewEntry::file(path, 5) };
    let directory = |path| NewEntry {
        kind: NewEntry::directory(path).kind,
        size: 0,
        mode: 0o1755,
        ..entry(path)
    };
    let (symlink, hard_link) = (NewEntry::symlink(b"", b""), NewEntry::hard_link(b"", b""));
    let link = |path, link_target, like: &NewEntry| NewEntry {
        link_target,
        kind: like.kind,
        size: 0,
        mode: like.mode,
        ..entry(path)
    };
    let mut entries = vec![
        directory(&b"./"[..]),
        directory(&b"dir"[..]),
        NewEntry { mtime: time(-2, 750_000_000), ..entry(b"dir/before 1970") },
        NewEntry { mtime: time(1, 1), mode: 0o644, ..entry(b"dir/nanosecond") },
        NewEntry { mtime: time(1 << 33, 0), mode: 0o4711, ..entry(b"far") },
        directory(&prefixed[..90]),
        entry(&prefixed),
        entry(b"\xff\xfe\n name"),
        link(b"soft", &long, &symlink),
        link(b"hard", b"dir/nanosecond", &hard_link),
    ];
    for end in (0..long.len()).filter(|&at| long[at] == b'/') {
        entries.push(directory(&long[..end]));
    }
    entries.push(entry(&long));
    if supports_xattrs() {
        entries.push(NewEntry { xattrs: &xattrs, ..entry(b"attributes") });
    }
    let mut writer = Writer::new(Vec::new());
    for entry in &entries {
        writer.append_bytes(entry, &b"hello"[..entry.size as usize]).unwrap();
    }
    writer.finish().unwrap()
}

fn make_awkward_files(root: &Path, holds: Holds) {
    fs::create_dir(root).unwrap();
    for size in [0, 1, 511, 512, 513, 100_000] {
        fs::write(root.join(format!("{size}")), vec![b'd'; size]).unwrap();
    }
    fs::create_dir_all(root.join("dir/sub")).unwrap();
    fs::hard_link(root.join("513"), root.join("dir/hard")).unwrap();
    std::os::unix::fs::symlink("../513", root.join("dir/soft")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"not utf-8 \xff\n")), b"x").unwrap();
    fs::set_permissions(root.join("511"), std::os::unix::fs::PermissionsExt::from_mode(0o4751))
        .unwrap();
    make_sparse(&root.join("sparse"), 3);
    set_mtime(&root.join("1"), 1_234_567_890, 0);
    if holds == Holds::FilesAndLinks {
        return;
    }
    rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    // Left out by tar; the socket's file is not among the facts either.
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    let device = rustix::fs::makedev(8, 300);
    // Only root may, and not everywhere.
    let _ = rustix::fs::mknodat(CWD, root.join("dev"), FileType::BlockDevice, Mode::RUSR, device);
    if holds == Holds::ShortNames {
        return;
    }
    let long = root.join("a long name/".repeat(24));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("file"), b"deep").unwrap();
    std::os::unix::fs::symlink("target/".repeat(40), root.join("long link")).unwrap();
    make_sparse(&root.join("many regions"), 60);
    set_mtime(&root.join("511"), -2, 0);
    if is_root() {
        std::os::unix::fs::lchown(root.join("512"), Some(3_000_000), Some(70_000)).unwrap();
    }
    if holds == Holds::AttributesAndFractions {
        set_mtime(&root.join("512"), -2, 750_000_000);
        set_mtime(&root.join("dir"), 7, 1);
        if supports_xattrs() {
            let value = b"\nbinary\0=\xff";
            let file = root.join("1");
            rustix::fs::setxattr(&file, "user.binary", value, XattrFlags::empty()).unwrap();
            rustix::fs::setxattr(&file, "user.text", b"text", XattrFlags::empty()).unwrap();
        }
    }
}

/// A file with holes between pieces, and one at the end.
fn make_sparse(path: &Path, pieces: u64) {
    let file = fs::File::create(path).unwrap();
    for piece in 0..pieces {
        file.write_all_at(format!("piece {piece}").as_bytes(), 10_000 + piece * 100_000).unwrap();
    }
    file.set_len(10_000 + pieces * 100_000).unwrap();
}

fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::empty()).unwrap();
}

pub(crate) fn is_root() -> bool {
    own_ids().0 == 0
}

fn own_ids() -> (u32, u32) {
    let own = tempfile::tempdir().unwrap().path().metadata().unwrap();
    (own.uid(), own.gid())
}

fn supports_xattrs() -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    rustix::fs::setxattr(file.path(), "user.a", b"v", XattrFlags::empty()).is_ok()
}

#[track_caller]
fn compare(expected: &Facts, actual: &Facts, what: &[&str]) {
    for (path, fact) in expected {
        assert_eq!(actual.get(path), Some(fact), "{path} in {what:?}");
    }
    assert_eq!(actual.len(), expected.len(), "{what:?}");
}

fn facts_of_disk(root: &Path, whole_seconds: bool) -> Facts {
    let mut facts = Facts::new();
    let mut paths = vec![PathBuf::new()];
    while let Some(path) = paths.pop() {
        let full = root.join(&path);
        let meta = full.symlink_metadata().unwrap();
        let what = match meta.mode() & 0o170_000 {
            0o140_000 => continue,
            0o040_000 => {
                let names = fs::read_dir(&full).unwrap();
                paths.extend(names.map(|entry| path.join(entry.unwrap().file_name())));
                "dir".to_owned()
            }
            0o120_000 => {
                let target = fs::read_link(&full).unwrap();
                format!("-> {}", target.as_os_str().as_bytes().escape_ascii())
            }
            0o100_000 => file_fact(&fs::read(&full).unwrap()),
            0o010_000 => "fifo".into(),
            kind => {
                let device = meta.rdev();
                let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
                format!("device {} {major},{minor}", kind == 0o060_000)
            }
        };
        let mut fact = format!("{what} {:o} {}:{}", meta.mode() & 0o7777, meta.uid(), meta.gid());
        let nanoseconds = if whole_seconds { 0 } else { meta.mtime_nsec() };
        fact += &format!(" {}.{nanoseconds:09}", meta.mtime());
        if !meta.is_dir() {
            fact += &format!(" links {}", meta.nlink());
        }
        if meta.is_file() && !whole_seconds {
            for name in ["user.a", "user.b", "user.binary", "user.text"] {
                let mut value = vec![0; 100];
                if let Ok(size) = rustix::fs::getxattr(&full, name, &mut value) {
                    fact += &format!(" {name}={}", value[..size].escape_ascii());
                }
            }
        }
        facts.insert(path.as_os_str().as_bytes().escape_ascii().to_string(), fact);
    }
    facts
}

fn file_fact(content: &[u8]) -> String {
    format!("file {} {}", content.len(), varve_types::Digest::of(content).short())
}

fn facts_of_layer(tar: &[u8]) -> Facts {
    let mut parser = LayerParser::new();
    for piece in tar.chunks(5000) {
        parser.update(piece).unwrap();
    }
    let (_, tree) = parser.finish().unwrap();
    let mut facts = Facts::new();
    facts.insert(String::new(), fact_of_inode(tree.inode(Tree::ROOT), tar));
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        facts.insert(path.escape_ascii().to_string(), fact_of_inode(tree.inode(id), tar));
    }
    facts
}

fn fact_of_inode(inode: &Inode, tar: &[u8]) -> String {
    let device =
        |is_block, device: &Device| format!("device {is_block} {},{}", device.major, device.minor);
    let what = match &inode.content {
        Content::File(data) => file_fact(&content(data, tar)),
        Content::Directory(_) => "dir".into(),
        Content::Symlink(target) => format!("-> {}", target.escape_ascii()),
        Content::CharacterDevice(numbers) => device(false, numbers),
        Content::BlockDevice(numbers) => device(true, numbers),
        Content::Fifo => "fifo".into(),
        Content::Whiteout | Content::ForeignHardLink(_) => "unexpected".into(),
    };
    let mut fact = format!("{what} {:o} {}:{}", inode.mode, inode.uid, inode.gid);
    fact += &format!(" {}.{:09}", inode.mtime.seconds, inode.mtime.nanoseconds);
    if !matches!(inode.content, Content::Directory(_)) {
        fact += &format!(" links {}", inode.links);
    }
    for (name, value) in &inode.xattrs {
        fact += &format!(" {}={}", name.escape_ascii(), value.escape_ascii());
    }
    fact
}

/// A file's bytes, from where the tree says that they are.
fn content(data: &FileBytes, tar: &[u8]) -> Vec<u8> {
    let mut content = vec![0; data.size as usize];
    for extent in data.extents() {
        let stored = &tar[extent.tar_offset as usize..][..extent.length as usize];
        content[extent.offset as usize..][..extent.length as usize].copy_from_slice(stored);
    }
    content
}

/// Prints what Python's tarfile makes of an archive, one line for each entry.
const PYTHON: &str = r#"
import math, os, sys, tarfile
def text(s):
    b = os.fsencode(s)
    return "".join(chr(c) if 32 < c < 127 else "\\x%02x" % c for c in b)
def path(s):
    p = os.path.normpath("/" + s)[1:]
    return text(p.lstrip("/"))
for t in tarfile.open(sys.argv[1], errors="surrogateescape", encoding="utf-8"):
    target = text(t.linkname) if t.issym() else path(t.linkname) if t.islnk() else ""
    print(path(t.name), oct(t.mode & 0o7777)[2:], "%d:%d" % (t.uid, t.gid),
          math.floor(t.mtime), t.size if t.isreg() else 0, target, sep="|")
"#;

fn compare_with_python(archive: &Path, tar: &[u8]) {
    if !have("python3", "--version") {
        return;
    }
    let output = Command::new("python3").args(["-c", PYTHON]).arg(archive).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = |bytes: &[u8]| {
        let show = |&byte: &u8| match byte {
            33..=126 => char::from(byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        };
        bytes.iter().map(show).collect::<String>()
    };
    let mut ours = String::new();
    let (mut parser, mut rest) = (Parser::new(), tar);
    while let Some(event) = parser.next(&mut rest).unwrap() {
        let Event::Entry(entry) = event else { continue };
        ours += &format!(
            "{}|{:o}|{}:{}|{}|{}|{}\n",
            shown(&entry.path),
            entry.mode,
            entry.uid,
            entry.gid,
            entry.mtime.seconds,
            entry.size,
            shown(&entry.link_target)
        );
    }
    assert_eq!(ours, String::from_utf8(output.stdout).unwrap());
}
