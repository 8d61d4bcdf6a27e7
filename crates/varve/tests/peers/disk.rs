//! A file system of its own size, in a mount namespace of its own: nothing is left behind,
//! whatever happens to the test.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use tempfile::TempDir;
use varve_testkit::guard;

/// A small disk; gone when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    holder: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Where it is mounted, in the holder's namespace and nowhere else.
    directory: TempDir,
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Disk {
    /// A disk of so many bytes; `None` where nothing can be mounted.
    #[track_caller]
    pub(crate) fn of(size_bytes: u64) -> Option<Self> {
        if !guard::mounts() {
            return None;
        }
        let directory = TempDir::new().expect("a temporary directory");
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let input = holder.stdin.take().expect("standard input");
        let output = BufReader::new(holder.stdout.take().expect("standard output"));
        let mut disk = Self { holder, input, output, directory };
        let path = disk.directory.path().display().to_string();
        disk.sh(&format!("mount -t tmpfs -o size={size_bytes},mode=755 tmpfs '{path}'"));
        Some(disk)
    }

    /// Runs a line in the holder's shell.
    #[track_caller]
    fn sh(&mut self, line: &str) {
        writeln!(self.input, "{line} && echo done || echo failed").expect("the holder lives");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("the holder answers");
        assert_eq!(answer.trim(), "done", "{line}");
    }

    /// Where the disk is seen from outside its namespace.
    pub(crate) fn path(&self) -> PathBuf {
        let directory = self.directory.path().strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(directory)
    }

    /// Where the disk is in its namespace.
    pub(crate) fn path_inside(&self) -> &Path {
        self.directory.path()
    }

    /// What starts a program there as the same ordinary user who runs this, without privileges.
    /// From outside it would not find the disk once it entered a user namespace of its own. In one
    /// that is in another one nobody maps sub-IDs, hence no `PATH` to find `newuidmap` on.
    pub(crate) fn entry(&self) -> Vec<String> {
        let facts = fs::metadata("/proc/self").expect("ourselves");
        let words = format!(
            "nsenter --preserve-credentials --user --mount --target {} \
             unshare --map-user={} --map-group={} env PATH=",
            self.holder.id(),
            facts.uid(),
            facts.gid()
        );
        words.split_whitespace().map(str::to_owned).collect()
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        let mut file = fs::File::create(self.path().join("filler")).expect("a file");
        for size in [1 << 20, 4096, 1] {
            while file.write(&vec![7; size]).is_ok_and(|written| written > 0) {}
        }
    }

    /// Takes back what [`fill`](Self::fill) took.
    pub(crate) fn relieve(&self) {
        fs::remove_file(self.path().join("filler")).expect("the filler");
    }

    /// Nothing may be written from now on.
    pub(crate) fn make_read_only(&mut self) {
        let path = self.directory.path().display().to_string();
        self.sh(&format!("mount -o remount,bind,ro '{path}'"));
    }
}
