//! What several processes want at once is made once.

use std::{fs, process::Command, thread};

use varve_testkit::{Image, Registry};

use crate::home::Home;

const PROCESSES: usize = 8;
const LAYERS: usize = 2;
const LAYER_SIZE_BYTES: usize = 6 << 20;

/// Bytes that a process and those that it ran gave to `read` and `write`, as the kernel counted.
fn bytes_of(io: &str) -> (usize, usize) {
    let number = |name: &str| {
        let value = io.lines().find_map(|line| line.strip_prefix(name));
        value.expect("a count").trim().parse::<usize>().expect("a number")
    };
    (number("rchar:"), number("wchar:"))
}

/// The layers are noise: inflated they take as many bytes as they do on their way. So whoever
/// inflates one writes as much again, and reads it if it is not the one who fetched it.
#[test]
fn a_layer_that_eight_processes_pull_at_once_is_fetched_and_inflated_once() {
    let (home, registry) = (&Home::new(), &Registry::start());
    let image = Image::seeded(61).layers(LAYERS).layer_size_bytes(LAYER_SIZE_BYTES).build();
    registry.push("app:1", &image);
    let name = &registry.reference("app:1").to_string();
    let varve = env!("CARGO_BIN_EXE_varve");
    // The kernel adds to a process's counts those of its children that have ended.
    let script = r#""$@" > /dev/null && cat /proc/$$/io"#;
    let ran: Vec<String> = thread::scope(|scope| {
        let started: Vec<_> = (0..PROCESSES)
            .map(|_| {
                scope.spawn(|| {
                    let mut shell = Command::new("sh");
                    shell.args(["-c", script, "sh", varve, "pull", "-q", name]);
                    home.at_home(&mut shell).env("VARVE_ROOT", home.store());
                    shell.env("VARVE_RUN", home.path("run"));
                    let output = shell.output().expect("sh starts");
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{said}");
                    String::from_utf8_lossy(&output.stdout).into_owned()
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join().expect("a command")).collect()
    });
    let counts: Vec<(usize, usize)> = ran.iter().map(|io| bytes_of(io)).collect();
    let written: usize = counts.iter().map(|count| count.1).sum();
    // Each layer as it came, and inflated.
    let once = 2 * LAYERS * LAYER_SIZE_BYTES;
    assert!(written >= once, "the count counts: {counts:?}");
    assert!(written < once + LAYER_SIZE_BYTES / 2, "a layer was written again: {counts:?}");
    // What comes through a socket is not all counted; what is read from the store is.
    let read: usize = counts.iter().map(|count| count.0).sum();
    assert!(read < once / 2 + LAYER_SIZE_BYTES / 2, "a layer was read again: {counts:?}");

    let log = registry.log();
    for layer in &image.images[0].layers {
        let path = format!("/v2/app/blobs/{}", layer.digest);
        let fetched = log.iter().filter(|entry| entry.method == "GET" && entry.path == path);
        assert_eq!(fetched.count(), 1, "{path}");
    }
    let layers = fs::read_dir(home.store().join("varve/layers")).unwrap().count();
    assert_eq!(layers, LAYERS);
    home.check();
}
