//! Where an embedded runtime that was tried first went wrong, and where ours must not.

use std::{fs, io::Read as _, io::Write as _};

use rustix::termios::tcgetwinsize;
use serde_json::json;
use varve_runtime::oci::{Delete, Embedded, Process, Runtime as _, Stdio};

use crate::world::{Kind, World, for_each_runtime, nothing, wait};

/// Reads a terminal until its other side is closed, which the kernel calls an error.
fn read_terminal(mut master: fs::File) -> String {
    let (mut text, mut bytes) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = master.read(&mut bytes) {
        text.extend_from_slice(&bytes[..length]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

for_each_runtime! {
    fn a_terminal_is_one(world) {
        world.configure(|config| {
            config["process"]["consoleSize"] = json!({"height": 33, "width": 77});
            let line = "tty; test -t 0 && test -t 1 && test -t 2 && echo yes; stty size; \
                        stat -c %F /dev/console; echo from the console > /dev/console; \
                        read line; echo got $line; echo > /dev/tty && echo controlling";
            config["process"]["args"] = json!(["/bin/sh", "-c", line]);
        });
        let created =
            world.runtime.create(&world.id, &world.bundle, Stdio::Terminal).unwrap();
        let mut master = fs::File::from(created.terminal.unwrap());
        let size = tcgetwinsize(&master).unwrap();
        assert_eq!((size.ws_row, size.ws_col), (33, 77));
        master.write_all(b"typed\n").unwrap();
        world.runtime.start(&world.id).unwrap();
        let text = read_terminal(master);
        assert_eq!(wait(created.pid).0, Some(0), "{text}");
        for part in ["/dev/", "yes\r\n", "33 77\r\n", "character special file\r\n",
                     "from the console\r\n", "got typed\r\n", "controlling\r\n"] {
            assert!(text.contains(part), "{part:?} in {text:?}");
        }
    }

    fn a_later_process_gets_a_terminal_too(world) {
        world.start(&["/bin/sleep", "1000"]);
        let process: Process = serde_json::from_value(json!({
            "args": ["/bin/sh", "-c", "test -t 0 && test -t 1 && echo yes; stty size"],
            "env": ["PATH=/bin"], "cwd": "/",
            "consoleSize": {"height": 20, "width": 50}})).unwrap();
        let started = world.runtime.exec(&world.id, &process, Stdio::Terminal).unwrap();
        let text = read_terminal(started.terminal.unwrap().into());
        assert_eq!(wait(started.pid).0, Some(0));
        assert!(text.starts_with("yes\r\n"), "{text:?}");
    }

    fn streams_to_the_null_device_can_be_written(world) {
        world.configure(|config| {
            let line = "echo out && echo err >&2 && exit 9";
            config["process"]["args"] = json!(["/bin/sh", "-c", line]);
        });
        let created = world.runtime.create(&world.id, &world.bundle, nothing()).unwrap();
        world.runtime.start(&world.id).unwrap();
        assert_eq!(wait(created.pid).0, Some(9));
    }

    fn control_groups_are_read_only_inside(world) {
        // Older versions of runc leave the directory above the hierarchies writable.
        let depth = i32::from(world.kind != Kind::Embedded);
        let line = format!("find /sys/fs/cgroup -mindepth {depth} -type d | while read d; do \
                    mkdir $d/evil 2>/dev/null && echo made $d/evil; \
                    (echo $$ > $d/cgroup.procs) 2>/dev/null && echo wrote $d; done; echo done");
        assert_eq!(world.shell(&line).output, "done\n");
    }

    fn a_limit_that_may_not_be_raised_is_lowered(world) {
        // Installed runtimes fail here; ours must not.
        if world.kind != Kind::Embedded {
            return;
        }
        let outcome = world.shell_with("ulimit -n; ulimit -c", |config| {
            config["process"]["rlimits"] = json!([
                {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                {"type": "RLIMIT_MEMLOCK", "soft": u64::MAX, "hard": u64::MAX},
            ]);
        });
        assert_eq!(outcome.output, "100\n0\n");
    }
}

#[test]
fn a_process_with_threads_never_copies_itself() {
    let Some(world) = World::new(Kind::Embedded) else { return };
    // This test has threads, and the program that is to play the role plays none.
    let runtime = Embedded::new(world.directory.path().join("other")).with_program("/bin/false");
    let error = runtime.create(&world.id, &world.bundle, nothing()).unwrap_err();
    assert!(
        error.to_string().contains("helper process") || error.to_string().contains("ended early")
    );
    runtime.delete(&world.id, Delete::Force).unwrap();
    world.nothing_is_left();
}
