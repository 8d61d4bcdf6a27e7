//! Builds that end too early, and builds side by side.

use std::{
    fs,
    io::Read as _,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use varve_testkit::{guard, namespace::alone};

use crate::world::{World, said};

/// How long something that is to happen may take.
const TIME_MAX: Duration = Duration::from_mins(1);

#[track_caller]
fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + TIME_MAX;
    while !happened() {
        assert!(Instant::now() < until, "{what} does not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The command lines of the processes that are there. In namespaces of one's own all are ours.
fn processes() -> Vec<String> {
    let numbers = fs::read_dir("/proc").expect("processes").filter_map(|entry| {
        let name = entry.expect("an entry").file_name().into_string().ok()?;
        name.parse::<u32>().ok()
    });
    let line = |number: u32| fs::read_to_string(format!("/proc/{number}/cmdline")).ok();
    numbers.filter_map(line).map(|it| it.replace('\0', " ").trim().to_owned()).collect()
}

/// Sends a signal with the shell's own `kill`.
fn signal(child: &Child, name: &str) {
    let script = format!("kill -{name} {}", child.id());
    let sent = Command::new("sh").args(["-c", &script]).status().expect("sh starts");
    assert!(sent.success());
}

/// A build that is in the middle of its second program.
fn in_the_middle(world: &World) -> Child {
    let text = "FROM base:1\nRUN echo finished > /a\nRUN echo half > /b; sleep 4321 & sleep 4321\n";
    world.write("Dockerfile", text);
    let child = world.build(&["-t=app:1"]).spawn().expect("varve starts");
    wait_until("the program", || processes().iter().any(|it| it == "sleep 4321"));
    child
}

/// Nothing has a name, the step before is in the cache, the one that was cut off is not.
#[track_caller]
fn assert_cut_off(world: &World) {
    wait_until("the end", || !processes().iter().any(|it| it.contains("sleep 4321")));
    assert_eq!(world.names(), ["base:1"]);
    let text = "FROM base:1\nRUN echo finished > /a\nRUN [ ! -e /b ] && echo other > /b\n";
    world.write("Dockerfile", text);
    let told = world.built(&["-t=app:1"]);
    let cached = told.lines().filter(|it| it.ends_with(" CACHED")).count();
    assert!(told.contains("RUN echo finished > /a\n") && cached >= 1, "{told}");
    assert_eq!(world.run("app:1", &["cat", "/a", "/b"]), "finished\nother");
    world.assert_clean();
}

#[track_caller]
fn ended(child: Child) -> (ExitStatus, String) {
    let output = child.wait_with_output().expect("varve ends");
    (output.status, said(&output))
}

#[test]
fn an_interrupt_ends_programs_and_names_nothing() {
    alone("broken::an_interrupt_ends_programs_and_names_nothing", || {
        let Some(world) = World::new() else { return };
        let child = in_the_middle(&world);
        signal(&child, "INT");
        let (status, told) = ended(child);
        assert_eq!(status.code(), Some(130), "{told}");
        assert!(told.contains("CANCELED"), "{told}");
        assert_cut_off(&world);
    });
}

#[test]
fn a_killed_build_leaves_nothing_that_the_next_command_does_not_take_away() {
    alone("broken::a_killed_build_leaves_nothing_that_the_next_command_does_not_take_away", || {
        let Some(world) = World::new() else { return };
        let mut child = in_the_middle(&world);
        child.kill().expect("a process");
        // The program that ran held the other ends of its streams.
        let mut rest = String::new();
        child.stderr.take().expect("a stream").read_to_string(&mut rest).expect("UTF-8");
        child.wait().expect("varve ends");
        assert_cut_off(&world);
    });
}

#[test]
fn builds_of_one_dockerfile_at_the_same_time_make_one_image() {
    alone("broken::builds_of_one_dockerfile_at_the_same_time_make_one_image", || {
        let Some(world) = World::new() else { return };
        let text = "FROM base:1\nCOPY Dockerfile /\n\
                    RUN --mount=type=cache,target=/c,sharing=locked [ ! -e /c/busy ] && touch /c/busy \
                    && sleep 0.1 && rm /c/busy && echo made > /made\nRUN cat /made > /again\n";
        world.write("Dockerfile", text);
        let builds: Vec<Child> = (0..4)
            .map(|number| world.build(&[&format!("-t=app:{number}")]).spawn().expect("a build"))
            .collect();
        for child in builds {
            let (status, told) = ended(child);
            assert!(status.success(), "{told}");
        }
        for number in 1..4 {
            assert_eq!(world.id(&format!("app:{number}")), world.id("app:0"));
        }
        world.assert_clean();
    });
}

#[test]
fn what_is_pruned_during_a_build_is_not_what_it_needs() {
    alone("broken::what_is_pruned_during_a_build_is_not_what_it_needs", || {
        let Some(world) = World::new() else { return };
        let text = "FROM base:1 AS one\nRUN echo one > /one\nRUN while [ ! -e /c/go ]; do \
                    sleep 0.05; done; echo two > /two\nFROM base:1\nCOPY --from=one /one /two /\n\
                    RUN cat /one /two > /both\n";
        let text = text.replace("RUN while", "RUN --mount=type=cache,target=/c,id=gate while");
        world.write("Dockerfile", &text);
        let child = world.build(&["-t=app:1"]).spawn().expect("varve starts");
        wait_until("the program", || processes().iter().any(|it| it.starts_with("sleep 0.05")));
        world.ok(&["rmi", "-f", "base:1"]);
        world.ok(&["image", "prune", "-af"]);
        world.ok(&["builder", "prune", "-af"]);
        world.ok(&["system", "prune", "-af"]);
        // By a build of another Dockerfile: it finds the directory of the cache mount.
        world.import("base:1");
        let open = world.path("open");
        fs::create_dir(&open).expect("a directory");
        let text = "FROM base:1\nRUN --mount=type=cache,target=/c,id=gate touch /c/go\n";
        fs::write(open.join("Dockerfile"), text).expect("a file");
        world.ok(&["build", "-q", "--network=none", &open.display().to_string()]);
        let (status, told) = ended(child);
        assert!(status.success(), "{told}");
        assert_eq!(world.run("app:1", &["cat", "/both"]), "one\ntwo");
        world.assert_clean();
    });
}

#[test]
fn a_full_disk_ends_a_build_and_the_next_one_succeeds() {
    alone("broken::a_full_disk_ends_a_build_and_the_next_one_succeeds", || {
        let Some(world) = World::new() else { return };
        // A disk of its own, as large as the machine's memory lets it be small.
        let store = world.path("small");
        fs::create_dir(&store).expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"])
            .arg(&store)
            .status();
        assert!(mounted.expect("mount starts").success());
        let small = |line: &[&str]| {
            let mut command = world.command(line);
            command.env("VARVE_ROOT", &store).output().expect("varve ends")
        };
        let tar = world.path("rootfs.tar").display().to_string();
        let imported = small(&["import", &tar, "base:1"]);
        assert!(imported.status.success(), "{}", said(&imported));
        let line = ["build", "--network=none", "--progress=plain", "-t=app:1", "."];
        // Large where programs write, where it becomes a layer, and where it is copied.
        fs::write(world.path("project/large"), vec![7; 60 << 20]).expect("a file");
        let half = "RUN mkdir /l; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do cp /bin/busybox /l/$i; done";
        for step in ["RUN cat /dev/zero > /large", half, "COPY large /"] {
            world.write("Dockerfile", &format!("FROM base:1\nRUN echo first > /first\n{step}\n"));
            let output = small(&line);
            assert_eq!(output.status.code(), Some(1), "{step}\n{}", said(&output));
            let told = said(&output).to_lowercase();
            assert!(told.contains("no space left on device"), "{step}\n{told}");
        }
        world
            .write("Dockerfile", "FROM base:1\nRUN echo first > /first\nRUN echo small > /small\n");
        let output = small(&line);
        assert!(output.status.success(), "{}", said(&output));
        let output = small(&["system", "check"]);
        assert!(output.status.success(), "{}", said(&output));
        let unmounted = Command::new("umount").args(["-R"]).arg(&store).status();
        assert!(unmounted.expect("umount starts").success());
    });
}

#[test]
fn sockets_are_left_out_and_what_cannot_be_read_is_said_when_it_is_taken() {
    let Some(_) = guard::tool("busybox") else { return };
    let world = World::empty();
    let _socket = UnixListener::bind(world.path("project/socket")).expect("a socket");
    world.write("file", "file\n");
    world.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    world.built(&["-t=app:1"]);
    let listed = world.ok(&["image", "tree", "app:1"]);
    assert!(listed.contains("file") && !listed.contains("socket"), "{listed}");
    world.write("Dockerfile", "FROM scratch\nCOPY socket /\n");
    let (told, code) = world.fails(&[]);
    assert!(told.contains("\"/socket\": not found"), "{told}");
    assert_eq!(code, Some(1));
}

/// Root may read everything: another user builds.
#[test]
fn a_file_that_cannot_be_read_is_said_when_it_is_taken() {
    if !guard::root() {
        return;
    }
    let Some(_) = guard::tool("setpriv") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str, mode: u32| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    write("secret", "secret\n", 0o600);
    write("open", "open\n", 0o644);
    for name in ["", "home"] {
        let path = directory.path().join(name);
        fs::create_dir_all(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("a mode");
    }
    let program = directory.path().join("varve");
    if !guard::found("a program that others may execute", copy_program(&program)) {
        return;
    }
    let build = |text: &str| {
        write("Dockerfile", text, 0o644);
        let home = directory.path().join("home");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command.args(["build", "--progress=plain", "."]).current_dir(directory.path());
        command.env_clear().env("HOME", &home).env("PATH", "/usr/bin:/bin");
        command.env("VARVE_ROOT", home.join("store")).env("VARVE_RUN", home.join("run"));
        command.output().expect("varve ends")
    };
    let output = build("FROM scratch\nCOPY . /\n");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("permission denied"), "{}", said(&output));
    let output = build("FROM scratch\nCOPY open /\n");
    assert!(output.status.success(), "{}", said(&output));
}

/// Whether the built program is where others may execute it.
fn copy_program(to: &Path) -> bool {
    fs::copy(env!("CARGO_BIN_EXE_varve"), to).is_ok()
        && fs::set_permissions(to, fs::Permissions::from_mode(0o755)).is_ok()
}
