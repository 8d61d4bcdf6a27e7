//! The kernel, fsck.erofs and GNU tar as judges of our indexes.

use std::{
    ffi::CString,
    fs,
    io::{BufWriter, Read as _, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    io::Errno,
    mount::{MountFlags, UnmountFlags},
};
use varve_fs::{
    erofs::{BlockSize, Index, Layer, write_index, write_whole},
    layer::{LayerParser, LayerSummary, path_of_text, text_of_path},
    tree::Tree,
};

use super::{
    corpus,
    disk::facts_of_disk,
    facts::{compare, facts_of_tree},
    index::{facts_of_index, index, parse},
    others::{have, is_root, skipped},
    raw::Raw,
};

/// A directory on the file system that cargo builds on: the kernel mounts plain files from ext4,
/// XFS and their like, and neither from tmpfs nor from overlayfs.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// An index that is mounted as long as this lives.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

/// `None` where the kernel cannot, which is said aloud.
fn mount(index: &Path, tar: Option<&Path>) -> Option<Mount> {
    let place = index.with_extension("mounted");
    fs::create_dir(&place).unwrap();
    let device = tar.map(|tar| [b"device=", tar.as_os_str().as_bytes()].concat());
    let options = CString::new(device.unwrap_or_default()).unwrap();
    match rustix::mount::mount(index, &place, "erofs", MountFlags::RDONLY, &*options) {
        Ok(()) => Some(Mount(place)),
        Err(error @ (Errno::NOTBLK | Errno::NODEV | Errno::PERM)) => {
            skipped("erofs", &format!("cannot mount plain files: {error}"));
            None
        }
        Err(error) => panic!("mount of {}: {error}", index.display()),
    }
}

#[test]
fn kernel_shows_the_tree_of_every_archive() {
    if !is_root() {
        skipped("root", "mounting wants it");
        return;
    }
    let dir = directory();
    for (number, case) in corpus::cases().into_iter().enumerate() {
        let (tar, image) = files(dir.path(), number, &case.tar);
        fs::write(&image, index(&case.tar, BlockSize::Tar).unwrap().0).unwrap();
        let Some(mounted) = mount(&image, Some(&tar)) else { return };
        let (_, tree) = parse(&case.tar);
        let actual = facts_of_disk(&mounted.0);
        compare(&facts_of_tree(&tree, &case.tar), &actual, case.name);
    }
}

#[test]
fn kernel_shows_a_tree_that_is_whole_without_its_tar() {
    if !is_root() {
        skipped("root", "mounting wants it");
        return;
    }
    let dir = directory();
    for (number, case) in corpus::cases().into_iter().enumerate() {
        let (_, image) = files(dir.path(), number, &case.tar);
        let (summary, tree) = parse(&case.tar);
        let mut bytes = Vec::new();
        write_whole(&tree, summary.diff_id.0, &|_| &case.tar, &mut bytes).unwrap();
        fs::write(&image, &bytes).unwrap();
        compare(&facts_of_tree(&tree, &case.tar), &facts_of_index(&bytes, b""), case.name);
        let Some(mounted) = mount(&image, None) else { return };
        compare(&facts_of_tree(&tree, &case.tar), &facts_of_disk(&mounted.0), case.name);
    }
}

/// The C library leaves out names whose inode has the number 0.
#[test]
fn directories_of_the_root_list_their_parent() {
    if !is_root() {
        skipped("root", "mounting wants it");
        return;
    }
    let dir = directory();
    let archive = Raw::new().directory("d").end();
    let (tar, image) = files(dir.path(), 0, &archive);
    fs::write(&image, index(&archive, BlockSize::Tar).unwrap().0).unwrap();
    let Some(mounted) = mount(&image, Some(&tar)) else { return };
    let output = Command::new("ls").arg("-a").arg(mounted.0.join("d")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), ".\n..\n");
}

#[test]
fn kernel_shows_what_gnu_tar_unpacks() {
    if !have("tar", "--version") {
        return;
    }
    if !is_root() {
        skipped("root", "mounting wants it");
        return;
    }
    let dir = directory();
    for (number, case) in corpus::cases().into_iter().enumerate() {
        if !case.is_for_gnu_tar {
            continue;
        }
        let (tar, image) = files(dir.path(), number, &case.tar);
        fs::write(&image, index(&case.tar, BlockSize::Tar).unwrap().0).unwrap();
        let (summary, _) = parse(&case.tar);
        let Some(mounted) = mount(&image, Some(&tar)) else { return };
        compare_with_gnu_tar(&tar, &mounted.0, &summary, case.name);
    }
}

#[test]
fn kernel_shows_a_debian_root_as_gnu_tar_unpacks_it() {
    let tar = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-root.tar");
    if !tar.is_file() {
        skipped("debian-root", "`cargo xtask test` makes it");
        return;
    }
    if !have("tar", "--version") {
        return;
    }
    let dir = directory();
    let image = dir.path().join("index");
    let (summary, tree) = parse_file(&tar);
    write_file(&summary, &tree, &tar, &image);
    let share = image.metadata().unwrap().len() as f64 / summary.tar_size_bytes as f64;
    assert!(share < 0.02, "the index is {share} of the tar");
    if !is_root() {
        skipped("root", "mounting wants it");
        return;
    }
    let Some(mounted) = mount(&image, Some(&tar)) else { return };
    compare_with_gnu_tar(&tar, &mounted.0, &summary, "a Debian root");
}

#[test]
fn kernel_finds_each_of_100_000_names_in_a_directory() {
    let names = 100_000;
    let tar =
        (0..names).fold(Raw::new().directory("./"), |tar, at| tar.file(&format!("d/{at}"), b""));
    let tar_bytes = tar.end();
    let (bytes, _) = index(&tar_bytes, BlockSize::Tar).unwrap();
    let found = Index::open(&bytes[..]).unwrap();
    let directory_node = found.lookup(b"d").unwrap().unwrap();
    assert_eq!(found.children(&directory_node).map(Result::unwrap).count(), names);
    assert!(found.lookup(b"d/99999").unwrap().is_some());
    if !is_root() {
        skipped("root", "mounting wants it");
        return;
    }
    let dir = directory();
    let (tar, image) = files(dir.path(), 0, &tar_bytes);
    fs::write(&image, bytes).unwrap();
    let Some(mounted) = mount(&image, Some(&tar)) else { return };
    assert_eq!(fs::read_dir(mounted.0.join("d")).unwrap().count(), names);
    for at in (0..names).step_by(97) {
        assert!(mounted.0.join(format!("d/{at}")).is_file(), "{at}");
    }
    assert!(!mounted.0.join("d/100000").exists());
}

/// fsck.erofs before 1.6 knows blocks of 4,096 bytes only; the same tree in such blocks is for it. With smaller
/// blocks than a superblock's place it reads beyond its memory for the checksum, up to 1.8.6 at least.
#[test]
fn fsck_accepts_every_index() {
    if !have("fsck.erofs", "-V") {
        return;
    }
    let dir = directory();
    let mut knows_small_blocks = true;
    for (number, case) in corpus::cases().into_iter().enumerate() {
        for block_size in [BlockSize::Tar, BlockSize::Page] {
            if block_size == BlockSize::Tar && !knows_small_blocks {
                continue;
            }
            let (tar, image) = files(dir.path(), number, &case.tar);
            let mut bytes = index(&case.tar, block_size).unwrap().0;
            if block_size == BlockSize::Tar {
                without_checksum(&mut bytes);
            }
            fs::write(&image, bytes).unwrap();
            let fsck = Command::new("fsck.erofs")
                .arg(format!("--device={}", tar.display()))
                .arg("--extract")
                .arg(&image)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&[fsck.stdout, fsck.stderr].concat()).into_owned();
            if block_size == BlockSize::Tar && said.contains("isn't supported on this platform") {
                skipped("fsck.erofs", "this one knows no blocks of 512 bytes");
                knows_small_blocks = false;
                continue;
            }
            assert!(fsck.status.success(), "{} {block_size:?}: {said}", case.name);
        }
    }
}

/// Takes the checksum (4 bytes at 4 of the superblock, flag 1 of those at 8) out of an index.
fn without_checksum(index: &mut [u8]) {
    index[1028..1032].fill(0);
    index[1032] &= !1;
}

fn files(dir: &Path, number: usize, bytes: &[u8]) -> (PathBuf, PathBuf) {
    let tar = dir.join(format!("{number}.tar"));
    fs::write(&tar, bytes).unwrap();
    (tar, dir.join(format!("{number}.index")))
}

fn parse_file(tar: &Path) -> (LayerSummary, Tree) {
    let mut file = fs::File::open(tar).unwrap();
    let (mut parser, mut piece) = (LayerParser::new(), vec![0; 1 << 20]);
    loop {
        let size = file.read(&mut piece).unwrap();
        if size == 0 {
            return parser.finish().unwrap();
        }
        parser.update(&piece[..size]).unwrap();
    }
}

fn write_file(summary: &LayerSummary, tree: &Tree, tar: &Path, image: &Path) {
    let layer = Layer {
        tree,
        diff_id: summary.diff_id,
        tar_size_bytes: summary.tar_size_bytes,
        block_size: BlockSize::Tar,
    };
    let mut out = BufWriter::new(fs::File::create(image).unwrap());
    let before = std::time::Instant::now();
    write_index(layer, &fs::File::open(tar).unwrap(), &mut out).unwrap();
    out.flush().unwrap();
    let (size, time) = (image.metadata().unwrap().len(), before.elapsed());
    println!("index of {} bytes for a tar of {}, in {time:?}", size, summary.tar_size_bytes);
}

fn compare_with_gnu_tar(tar: &Path, mounted: &Path, summary: &LayerSummary, name: &str) {
    let unpacked = tempfile::tempdir_in(tar.parent().unwrap()).unwrap();
    let tar = Command::new("tar")
        .args(["--extract", "--preserve-permissions", "--numeric-owner", "--xattrs", "--acls"])
        .args(["--xattrs-include=*", "--file"])
        .arg(tar)
        .arg("--directory")
        .arg(unpacked.path())
        .output()
        .unwrap();
    assert!(tar.status.success(), "{name}: {}", String::from_utf8_lossy(&tar.stderr));
    let mut expected = facts_of_disk(unpacked.path());
    let mut actual = facts_of_disk(mounted);
    let root = String::new();
    let implied = summary.implied_directories.iter().chain((summary.entries == 0).then_some(&root));
    for directory in implied {
        // Invented on both sides.
        let path = text_of_path(&path_of_text(directory).unwrap());
        expected.remove(&path);
        actual.remove(&path);
    }
    compare(&expected, &actual, name);
}
