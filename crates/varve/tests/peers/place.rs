//! A place to run programs in: a home, stores and files of its own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// `alice:secret`, with the cheapest bcrypt there is.
pub(crate) const HTPASSWD: &str =
    "alice:$2b$04$qcO0TU4Z7ganlumOAOHxm.bazbxY1K90yzv.PO.WauTmdA/YVAQwK\n";

pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).expect("a file");
    }

    /// Runs varve, which must succeed; returns what it printed, without the last newline.
    #[track_caller]
    pub(crate) fn varve(&self, words: &[&str]) -> String {
        succeeded(words, &self.try_varve(words))
    }

    pub(crate) fn try_varve(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("varve starts")
    }

    /// Runs another program, which must succeed; returns what it printed.
    #[track_caller]
    pub(crate) fn tool(&self, words: &[&str]) -> String {
        let mut command = Command::new(words[0]);
        let output = self.isolate(&mut command).args(&words[1..]).output();
        succeeded(words, &output.expect("the program starts"))
    }

    /// varve with arguments, to be started.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_varve"));
        self.isolate(&mut command).args(words);
        command
    }

    /// The value of a template on an image.
    #[track_caller]
    pub(crate) fn inspect(&self, image: &str, template: &str) -> String {
        self.varve(&["image", "inspect", "--format", template, image])
    }

    /// Starts `varve registry serve` here; returns its address.
    pub(crate) fn serve(&self, options: &[&str]) -> Server {
        let address = free_address();
        let mut command = self.command(&["registry", "serve", "--listen", &address]);
        command.args(["--root", "registry"]).args(options);
        Server::start(command, address)
    }

    /// Starts Debian's docker-registry here, with lines of configuration for `http` and `auth`.
    pub(crate) fn docker_registry(&self, http: &str, auth: &str) -> Server {
        let address = free_address();
        let data = self.path("docker-registry");
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
             delete:\n    enabled: true\nhttp:\n  addr: {address}\n{http}{auth}",
            data.display()
        );
        self.write("docker-registry.yml", config);
        let mut command = Command::new("docker-registry");
        self.isolate(&mut command).args(["serve", "docker-registry.yml"]);
        Server::start(command, address)
    }

    /// A key and a certificate for loopback, which is its own authority.
    pub(crate) fn certificate(&self) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a key");
        self.write("cert.pem", made.cert.pem());
        self.write("key.pem", made.signing_key.serialize_pem());
        (self.path("cert.pem"), self.path("key.pem"))
    }

    /// Takes a program out of the user's own world.
    fn isolate<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let directory = self.0.path();
        command.current_dir(directory).env_clear().env("HOME", directory);
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("VARVE_ROOT", "store").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.env("XDG_RUNTIME_DIR", directory).stdin(Stdio::null())
    }
}

#[track_caller]
fn succeeded(words: &[&str], output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words:?}: {}\n{out}{err}", output.status);
    out.trim_end_matches('\n').to_owned()
}

/// A server that ends with the test.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(mut command: Command, address: String) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { process: command.spawn().expect("a server starts"), address };
        let patience = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&server.address).is_err() {
            assert!(Instant::now() < patience, "nothing listens on {}", server.address);
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

/// Digest → size of every file under `blobs/sha256` of a layout.
pub(crate) fn blobs(layout: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(layout.join("blobs/sha256")).expect("a layout").flatten();
    let mut blobs: Vec<(String, u64)> = entries
        .map(|entry| {
            let size = entry.metadata().map_or(0, |metadata| metadata.len());
            (entry.file_name().to_string_lossy().into_owned(), size)
        })
        .collect();
    blobs.sort();
    blobs
}
