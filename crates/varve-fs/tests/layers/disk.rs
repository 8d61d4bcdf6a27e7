//! What the kernel tells of the files below a directory.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use varve_fs::{
    layer::text_of_path,
    tar::{Device, Xattr},
};

use super::facts::{Facts, Summed, Told, WHITEOUT, device};

/// What the kernel tells of all files below a directory.
pub(crate) fn facts_of_disk(root: &Path) -> Facts {
    let mut facts = Facts::new();
    let mut paths = vec![PathBuf::new()];
    while let Some(path) = paths.pop() {
        let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        let meta = full.symlink_metadata().unwrap();
        if meta.is_dir() {
            let names = fs::read_dir(&full).unwrap();
            paths.extend(names.map(|entry| path.join(entry.unwrap().file_name())));
        }
        facts.insert(text_of_path(path.as_os_str().as_bytes()), fact_of_file(&full, &meta));
    }
    facts
}

fn fact_of_file(path: &Path, meta: &fs::Metadata) -> String {
    let (xattrs, is_opaque) = xattrs(path);
    let numbers =
        Device { major: rustix::fs::major(meta.rdev()), minor: rustix::fs::minor(meta.rdev()) };
    let what = match meta.mode() & 0o170_000 {
        0o040_000 => format!("directory{}", if is_opaque { " opaque" } else { "" }),
        0o120_000 => {
            let target = fs::read_link(path).unwrap();
            format!("-> {}", text_of_path(target.as_os_str().as_bytes()))
        }
        0o100_000 => content(path, meta.size()),
        0o010_000 => "fifo".into(),
        0o060_000 => device("block", numbers),
        _ if numbers == Device::default() => return WHITEOUT.into(),
        _ => device("character", numbers),
    };
    Told {
        what,
        mode: meta.mode() & 0o7777,
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec() as u32),
        links: meta.nlink() as u32,
        xattrs: &xattrs,
    }
    .fact()
}

/// Reads a file; of one too large for that, its beginning and its end.
fn content(path: &Path, size: u64) -> String {
    let file = fs::File::open(path).unwrap();
    let mut summed = Summed::default();
    let (mut at, mut piece) = (0, vec![0; 1 << 20]);
    while at < size {
        let length = (size - at).min(piece.len() as u64);
        // Far from both ends the large files of the archives are one hole.
        if size > 1 << 30 && at + length < 8_999_000_000 {
            let hole = (8_999_000_000 - at) / 512 * 512;
            summed.add_hole(hole);
            at += hole;
            continue;
        }
        if size > 1 << 30 && at > 9_001_000_000 && at + length < size - (1 << 20) {
            let hole = (size - (1 << 20) - at) / 512 * 512;
            summed.add_hole(hole.max(512));
            at += hole.max(512);
            continue;
        }
        let piece = &mut piece[..length as usize];
        std::os::unix::fs::FileExt::read_exact_at(&file, piece, at).unwrap();
        summed.add(piece);
        at += length;
    }
    summed.finish()
}

/// The attributes under the names that a tar has for them, and whether one makes it opaque.
fn xattrs(path: &Path) -> (Vec<Xattr>, bool) {
    let mut names = vec![0; 64 << 10];
    let size = rustix::fs::llistxattr(path, &mut names).unwrap();
    let mut xattrs = Vec::new();
    let mut is_opaque = false;
    for name in names[..size].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        let size = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
        value.truncate(size);
        match name.strip_prefix(b"trusted.overlay.") {
            Some(b"opaque") => is_opaque = true,
            Some(rest) => {
                let rest = rest.strip_prefix(b"overlay.").expect("escaped");
                xattrs.push(([b"trusted.overlay.", rest].concat(), value));
            }
            None if name == b"security.selinux" => {}
            None => xattrs.push((name.to_vec(), value)),
        }
    }
    xattrs.sort();
    (xattrs, is_opaque)
}
