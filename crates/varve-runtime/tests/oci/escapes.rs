//! Published escapes from other runtimes, tried on ours.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use serde_json::json;
use varve_runtime::oci::{OciError, StartFailure};

use crate::world::{Kind, World};

fn world() -> Option<World> {
    World::new(Kind::Embedded)
}

/// CVE-2019-5736: a container's program is `/proc/self/exe`, which is the runtime's own, and the
/// container writes over it.
#[test]
fn the_runtime_s_own_program_cannot_be_written_from_inside() {
    let Some(mut world) = world() else { return };
    let role = env!("CARGO_BIN_EXE_varve-runtime-role");
    let before = fs::metadata(role).unwrap();
    // As the interpreter of a script, the runtime's program is executed in the container.
    let script = world.root().join("bin/evil");
    fs::write(&script, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    drop(world.run_with(&["/bin/evil"], |_| {}));
    // And its handle, from a process of the same container, while it starts another.
    world.start(&[
        "/bin/sh",
        "-c",
        "while :; do for p in /proc/[0-9]*; do \
        (echo evil > $p/exe) 2>/dev/null && touch /tmp/written; done; done",
    ]);
    for _ in 0..20 {
        assert_eq!(world.exec("true").code, Some(0));
    }
    assert!(!world.root().join("tmp/written").exists());
    let after = fs::metadata(role).unwrap();
    assert_eq!(
        (before.len(), before.modified().unwrap()),
        (after.len(), after.modified().unwrap())
    );
    world.end();
}

/// CVE-2024-21626: a directory of the host is open while the working directory is entered.
#[test]
fn no_handle_of_the_host_is_a_working_directory() {
    let Some(mut world) = world() else { return };
    for number in 3..16 {
        let cwd = format!("/proc/self/fd/{number}");
        let refused = world.run_with(&["/bin/pwd"], |config| config["process"]["cwd"] = json!(cwd));
        match refused {
            Err(OciError::Create(StartFailure::Cwd { .. } | StartFailure::CwdOutside)) => {}
            other => panic!("{cwd}: {other:?}"),
        }
        world.nothing_is_left();
    }
    // Neither is one open in the program.
    let outcome =
        world.shell("for f in /proc/self/fd/*; do readlink $f; done | grep ^/ | grep -v ^/proc");
    assert_eq!(outcome.output, "");
    world.start(&["/bin/sleep", "1000"]);
    let outcome =
        world.exec("for f in /proc/self/fd/*; do readlink $f; done | grep ^/ | grep -v ^/proc");
    assert_eq!(outcome.output, "");
    for number in 3..16 {
        let cwd = json!(format!("/proc/self/fd/{number}"));
        assert!(world.exec_with(&["/bin/pwd"], |process| process["cwd"] = cwd).is_err());
    }
    world.end();
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: `/proc` or `/sys` of the image is a link, so that
/// the kernel's files are mounted elsewhere and nothing is protected.
#[test]
fn the_kernel_s_files_are_not_mounted_over_a_link() {
    for name in ["proc", "sys"] {
        let Some(mut world) = world() else { return };
        fs::remove_dir(world.root().join(name)).unwrap();
        symlink("tmp", world.root().join(name)).unwrap();
        let refused = world.run_with(&["/bin/true"], |_| {});
        let Err(OciError::Create(StartFailure::Mount { destination, .. })) = refused else {
            panic!("{name}: {refused:?}")
        };
        assert_eq!(destination, format!("/{name}"));
        world.end();
    }
}

/// CVE-2021-30465: links in the image lead a mount out of the root.
#[test]
fn links_in_the_image_do_not_lead_mounts_out() {
    let Some(mut world) = world() else { return };
    let host = world.directory.path().join("host");
    fs::create_dir(&host).unwrap();
    symlink(&host, world.root().join("absolute")).unwrap();
    symlink("../../../../../../../../../../../../..", world.root().join("up")).unwrap();
    let outcome = world.shell_with("ls -d /absolute/made", |config| {
        for destination in ["/absolute/made".to_owned(), format!("/up{}/made", host.display())] {
            config["mounts"].as_array_mut().unwrap().push(json!({"destination": destination,
                "type": "tmpfs", "source": "tmpfs", "options": []}));
        }
    });
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(fs::read_dir(&host).unwrap().count(), 0, "a directory of the host was written to");
    world.end();
}

/// CVE-2025-52881: a mount over a file of `/proc` sends what the runtime writes elsewhere.
#[test]
fn nothing_is_mounted_over_the_kernel_s_files() {
    let Some(mut world) = world() else { return };
    symlink("/proc/sys/kernel", world.root().join("innocent")).unwrap();
    for destination in ["/proc/sys/kernel", "/proc/self/attr", "/innocent", "/proc/1"] {
        let refused = world.run_with(&["/bin/true"], |config| {
            config["mounts"].as_array_mut().unwrap().push(json!({"destination": destination,
                "type": "tmpfs", "source": "tmpfs", "options": []}));
        });
        assert!(
            matches!(refused, Err(OciError::Create(StartFailure::Mount { .. }))),
            "{refused:?}"
        );
        world.nothing_is_left();
    }
}

/// CVE-2025-31133: what hides a file is `/dev/null` of the image, which is something else.
#[test]
fn files_are_hidden_by_a_true_null_device() {
    let Some(mut world) = world() else { return };
    // A /dev of the image's, kept because nothing is mounted there.
    fs::write(world.root().join("tmp/real"), "shown instead\n").unwrap();
    symlink("/tmp/real", world.root().join("dev/null")).unwrap();
    let without_dev = |config: &mut serde_json::Value| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    };
    let refused = world.run_with(&["/bin/cat", "/proc/version"], without_dev);
    assert!(matches!(refused, Err(OciError::Create(StartFailure::Init(_)))), "{refused:?}");
    fs::remove_file(world.root().join("dev/null")).unwrap();
    let outcome =
        world.run_with(&["/bin/stat", "-c", "%t,%T", "/proc/version"], without_dev).unwrap();
    assert_eq!(outcome.output, "1,3\n", "{outcome:?}");
    world.end();
    // With a /dev of the container's own it is that one, as under runc.
    let outcome = world.shell_with("grep ' /proc/version ' /proc/mounts", |_| {});
    assert!(outcome.output.starts_with("tmpfs /proc/version tmpfs "), "{outcome:?}");
    world.end();
}

/// CVE-2025-52565: `/dev/console` of the image is a link, and the terminal is mounted over what it
/// leads to.
#[test]
fn the_console_is_not_mounted_over_a_link() {
    use varve_runtime::oci::Stdio;
    let Some(world) = world() else { return };
    symlink("/proc/sysrq-trigger", world.root().join("dev/console")).unwrap();
    world.configure(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/dev");
    });
    let refused = world.runtime.create(&world.id, &world.bundle, Stdio::Terminal);
    let Err(OciError::Create(failure)) = refused else { panic!("{refused:?}") };
    assert!(failure.to_string().contains("/dev/console"), "{failure}");
    world.nothing_is_left();
}

/// An image's user database is a pipe, or has no end.
#[test]
fn a_strange_user_database_holds_nothing_up() {
    let Some(mut world) = world() else { return };
    let passwd = world.root().join("etc/passwd");
    fs::remove_file(&passwd).unwrap();
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &passwd, kind, rustix::fs::Mode::RWXU, 0).unwrap();
    assert_eq!(world.shell("echo $HOME").output, "/\n");
    fs::remove_file(&passwd).unwrap();
    symlink("/dev/zero", &passwd).unwrap();
    assert_eq!(world.shell("echo $HOME").output, "/\n");
    world.end();
}
