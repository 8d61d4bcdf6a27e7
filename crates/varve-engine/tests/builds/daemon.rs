//! Repositories made to order, and git's own server for them on a loopback address.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use varve_testkit::guard;

/// A server of repositories; gone when dropped.
pub(crate) struct Daemon {
    root: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Daemon {
    /// `None` where there is no git.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        guard::tool("git")?;
        let output = Command::new("git").arg("--exec-path").output().unwrap();
        let programs = String::from_utf8(output.stdout).unwrap();
        let daemon = Path::new(programs.trim()).join("git-daemon");
        guard::path(daemon.to_str().unwrap())?;
        let root = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(daemon)
            .args(["--reuseaddr", "--export-all", "--listen=127.0.0.1", "--base-path=."])
            .arg(format!("--port={port}"))
            .current_dir(root.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { root, port, child };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(daemon)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}", self.port)
    }

    /// Runs git in a repository, as somebody with a time of their own.
    #[track_caller]
    pub(crate) fn git(&self, name: &str, words: &[&str]) -> String {
        let mut command = Command::new("git");
        for (role, variable) in [("AUTHOR", "NAME"), ("COMMITTER", "NAME")] {
            command.env(format!("GIT_{role}_{variable}"), "a");
            command.env(format!("GIT_{role}_EMAIL"), "a@example.org");
            command.env(format!("GIT_{role}_DATE"), "1700000000 +0000");
        }
        let output = command
            .args(["-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"])
            .args(words)
            .current_dir(self.root.path().join(name))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    /// Makes a repository, or goes on with one: a commit of these files. Returns its name.
    #[track_caller]
    pub(crate) fn commit(&self, name: &str, files: &[(&str, &str)]) -> String {
        if !self.path(name).exists() {
            std::fs::create_dir(self.path(name)).unwrap();
            self.git(name, &["init", "--quiet"]);
        }
        for (path, text) in files {
            let path = self.path(name).join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self.git(name, &["add", "--all"]);
        self.git(name, &["commit", "--quiet", "--allow-empty", "-m", "changed"]);
        self.git(name, &["rev-parse", "HEAD"])
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
