//! The same requests to Docker's registry and to ours: the statuses must be the same.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use varve_testkit::guard;
use varve_types::Digest;

use crate::client::{Connection, Served};

/// Debian's docker-registry; killed when dropped.
struct Oracle {
    child: Child,
    address: SocketAddr,
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn oracle(directory: &Path) -> Option<Oracle> {
    let program = guard::tool("docker-registry")?;
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp: {{addr: '{address}'}}\n",
        directory.join("oracle").display()
    );
    let file = directory.join("config.yml");
    fs::write(&file, config).unwrap();
    let child = Command::new(program)
        .arg("serve")
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let oracle = Oracle { child, address };
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "docker-registry does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(oracle)
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// A push, a pull and some mistakes; returns what was asked and what came. Chunks out of order are
/// not among them: Docker's registry 2.8 takes them, the specification does not.
fn story(address: SocketAddr) -> Vec<String> {
    let mut connection = Connection::open(address);
    let (hello, config) = (Digest::of(b"hello"), Digest::of(b"{}"));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[]}}"#
    );
    let image = Digest::of(manifest.as_bytes());
    let put = format!("PUT /v2/app/manifests/1\nContent-Type: {OCI}");
    let get = format!("GET /v2/app/manifests/1\nAccept: {OCI}");
    let steps: Vec<(String, &[u8])> = vec![
        ("GET /v2/".into(), b""),
        ("GET /v2/app/tags/list".into(), b""),
        (format!("HEAD /v2/app/blobs/{hello}"), b""),
        (put.clone(), manifest.as_bytes()),
        ("POST /v2/app/blobs/uploads/".into(), b""),
        ("PATCH {upload}".into(), b"hel"),
        ("PATCH {upload}\nContent-Range: 3-4".into(), b"lo"),
        ("GET {upload}".into(), b""),
        (format!("PUT {{upload}}?digest={hello}"), b""),
        ("GET {upload}".into(), b""),
        (format!("GET /v2/app/blobs/{hello}"), b""),
        (format!("GET /v2/app/blobs/{hello}\nRange: bytes=1-2"), b""),
        ("POST /v2/app/blobs/uploads/".into(), b""),
        (format!("PUT {{upload}}?digest={config}"), b"[]"),
        ("POST /v2/app/blobs/uploads/".into(), b""),
        ("DELETE {upload}".into(), b""),
        (format!("POST /v2/app/blobs/uploads/?mount={config}&from=nowhere"), b""),
        (format!("PUT {{upload}}?digest={config}"), b"{}"),
        (put, manifest.as_bytes()),
        (get.clone(), b""),
        (format!("POST /v2/two/blobs/uploads/?mount={config}&from=app"), b""),
        ("GET /v2/app/tags/list".into(), b""),
        ("GET /v2/app/tags/list?n=1".into(), b""),
        ("GET /v2/_catalog".into(), b""),
        ("GET /v2/app/manifests/2".into(), b""),
        (format!("DELETE /v2/app/manifests/{image}"), b""),
        (get, b""),
        (format!("DELETE /v2/app/blobs/{hello}"), b""),
        (format!("GET /v2/app/blobs/{hello}"), b""),
    ];
    let mut upload = String::new();
    let mut seen = Vec::new();
    for (head, body) in steps {
        // Docker's registry keeps its state in the location's query.
        let target = if upload.contains('?') { head.replace('?', "&") } else { head.clone() };
        let asked = if head.contains("{upload}") { &target } else { &head };
        let answer = connection.ask(&asked.replace("{upload}", &upload), body);
        let location = ["Location", "location"].iter().find_map(|name| answer.header(name));
        if let Some(location) = location.filter(|location| location.contains("/uploads/")) {
            let origin = format!("http://{address}");
            location.trim_start_matches(&origin).clone_into(&mut upload);
        }
        let first = head.lines().next().unwrap();
        let range = answer.header("Range").or(answer.header("range")).unwrap_or_default();
        seen.push(format!("{first} → {} {range}", answer.status));
    }
    seen
}

#[test]
fn our_statuses_are_those_of_docker_registry() {
    let directory = tempfile::tempdir().unwrap();
    let Some(oracle) = oracle(directory.path()) else { return };
    let served = Served::start();
    let (ours, theirs) = (story(served.running.local_addr()), story(oracle.address));
    assert_eq!(ours, theirs);
}
