//! A place to run the program in: a store, a home and an empty working directory.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A directory with all that a run can touch.
pub(crate) struct Sandbox {
    directory: TempDir,
}

impl Drop for Sandbox {
    /// A test that fails leaves no container: their control groups would stay on the machine.
    fn drop(&mut self) {
        let containers = self.directory.path().join("store/varve/containers");
        if std::fs::read_dir(containers).is_ok_and(|mut all| all.next().is_some()) {
            let listed = self.run(&["ps", "-aq"]).stdout;
            let line = ["rm", "-fv"].into_iter().chain(listed.lines());
            self.run(&line.collect::<Vec<_>>());
        }
    }
}

/// What a run printed, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self::at(TempDir::new().expect("a temporary directory"))
    }

    /// In a directory of the caller's.
    pub(crate) fn below(directory: &str) -> Self {
        Self::at(TempDir::new_in(directory).expect("a temporary directory"))
    }

    fn at(directory: TempDir) -> Self {
        std::fs::create_dir_all(directory.path().join("work")).expect("a directory");
        Self { directory }
    }

    /// A path in the working directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("work").join(name)
    }

    /// A command ready to run.
    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let root: &Path = self.directory.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_varve"));
        command
            .args(line)
            .current_dir(root.join("work"))
            .env_clear()
            .env("HOME", root)
            .env("TZ", "UTC")
            .env("VARVE_ROOT", root.join("store"))
            .env("VARVE_RUN", root.join("run"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program with nothing on its input.
    pub(crate) fn run(&self, line: &[&str]) -> Ran {
        self.run_with(line, b"")
    }

    /// Runs the program.
    pub(crate) fn run_with(&self, line: &[&str], input: &[u8]) -> Ran {
        let mut child = self.command(line).spawn().expect("varve starts");
        // A program that does not read its input may be gone already.
        let _ = child.stdin.take().expect("an input").write_all(input);
        let output = child.wait_with_output().expect("varve ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ran {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            code: output.status.code().unwrap_or(-1),
        }
    }

    /// Imports a root file system of one file under a name and returns the image's ID.
    pub(crate) fn import(&self, name: &str, content: &[u8]) -> String {
        let ran = self.run_with(&["import", "-", name], &tar_of("hello", content));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        ran.stdout.trim_end().to_owned()
    }
}

/// A tar of one file.
pub(crate) fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\u{0}00");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}
