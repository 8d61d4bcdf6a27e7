//! Registries that are processes of their own: Debian's `docker-registry` and
//! `varve registry serve`.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;
use varve_testkit::{guard, registry::Certificate};

/// `alice:secret`, with the cheapest bcrypt there is.
const HTPASSWD: &str = "alice:$2b$04$qcO0TU4Z7ganlumOAOHxm.bazbxY1K90yzv.PO.WauTmdA/YVAQwK\n";
const USER: &str = "alice";
const PASSWORD: &str = "secret";

/// What a registry asks of those who come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Locks {
    /// TLS with an authority that no system trusts.
    pub(crate) tls: bool,
    /// The password of [`Server::USER`].
    pub(crate) password: bool,
}

/// A running registry; gone when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    port: u16,
    directory: TempDir,
    certificate: Option<Certificate>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    pub(crate) const USER: &str = USER;
    pub(crate) const PASSWORD: &str = PASSWORD;
    /// As other tools take user and password together.
    pub(crate) const CREDENTIALS: &str = "alice:secret";

    /// Debian's registry; `None` where it is not installed.
    #[track_caller]
    pub(crate) fn docker(locks: Locks) -> Option<Self> {
        let program = guard::tool("docker-registry")?;
        Some(Self::start(locks, |server| {
            let path = server.directory.path().join("config.yml");
            fs::write(&path, server.docker_configuration(locks)).expect("a file");
            let mut command = Command::new(&program);
            command.arg("serve").arg(path);
            command
        }))
    }

    fn docker_configuration(&self, locks: Locks) -> String {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let mut http = json!({"addr": self.host()});
        if locks.tls {
            http["tls"] = json!({"certificate": path("cert.pem"), "key": path("key.pem")});
        }
        let mut configuration = json!({
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": path("data")}, "delete": {"enabled": true}},
            "http": http,
        });
        if locks.password {
            configuration["auth"] =
                json!({"htpasswd": {"realm": "test", "path": path("htpasswd")}});
        }
        // YAML takes JSON.
        configuration.to_string()
    }

    /// The registry that varve ships.
    pub(crate) fn varve(locks: Locks) -> Self {
        Self::start(locks, |server| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_varve"));
            let root = server.directory.path();
            command.current_dir(root).env("VARVE_ROOT", root.join("store"));
            command.args(["registry", "serve", "--root", "data"]);
            command.args(["--listen", &server.host()]);
            if locks.tls {
                command.args(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
            }
            if locks.password {
                command.args(["--htpasswd", "htpasswd"]);
            }
            command
        })
    }

    fn start(locks: Locks, command: impl Fn(&Self) -> Command) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let certificate = locks.tls.then(Certificate::for_loopback);
        fs::write(directory.path().join("htpasswd"), HTPASSWD).expect("a file");
        if let Some(certificate) = &certificate {
            fs::write(directory.path().join("cert.pem"), &certificate.cert_pem).expect("a file");
            fs::write(directory.path().join("key.pem"), &certificate.key_pem).expect("a file");
        }
        let process = Command::new("true").spawn().expect("a process");
        let mut server = Self { process, port: 0, directory, certificate };
        // Between finding a free port and listening on it another process may take it.
        for _ in 0..5 {
            let _ = server.process.wait();
            server.port = free_port();
            let log = fs::File::create(server.log_path()).expect("a file");
            server.process = command(&server)
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a handle"))
                .stderr(log)
                .spawn()
                .expect("the server starts");
            if server.listens() {
                return server;
            }
        }
        panic!("the server does not listen:\n{}", server.log());
    }

    /// Waits until the server listens; `false` when it ends instead.
    fn listens(&mut self) -> bool {
        let patience = Instant::now() + Duration::from_secs(30);
        while Instant::now() < patience {
            if self.process.try_wait().expect("a child").is_some() {
                return false;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Host and port, as references begin.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A name in this registry.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// The certificate of the authority to trust, PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.certificate.as_ref().expect("a registry with TLS").ca_pem
    }

    /// Everything that the server wrote.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    listener.local_addr().expect("an address").port()
}
