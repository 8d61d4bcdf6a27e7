//! The same input gives the same digest, whatever differs that must not count.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use varve_testkit::namespace::alone;

use crate::world::{World, set_time};

/// What programs leave: files, logs, links, directories in any order, times of all kinds.
const DOCKERFILE: &str = "FROM base:1 AS build\nWORKDIR /work/in\nCOPY . .\n\
    RUN mkdir -p /var/log && echo built >> /var/log/build.log && ls -1 > /var/log/names\n\
    RUN for i in 9 3 7 1 5; do mkdir /tmp/$i; echo $i > /tmp/$i/f; cp /tmp/$i/f /tmp/f$i; done; \
        touch -d '2001-02-03 04:05:06' /tmp/old; rm /tmp/3/f; mv /tmp/7 /tmp/8; echo x >> /etc/passwd\n\
    FROM base:1\nCOPY --from=build /work /work\nCOPY --from=build --chown=7:8 /tmp /tmp\n\
    COPY b.txt sub /flat/\nRUN echo $SOURCE_DATE_EPOCH > /epoch; rm -r /tmp/9; touch /work/in/a.txt\n\
    ENV A=1\nCMD [\"cat\", \"/epoch\"]\n";

/// The project's files, made in an order, with an umask and times.
fn fill(world: &World, names: &[&str], umask: u32, time: u64) {
    world.write("Dockerfile", DOCKERFILE);
    for name in names {
        let path = world.write(name, name);
        // What a checkout records of a file's mode is whether it can be executed.
        let mode = if name.starts_with("run") { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        set_time(&path, time);
    }
    let _ = fs::set_permissions(world.path("project/sub"), fs::Permissions::from_mode(0o755));
    set_time(&world.path("project/sub"), time / 2);
    // The umask of who builds is nobody's business.
    fs::write(world.path("umask"), format!("{umask:o}")).expect("a file");
}

fn build(world: &World) -> String {
    let umask = fs::read_to_string(world.path("umask")).expect("a file");
    let command = world.build(&["-t=app:1"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).arg(command.get_program());
    shell.args(command.get_args()).current_dir(world.path("project")).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().expect("varve ends");
    assert!(output.status.success(), "{}", crate::world::said(&output));
    world.id("app:1")
}

#[test]
fn two_users_in_two_directories_at_two_times_make_one_image() {
    alone("same::two_users_in_two_directories_at_two_times_make_one_image", || {
        let (Some(one), Some(two)) = (World::new(), World::new()) else { return };
        // They have the same base, as from one registry.
        let saved = one.path("base.tar").display().to_string();
        one.ok(&["save", "-o", &saved, "base:1"]);
        two.ok(&["load", "-i", &saved]);
        assert_eq!(one.id("base:1"), two.id("base:1"));
        fill(&one, &["a.txt", "b.txt", "run.sh", "sub/c.txt", "sub/d.txt"], 0o022, 1_000_000_000);
        fill(&two, &["sub/d.txt", "run.sh", "sub/c.txt", "b.txt", "a.txt"], 0o077, 1_700_000_000);
        let first = build(&one);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(build(&two), first);
        // So are all bytes that are exported.
        let tars = [&one, &two].map(|world| {
            let tar = world.path("app.tar");
            world.ok(&["save", "-o", &tar.display().to_string(), "app:1"]);
            fs::read(tar).expect("a file")
        });
        assert!(tars[0] == tars[1], "the archives differ");
        one.ok(&["build", "--network=none", "--no-cache", "-q", "-t=app:1", "."]);
        assert_eq!(one.id("app:1"), first);
        one.assert_clean();
        two.assert_clean();
    });
}

#[test]
fn another_mode_or_byte_of_a_source_is_another_image() {
    alone("same::another_mode_or_byte_of_a_source_is_another_image", || {
        let Some(world) = World::new() else { return };
        fill(&world, &["a.txt", "b.txt", "sub/c.txt"], 0o022, 1_000_000_000);
        let first = build(&world);
        let path = world.path("project/b.txt");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        let second = build(&world);
        assert_ne!(first, second);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
        assert_eq!(build(&world), first);
        world.write("b.txt", "B.txt");
        assert_ne!(build(&world), first);
    });
}

#[test]
fn verify_names_the_first_file_that_differs() {
    alone("same::verify_names_the_first_file_that_differs", || {
        let Some(world) = World::new() else { return };
        let text = "FROM base:1\nRUN echo same > /a\nRUN cat /proc/sys/kernel/random/uuid > /x\n";
        world.write("Dockerfile", text);
        let (told, code) = world.fails(&["--verify", "-t=app:1"]);
        assert_eq!(code, Some(1), "{told}");
        let last = told.trim_end().lines().last().expect("a line");
        assert!(last.starts_with("ERROR: the second build gave sha256:"), "{told}");
        assert!(last.ends_with(": /x (content) differs"), "{told}");
        // Both can be looked at, and neither has the name.
        let unnamed = ["<none>:<none>", "<none>:<none>"];
        assert_eq!(world.names(), [&unnamed[..], &["base:1"]].concat());
        world.write("Dockerfile", "FROM base:1\nRUN date > /dev/null; echo same > /a\n");
        world.built(&["--verify", "-t=app:1"]);
        assert_eq!(world.names(), [&unnamed[..], &["app:1", "base:1"]].concat());
        world.assert_clean();
    });
}
