//! `RUN --mount`.

use std::{fs, os::unix::net::UnixListener, sync::atomic::Ordering, thread};

use varve_build::{plan::RunStep, solve::BoundFiles};
use varve_engine::build::{BuildSecret, SecretValue, SshAgent, SshSource};
use varve_engine::{Engine, Registries, StoreOptions};

use crate::world::{Outcome, World, layer, step, tar};

const EMPTY: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

fn mounted(mounts: &[&str], line: &str) -> RunStep {
    let mounts: Vec<String> = mounts.iter().map(|mount| format!("--mount={mount}")).collect();
    step(&format!("FROM scratch AS other\nFROM scratch\nRUN {} {line}\n", mounts.join(" ")))
}

/// Files for the first mount.
fn run_with(world: &World, step: &RunStep, files: &[(&str, &[u8], u32)]) -> Outcome {
    let files = BoundFiles { layers: vec![layer(&world.engine, &world.lease, &tar(files))] };
    let mut bound = vec![None; step.mounts.len()];
    bound[0] = Some(files);
    world.run_over(step, std::slice::from_ref(&world.base), &bound)
}

#[track_caller]
fn prints(outcome: &Outcome, expected: &str) {
    assert_eq!(outcome.output, expected, "{outcome:?}");
}

#[test]
fn places_that_only_the_runtime_made_are_not_in_the_layer() {
    let Some(world) = World::new() else { return };
    let mounts = [
        "type=tmpfs,target=/a/b/c",
        "type=tmpfs,target=/home/user/.cache/x",
        "type=tmpfs,target=/tmp/seen",
        "type=tmpfs,target=/new/one",
    ];
    let outcome = world.run(&mounted(&mounts, "echo x > /tmp/seen/x; touch /new/two; sleep 0.01"));
    // `/new` is there because of a file, `/tmp` has the time that it had.
    assert_eq!(world.entries(&outcome), ["new Directory 755 0!", "new/two File 644 0!"]);
    let outcome = world.run(&mounted(&mounts, "rmdir /home/user/.cache/x; true"));
    assert_eq!(outcome.made().diff_id.to_string(), EMPTY);
    world.check();
}

#[test]
fn a_file_system_in_memory_holds_what_was_asked_for() {
    let Some(world) = World::new() else { return };
    let line =
        "dd if=/dev/zero of=/t/x bs=1M count=2 2>/dev/null; stat -c %s /t/x; mount | grep ' /t '";
    let outcome = world.run(&mounted(&["type=tmpfs,target=/t,size=1m"], line));
    prints(&outcome, "1048576\ntmpfs on /t type tmpfs (rw,nosuid,relatime,size=1024k)\n");
    assert_eq!(outcome.made().diff_id.to_string(), EMPTY);
    world.check();
}

#[test]
fn files_of_another_step_are_seen_and_what_is_written_to_them_is_dropped() {
    let Some(world) = World::new() else { return };
    let files: &[(&str, &[u8], u32)] =
        &[("d/", b"", 0o755), ("d/f", b"one\n", 0o640), ("top", b"two\n", 0o644)];
    let line = "cat /src/d/f /src/top; touch /src/x 2>&1; echo $?";
    let outcome = run_with(&world, &mounted(&["from=other,target=/src"], line), files);
    prints(&outcome, "one\ntwo\ntouch: /src/x: Read-only file system\n1\n");
    let line = "echo more >> /src/d/f; rm /src/top; cat /src/d/f; ls /src";
    let outcome = run_with(&world, &mounted(&["from=other,target=/src,rw"], line), files);
    prints(&outcome, "one\nmore\nd\n");
    assert_eq!(outcome.made().diff_id.to_string(), EMPTY);
    // Parts of it: a directory, a file.
    let part = mounted(&["from=other,source=/d,target=/src"], "ls /src");
    prints(&run_with(&world, &part, files), "f\n");
    let part = mounted(&["from=other,source=d/f,target=/etc/one"], "cat /etc/one");
    let outcome = run_with(&world, &part, files);
    prints(&outcome, "one\n");
    assert_eq!(outcome.made().diff_id.to_string(), EMPTY);
    let missing = mounted(&["from=other,source=/nosuch,target=/x"], "true");
    assert_eq!(run_with(&world, &missing, files).failed(), "failed to mount /nosuch");
    world.check();
}

#[test]
fn a_path_of_another_step_does_not_leave_its_files() {
    let Some(world) = World::new() else { return };
    let outside = world.directory.path().join("outside");
    fs::write(&outside, "secret").unwrap();
    let mut writer = varve_fs::tar::Writer::new(Vec::new());
    let target = outside.to_str().unwrap();
    for (name, target) in [("out", target), ("up", "../../../../etc/passwd")] {
        let link = varve_fs::tar::NewEntry::symlink(name.as_bytes(), target.as_bytes());
        writer.append_bytes(&link, b"").unwrap();
    }
    let made = layer(&world.engine, &world.lease, &writer.finish().unwrap());
    for source in ["/out", "/up"] {
        let step = mounted(&[&format!("from=other,source={source},target=/x")], "cat /x");
        let bound = [Some(BoundFiles { layers: vec![made.clone()] })];
        let outcome = world.run_over(&step, std::slice::from_ref(&world.base), &bound);
        assert_eq!(outcome.failed(), format!("failed to mount {source}"));
    }
    world.check();
}

#[test]
fn secrets_are_seen_and_left_nowhere() {
    let Some(mut world) = World::new() else { return };
    let file = world.directory.path().join("token");
    fs::write(&file, "from a file").unwrap();
    let secret = |id: &str, value| BuildSecret { id: id.to_owned(), value };
    world.secrets = vec![
        secret("file", SecretValue::File(file)),
        secret("env", SecretValue::Bytes(b"from a variable".to_vec())),
    ];
    let mounts = [
        "type=secret,id=file",
        "type=secret,id=env,target=/root/.netrc,uid=1000,gid=1000,mode=0440",
        "type=secret,id=env,env=TOKEN",
        "type=secret,id=nope,target=/none",
    ];
    let line = "cat /run/secrets/file; echo; stat -c '%u %g %a' /run/secrets/file /root/.netrc; \
         echo $TOKEN; ls /none 2>&1; echo changed > /run/secrets/file";
    let outcome = world.run(&mounted(&mounts, &format!("{line}; true")));
    prints(
        &outcome,
        "from a file\n0 0 400\n1000 1000 440\nfrom a variable\nls: /none: No such file or directory\n",
    );
    assert!(outcome.error.contains("Read-only file system"), "{outcome:?}");
    assert_eq!(outcome.made().diff_id.to_string(), EMPTY);
    let required = mounted(&["type=secret,id=nope,required=true"], "true");
    assert_eq!(world.run(&required).failed(), "secret nope: not found");
    world.check();
    for place in ["store", "run"] {
        let path = world.directory.path().join(place);
        let found = std::process::Command::new("grep").args(["-r", "from a "]).arg(path).output();
        assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
    }
}

#[test]
fn a_cache_outlives_programs_and_is_in_no_layer() {
    let Some(world) = World::new() else { return };
    let cache = "type=cache,target=/c,uid=7,gid=8,mode=0750";
    let outcome = world.run(&mounted(&[cache], "stat -c '%u %g %a' /c; echo kept > /c/f"));
    prints(&outcome, "7 8 750\n");
    assert_eq!(outcome.made().diff_id.to_string(), EMPTY);
    // By its ID, wherever it is mounted; also after a program that failed.
    let outcome = world.run(&mounted(&["type=cache,id=/c,target=/else"], "cat /else/f; exit 1"));
    prints(&outcome, "kept\n");
    let line = "touch /c/g 2>/dev/null; ls /c";
    prints(&world.run(&mounted(&["type=cache,target=/c,readonly"], line)), "f\n");
    let mounts = world.engine.store().cache_mounts().unwrap();
    assert_eq!(mounts.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["/c"]);
    assert!(!mounts[0].in_use && mounts[0].size_bytes > 0);
    world.check();
}

#[test]
fn a_program_that_fills_caches_beyond_what_they_may_take_is_ended() {
    let Some(mut world) = World::new() else { return };
    let (run, size) = (Some(world.directory.path().join("run")), Some(8 << 20));
    let options =
        StoreOptions { run, cache_mounts_size_bytes_max: size, ..StoreOptions::default() };
    let root = world.directory.path().join("store");
    let engine = Engine::open_with(&root, options, Registries::default()).unwrap();
    world.engine = engine.with_runtime_program(env!("CARGO_BIN_EXE_varve-engine-role"));
    let line = "dd if=/dev/zero of=/c/f bs=1048576 count=20 2>/dev/null; sleep 600";
    let outcome = world.run(&mounted(&["type=cache,target=/c"], line));
    let expected = "cache mounts take more than 8388608 bytes; VARVE_CACHE_MOUNTS_SIZE says how \
                    many they may take";
    assert_eq!(outcome.failed(), expected);
    // And it goes, since nobody uses it now.
    assert_eq!(world.engine.store().cache_mounts().unwrap(), []);
    let small = "dd if=/dev/zero of=/c/f bs=1048576 count=2 2>/dev/null; sleep 1.5; echo done";
    prints(&world.run(&mounted(&["type=cache,target=/c"], small)), "done\n");
    world.check();
}

#[test]
fn a_new_cache_is_filled_from_another_step_once() {
    let Some(world) = World::new() else { return };
    let files: &[(&str, &[u8], u32)] = &[("d/", b"", 0o711), ("d/f", b"one\n", 0o640)];
    let cache = "type=cache,target=/c,from=other,source=/d";
    let first = mounted(&[cache], "cat /c/f; stat -c %a /c /c/f; echo two > /c/f");
    prints(&run_with(&world, &first, files), "one\n711\n640\n");
    prints(&run_with(&world, &mounted(&[cache], "cat /c/f"), files), "two\n");
    world.check();
}

#[test]
fn who_wants_a_cache_alone_waits_or_gets_another_or_gives_up() {
    let Some(world) = World::new() else { return };
    let cache = |sharing: &str| format!("type=cache,target=/c,sharing={sharing}");
    let locked = cache("locked");
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            world.run(&mounted(&[&locked], "touch /c/begun; sleep 0.3; echo one >> /c/f"))
        });
        let tree = world.directory.path().join("store/varve/cache-mounts");
        let begun = || {
            let places = fs::read_dir(&tree).into_iter().flatten().flatten();
            places.into_iter().any(|place| place.path().join("tree/begun").exists())
        };
        while !begun() {
            thread::yield_now();
        }
        prints(&world.run(&mounted(&[&cache("private")], "ls /c")), "");
        let second = world.run(&mounted(&[&locked], "echo two >> /c/f; cat /c/f"));
        prints(&second, "one\ntwo\n");
        first.join().unwrap().made();
    });
    // The same one twice in one program is one.
    let twice = [locked.as_str(), "type=cache,id=/c,target=/again,sharing=locked"];
    prints(&world.run(&mounted(&twice, "ls /again")), "begun\nf\n");
    world.check();
}

#[test]
fn a_program_that_waits_for_a_cache_ends_with_the_build() {
    let Some(world) = World::new() else { return };
    let store = world.engine.store();
    let request = varve_store::CacheMountRequest {
        id: "/c",
        sharing: varve_store::Sharing::Locked,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let mut fill = |_: &std::path::Path| Ok::<_, varve_store::Error>(());
    let held = store.cache_mount(&request, &mut fill, &|| true).unwrap().unwrap();
    let step = mounted(&["type=cache,target=/c,sharing=locked"], "true");
    thread::scope(|scope| {
        let waits = scope.spawn(|| world.run(&step));
        thread::sleep(std::time::Duration::from_millis(50));
        world.interrupted.store(true, Ordering::Release);
        assert_eq!(waits.join().unwrap().failed(), "context canceled");
    });
    drop(held);
    world.check();
}

#[test]
fn the_socket_of_an_agent_is_there_for_who_may_use_it() {
    let Some(mut world) = World::new() else { return };
    let line = "echo $SSH_AUTH_SOCK; stat -c '%F %u %a' $SSH_AUTH_SOCK";
    let plain = mounted(&["type=ssh,required=true"], line);
    assert_eq!(world.run(&plain).failed(), "no SSH key \"default\" forwarded from the client");
    let socket = world.directory.path().join("agent");
    let _agent = UnixListener::bind(&socket).unwrap();
    world.ssh = vec![SshAgent { id: "default".to_owned(), source: SshSource::Socket(socket) }];
    let outcome = world.run(&plain);
    prints(&outcome, "/run/buildkit/ssh_agent.0\nsocket 0 600\n");
    assert_eq!(outcome.made().diff_id.to_string(), EMPTY);
    let owned = mounted(&["type=ssh,target=/a/sock,uid=1000,mode=0666"], line);
    prints(&world.run(&owned), "/a/sock\nsocket 1000 666\n");
    let other = mounted(&["type=ssh,id=other,required=true"], line);
    assert_eq!(world.run(&other).failed(), "unset ssh forward key other");
    world.check();
}

#[test]
fn a_script_in_a_here_document_is_run_by_its_interpreter() {
    let Some(world) = World::new() else { return };
    let step = step("FROM scratch\nRUN <<EOF\n#!/bin/cat\nhello\nEOF\n");
    let script = "#!/bin/cat\nhello\n";
    prints(&run_with(&world, &step, &[("EOF", script.as_bytes(), 0o755)]), script);
    world.check();
}
