//! The hermetic world of one recording: a home, a store, a `docker` that is varve, and the
//! registries that the commands name.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::hub::{Content, Hub};
use crate::record::{Record, common};

/// `alice:secret`, with the cheapest bcrypt there is.
const HTPASSWD: &str = "alice:$2b$04$qcO0TU4Z7ganlumOAOHxm.bazbxY1K90yzv.PO.WauTmdA/YVAQwK\n";
/// Where the recordings' home and working directory were.
const RECORDED_HOME: &str = "/home/dev";
/// Where the recorded daemon kept its volumes and containers.
const RECORDED_STORE: &str = "/var/lib/docker";

/// A recorded port, the real one, and the server behind it.
struct Server {
    recorded: u16,
    port: u16,
    process: Option<Child>,
}

pub(crate) struct World {
    directory: TempDir,
    servers: Vec<Server>,
    hub: Hub,
}

impl Drop for World {
    fn drop(&mut self) {
        // A root of theirs that is mounted keeps the directory from going.
        self.shell("docker ps -aq | xargs -r docker rm -fv", None);
        for process in self.servers.iter_mut().filter_map(|server| server.process.as_mut()) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl World {
    /// A world whose docker.io has `hub` and whose plain registry has `plain`.
    pub(crate) fn start(hub: Content, plain: &Content) -> Self {
        let mut world = Self::without_registries(hub);
        world.serve(5000, &[]);
        world.serve(5001, &["--htpasswd", "htpasswd"]);
        world.serve(5002, &["--read-only"]);
        world.serve(5443, &["--tls-cert", "tls/cert.pem", "--tls-key", "tls/key.pem"]);
        world.configure();
        seed(world.port(5000), plain);
        world
    }

    /// A world with nothing but docker.io.
    pub(crate) fn without_registries(hub: Content) -> Self {
        let directory =
            TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
        let root = directory.path();
        for name in ["bin", "home/run", "home/app", "made", "tls"] {
            std::fs::create_dir_all(root.join(name)).expect("a directory");
        }
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_varve"), root.join("bin/docker"))
            .expect("a link to varve");
        std::fs::write(root.join("htpasswd"), HTPASSWD).expect("a file");
        let authority =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a key");
        std::fs::write(root.join("tls/cert.pem"), authority.cert.pem()).expect("a file");
        std::fs::write(root.join("tls/key.pem"), authority.signing_key.serialize_pem())
            .expect("a file");

        let refused = Server { recorded: 5999, port: free_port(), process: None };
        let world = Self { directory, servers: vec![refused], hub: Hub::start(hub) };
        world.configure();
        world
    }

    /// The directory for files made by the tests; `$MADE` in the shell.
    pub(crate) fn made(&self) -> PathBuf {
        self.directory.path().join("made")
    }

    /// The working directory of the commands.
    pub(crate) fn run_directory(&self) -> PathBuf {
        self.directory.path().join("home/run")
    }

    /// Runs a line that sets something up; panics when it fails.
    pub(crate) fn set_up(&self, line: &str) {
        if line == "!heal" {
            self.hub.healed.store(true, Ordering::SeqCst);
            return;
        }
        let output = self.shell(&self.localise(line), None);
        assert!(
            output.status.success(),
            "setup `{line}` failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Runs a recorded command; returns exit code, standard output and standard error as they
    /// would have been recorded.
    pub(crate) fn run(&self, command: &str, record: &Record) -> (i64, String, String) {
        let command = self.localise(command);
        let stdin = record.stdin.as_deref();
        let output = if record.on_terminal {
            let quoted = command.replace('\'', "'\\''");
            self.shell(&format!("script -qec '{quoted}' /dev/null"), Some(stdin.unwrap_or("\u{4}")))
        } else {
            self.shell(&command, stdin)
        };
        let text = |bytes: &[u8]| self.generalise(&String::from_utf8_lossy(bytes));
        let exit = i64::from(output.status.code().unwrap_or(-1));
        (exit, text(&output.stdout), text(&output.stderr))
    }

    fn shell(&self, line: &str, stdin: Option<&str>) -> Output {
        let root = self.directory.path();
        let mut child = Command::new("sh")
            .args(["-c", line])
            .current_dir(root.join("home/run"))
            .env_clear()
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", root.join("bin").display()))
            .env("HOME", root.join("home"))
            .env("MADE", self.made())
            .env("VARVE_ROOT", root.join("store"))
            .env("VARVE_RUN", root.join("run"))
            .env("VARVE_CONFIG", root.join("config.json"))
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            // A variable of the recording machine.
            .env("B", "fromhost")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut input = child.stdin.take().expect("standard input");
        if line.starts_with("script ") {
            // A person types after the prompt; what comes before it is echoed.
            std::thread::sleep(Duration::from_millis(400));
        }
        // A command that does not read has closed it: fine.
        let _ = input.write_all(stdin.unwrap_or_default().as_bytes());
        drop(input);
        child.wait_with_output().expect("the shell ends")
    }

    /// A recorded command line with this world's ports and directories.
    fn localise(&self, command: &str) -> String {
        let home = self.directory.path().join("home");
        let mut local = command.replace(RECORDED_HOME, &home.display().to_string());
        for server in self.servers.iter().filter(|server| server.recorded != 5443) {
            let recorded = format!("127.0.0.1:{}", server.recorded);
            local = local.replace(&recorded, &format!("127.0.0.1:{}", server.port));
        }
        local
    }

    /// An output with the recorded ports and directories, and docker's name for the program.
    fn generalise(&self, output: &str) -> String {
        let home = self.directory.path().join("home");
        let mut general = output.replace(&home.display().to_string(), RECORDED_HOME);
        let store = self.directory.path().join("store/varve");
        general = general.replace(&store.display().to_string(), RECORDED_STORE);
        for after in [" ", ":", "\n"] {
            general = general.replace(&format!("varve{after}"), &format!("docker{after}"));
        }
        general = general.replace("Varve version", "Docker version");
        for server in &self.servers {
            let recorded = format!("127.0.0.1:{}", server.recorded);
            general = general.replace(&format!("127.0.0.1:{}", server.port), &recorded);
        }
        // The default bridge of a machine that has nothing of 10.83.0.0/16.
        common(&general.replace("10.83.", "172.17."))
    }

    fn port(&self, recorded: u16) -> u16 {
        let found = self.servers.iter().find(|server| server.recorded == recorded);
        found.expect("a known port").port
    }

    fn serve(&mut self, recorded: u16, options: &[&str]) {
        let port = free_port();
        let process = Command::new(env!("CARGO_BIN_EXE_varve"))
            .args(["registry", "serve", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--root", &format!("registry-{recorded}")])
            .args(options)
            .current_dir(self.directory.path())
            .env("VARVE_ROOT", self.directory.path().join("store"))
            .env("VARVE_RUN", self.directory.path().join("run"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("varve starts");
        self.servers.push(Server { recorded, port, process: Some(process) });
        let patience = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < patience, "`varve registry serve` does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn configure(&self) {
        let hub = format!("http://127.0.0.1:{}", self.hub.port);
        let mut config =
            serde_json::json!({"registries": {"docker.io": {"endpoint": hub, "insecure": true}}});
        for server in self.servers.iter().filter(|server| server.recorded == 5443) {
            let tls = format!("https://127.0.0.1:{}", server.port);
            config["registries"]["private.example.com:5443"] = serde_json::json!({"endpoint": tls});
        }
        write(&self.directory.path().join("config.json"), config.to_string().as_bytes());
    }
}

/// Writes a file of the world.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// A free port of four digits, so that columns are as wide as recorded. No port is given twice:
/// one of them is for nobody to listen on.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 7000) as u16;
    loop {
        let port = 2000 + (start + NEXT.fetch_add(1, Ordering::SeqCst)) % 7900;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Fills a registry through its own interface.
fn seed(port: u16, content: &Content) {
    for name in content.tags.keys() {
        let (repository, _) = name.rsplit_once(':').expect("a tag");
        for (digest, bytes) in &content.blobs {
            let upload = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            send(port, "POST", &upload, "application/octet-stream", bytes);
        }
        // Children come before the index that names them.
        let mut manifests: Vec<_> = content.manifests.iter().collect();
        manifests.sort_by_key(|(_, (media_type, _))| media_type.contains("index"));
        for (digest, (media_type, bytes)) in manifests {
            send(port, "PUT", &format!("/v2/{repository}/manifests/{digest}"), media_type, bytes);
        }
    }
    for (name, digest) in &content.tags {
        let (repository, tag) = name.rsplit_once(':').expect("a tag");
        let (media_type, bytes) = &content.manifests[digest];
        send(port, "PUT", &format!("/v2/{repository}/manifests/{tag}"), media_type, bytes);
    }
}

fn send(port: u16, method: &str, path: &str, kind: &str, body: &[u8]) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201"), "{method} {path}: {answer}");
}
