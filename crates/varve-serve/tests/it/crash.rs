//! A registry that is killed.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use varve_serve::registry::serve;
use varve_types::{Ctx, Digest};

use crate::client::{Connection, options};

const ROOT: &str = "VARVE_TEST_REGISTRY_ROOT";

/// Not a test: the registry of the tests below, in a process that can be killed.
#[test]
#[ignore = "started by other tests"]
fn registry_of_its_own() {
    let Some(root) = env::var_os(ROOT) else { return };
    let running = serve(options(Path::new(&root)), &Ctx::for_test()).unwrap();
    writeln!(std::io::stderr(), "listening on {}", running.local_addr()).unwrap();
    running.wait_for_signal().unwrap();
}

fn start(root: &Path) -> (Child, Connection) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "crash::registry_of_its_own", "--nocapture"])
        .env(ROOT, root)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines
        .find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned))
        .unwrap();
    let connection = Connection::open(address.parse().unwrap());
    (child, connection)
}

/// SIGKILL in the middle of a chunk: what came is there when the registry is back, and the
/// upload ends right, with a hash that the new process had to make anew.
#[test]
fn an_upload_goes_on_after_the_registry_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("registry");
    let (mut child, mut connection) = start(&root);
    let begun = connection.ask("POST /v2/app/blobs/uploads/", b"");
    let location = begun.header("location").unwrap().to_owned();
    let blob = vec![5; 2_000_000];
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n");
    connection.write(&[head.as_bytes(), &blob[..1_500_000]].concat());
    // Wait until some of it is there.
    let data = root.join("_varve/uploads").join(location.rsplit('/').next().unwrap()).join("data");
    while std::fs::metadata(&data).unwrap().len() == 0 {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let (mut child, mut connection) = start(&root);
    let status = connection.ask(&format!("GET {location}"), b"");
    let last: usize = status.header("range").unwrap()[2..].parse().unwrap();
    let rest = &blob[last + 1..];
    let digest = Digest::of(&blob);
    let put = format!("PUT {location}?digest={digest}\nContent-Range: {}-1999999", last + 1);
    assert_eq!(connection.ask(&put, rest).status, 201);
    assert!(connection.ask(&format!("GET /v2/app/blobs/{digest}"), b"").body == blob);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn sigterm_ends_the_registry_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, mut connection) = start(&directory.path().join("registry"));
    connection.ask("GET /v2/", b"");
    let status = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
    assert!(child.wait().unwrap().success());
}
