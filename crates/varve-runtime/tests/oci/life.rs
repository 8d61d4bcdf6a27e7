//! From creation to removal: start, exec, signals, pauses, and many at once.

use std::{thread, time::Duration};

use rustix::process::Signal;
use varve_runtime::oci::{Delete, OciError, Reach, Status};

use crate::world::{Kind, World, for_each_runtime, nothing, wait};

for_each_runtime! {
    fn the_first_process_waits_for_its_start(world) {
        world.configure(|config| {
            config["process"]["args"] = serde_json::json!(["/bin/touch", "/tmp/ran"]);
        });
        let created = world.runtime.create(&world.id, &world.bundle, nothing()).unwrap();
        assert_eq!(world.state().status, Status::Created);
        assert_eq!(world.state().pid, Some(created.pid));
        assert!(!world.root().join("tmp/ran").exists());
        world.runtime.start(&world.id).unwrap();
        assert_eq!(wait(created.pid).0, Some(0));
        assert!(world.root().join("tmp/ran").exists());
        assert_eq!(world.state().status, Status::Stopped);
        assert!(world.runtime.start(&world.id).is_err());
        world.runtime.delete(&world.id, Delete::Stopped).unwrap();
        assert!(matches!(world.runtime.state(&world.id), Err(OciError::NotFound(_))));
    }

    fn a_second_container_of_a_name_is_refused(world) {
        world.start(&["/bin/sleep", "1000"]);
        let again = world.runtime.create(&world.id, &world.bundle, nothing());
        assert!(matches!(again, Err(OciError::Exists(_))));
        assert_eq!(world.state().status, Status::Running);
    }

    fn a_process_is_started_in_a_running_container(world) {
        world.start(&["/bin/sh", "-c", "echo secret > /tmp/file; sleep 1000"]);
        let line = "until cat /tmp/file 2>/dev/null; do sleep 0.05; done; hostname; \
                    cat /proc/1/cmdline | tr '\\0' ' '; exit 7";
        let outcome = world.exec(line);
        assert_eq!(outcome.code, Some(7), "{outcome:?}");
        let expected = "secret\nsediment\nsleep 1000 ";
        assert_eq!(outcome.output, expected);
        let group = "cut -d: -f3 /proc/self/cgroup | sort -u; ";
        let outcome = world.exec_with(&["/bin/sh", "-c", &format!("{group} id -u; pwd")], |process| {
            process["user"] = serde_json::json!({"uid": 1000, "gid": 1000});
            process["cwd"] = serde_json::json!("/home/user");
        }).unwrap();
        assert!(outcome.output.ends_with("1000\n/home/user\n"), "{outcome:?}");
    }

    fn processes_started_later_end_with_the_container(world) {
        let first = world.start(&["/bin/sleep", "1000"]);
        let process = serde_json::from_str(r#"{"args":["/bin/sleep","1000"],"cwd":"/"}"#).unwrap();
        let second = world.runtime.exec(&world.id, &process, nothing()).unwrap();
        let pids = world.runtime.pids(&world.id).unwrap();
        assert!(pids.contains(&first.pid) && pids.contains(&second.pid), "{pids:?}");
        world.runtime.kill(&world.id, Signal::KILL, Reach::Init).unwrap();
        assert_eq!(wait(first.pid).1, Some(9));
        assert_eq!(wait(second.pid).1, Some(9));
    }

    fn signals_reach_the_first_process_or_all(world) {
        let line = "trap 'exit 5' TERM; sleep 1000 & while :; do wait; done";
        let created = world.start(&["/bin/sh", "-c", line]);
        // Until the shell has its trap, the kernel drops the signal.
        let ended = (0..200).any(|_| {
            let _ = world.runtime.kill(&world.id, Signal::TERM, Reach::Init);
            thread::sleep(Duration::from_millis(10));
            world.state().status == Status::Stopped
        });
        assert!(ended);
        assert_eq!(wait(created.pid).0, Some(5));
        let stopped = world.runtime.kill(&world.id, Signal::TERM, Reach::Init);
        assert!(matches!(stopped, Err(OciError::State { state: Status::Stopped, .. })));
    }

    fn a_paused_container_stands_still(world) {
        let line = "while :; do echo x >> /tmp/count; sleep 0.01; done";
        world.start(&["/bin/sh", "-c", line]);
        let count = world.root().join("tmp/count");
        let length = || std::fs::metadata(&count).map_or(0, |metadata| metadata.len());
        while length() == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        world.runtime.pause(&world.id).unwrap();
        assert_eq!(world.state().status, Status::Paused);
        let before = length();
        thread::sleep(Duration::from_millis(100));
        assert_eq!(length(), before);
        world.runtime.resume(&world.id).unwrap();
        assert_eq!(world.state().status, Status::Running);
        while length() == before {
            thread::sleep(Duration::from_millis(5));
        }
        // A paused container can be removed.
        world.runtime.pause(&world.id).unwrap();
    }

    fn a_running_container_is_removed_by_force_only(world) {
        let created = world.start(&["/bin/sleep", "1000"]);
        let refused = world.runtime.delete(&world.id, Delete::Stopped);
        assert!(matches!(refused, Err(OciError::State { state: Status::Running, .. })));
        world.runtime.delete(&world.id, Delete::Force).unwrap();
        assert_eq!(wait(created.pid).1, Some(9));
        world.runtime.delete(&world.id, Delete::Force).unwrap();
        world.nothing_is_left();
    }

    fn a_container_that_dies_before_its_start_is_gone(world) {
        world.configure(|_| {});
        let created = world.runtime.create(&world.id, &world.bundle, nothing()).unwrap();
        let pid = rustix::process::Pid::from_raw(created.pid).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        assert_eq!(wait(created.pid).1, Some(9));
        assert_eq!(world.state().status, Status::Stopped);
        let start = world.runtime.start(&world.id);
        assert!(matches!(start, Err(OciError::State { state: Status::Stopped, .. })), "{start:?}");
        world.runtime.delete(&world.id, Delete::Stopped).unwrap();
    }
}

#[test]
fn twenty_containers_run_at_once() {
    let worlds: Vec<World> = (0..20).map_while(|_| World::new(Kind::Embedded)).collect();
    thread::scope(|scope| {
        for mut world in worlds {
            scope.spawn(move || {
                let outcome = world.shell("echo $$; hostname; exit 3");
                assert_eq!((outcome.code, outcome.output.as_str()), (Some(3), "1\nsediment\n"));
                world.end();
            });
        }
    });
}
