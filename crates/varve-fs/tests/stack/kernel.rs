//! What the kernel makes of directories put one upon the other.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Write as _,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use varve_fs::{
    erofs::{self, BlockSize},
    extract::{Extracted, Extraction, Marks, Source, extract},
    mount::{self, Erofs, InUse, Mount},
};
use varve_types::Kind;

use crate::made::{Facts, Layer, facts_of_layer};

/// Whether this process may mount; says aloud when not.
pub(crate) fn may_mount_overlays() -> bool {
    let script = "mount -t tmpfs none /mnt && cd /mnt && mkdir a b m \
                  && mount -t overlay -o lowerdir=a:b none m";
    let mut run = Command::new("unshare");
    let run = silent(run.args(["--mount", "sh", "-c", script]));
    let found = run.status().is_ok_and(|status| status.success());
    if !found {
        skip("overlayfs", "not allowed here");
    }
    found
}

pub(crate) fn have(program: &str) -> bool {
    let mut run = Command::new(program);
    let found = silent(run.arg("--version")).status().is_ok_and(|status| status.success());
    if !found {
        skip(program, "not installed");
    }
    found
}

pub(crate) fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("root", "not us");
    }
    is_root
}

/// Says aloud what is skipped, also to whoever runs all tests.
pub(crate) fn skip(what: &str, why: &str) {
    eprintln!("SKIPPED: {what} is {why}");
    if let Some(list) = std::env::var_os("VARVE_TEST_SKIPS") {
        let mut list = File::options().append(true).create(true).open(list).unwrap();
        // In one go: other test programs write there too.
        list.write_all(format!("{what}: {why}\n").as_bytes()).unwrap();
    }
}

fn silent(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// Extracts into a new directory.
pub(crate) fn extract_to(source: Source, path: &Path, marks: Marks) -> Extracted {
    std::fs::create_dir(path).unwrap();
    let target = File::open(path).unwrap();
    extract(&Extraction { source, marks, threads: 3 }, target.as_fd()).unwrap()
}

/// A layer mounted from its tar and index, until this goes.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Mounted {
    /// `None` where the kernel does not mount such files; says so aloud.
    pub(crate) fn of(layer: &Layer, dir: &Path) -> Option<Self> {
        std::fs::create_dir(dir).unwrap();
        let (index, tar, place) = (dir.join("index"), dir.join("tar"), dir.join("place"));
        let mut bytes = Vec::new();
        let to_write = erofs::Layer {
            tree: &layer.tree,
            diff_id: layer.summary.diff_id,
            tar_size_bytes: layer.summary.tar_size_bytes,
            block_size: BlockSize::Tar,
        };
        erofs::write_index(to_write, &layer.tar, &mut bytes).unwrap();
        std::fs::write(&index, bytes).unwrap();
        let mut from = layer.tar.try_clone().unwrap();
        std::io::Seek::rewind(&mut from).unwrap();
        std::io::copy(&mut from, &mut File::create(&tar).unwrap()).unwrap();
        std::fs::create_dir(&place).unwrap();
        match Mount::Erofs(Erofs { index, tar: Some(tar) }).mount(&place) {
            Err(error) if error.kind() == Kind::Unsupported => {
                skip("EROFS from plain files", "not what this kernel does here");
                None
            }
            mounted => {
                mounted.unwrap();
                Some(Self(place))
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        mount::unmount(&self.0, InUse::Detached).unwrap();
    }
}

/// The facts of a directory as GNU tar sees it.
pub(crate) fn facts_of_directory(path: &Path) -> Facts {
    facts_of_script("", &[path.into()])
}

/// Mounts an overlay of directories, the lowest first, in a mount namespace of its own, runs
/// `then` (with the mount as its working directory), and gives what GNU tar sees there.
pub(crate) fn facts_of_overlay(lowers: &[PathBuf], options: &str, then: &str) -> Facts {
    let script = format!(
        "top=$1; shift; mount -t overlay -o \"$1,{options}\" none \"$top\"; set -- \"$top\"; \
         cd \"$top\"; {then}"
    );
    let place = tempfile::tempdir().unwrap();
    let mut lowerdir = OsString::from("lowerdir=");
    for (index, lower) in lowers.iter().rev().enumerate() {
        lowerdir.push(if index > 0 { ":" } else { "" });
        lowerdir.push(lower);
    }
    if lowers.len() == 1 {
        // One alone cannot be mounted.
        let empty = place.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        lowerdir.push(":");
        lowerdir.push(empty);
    }
    let top = place.path().join("top");
    std::fs::create_dir(&top).unwrap();
    facts_of_script(&script, &[top.into(), lowerdir])
}

fn facts_of_script(script: &str, arguments: &[OsString]) -> Facts {
    let script = format!(
        "set -e; {script}\n tar --create --format=posix --xattrs '--xattrs-include=*' \
         --numeric-owner --pax-option=delete=atime,delete=ctime --directory \"$1\" ."
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"].map(OsStr::new))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    facts_of_layer(&Layer::of(&output.stdout))
}
