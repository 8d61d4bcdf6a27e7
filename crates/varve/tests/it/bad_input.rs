//! Containers that cannot be made or started: docker's words and codes, and nothing is left behind.

use std::{fs, os::unix::fs::symlink, process::Command};

use varve_testkit::namespace::alone;

use crate::{
    guest::{guest, run},
    sandbox::Sandbox,
};

/// Runs a container with `--rm` that is refused, and looks for what it may have left.
#[track_caller]
fn refused(sandbox: &Sandbox, flags: &[&str], command: &[&str], code: i32, words: &str) {
    let flags = [&["--rm"], flags].concat();
    let output = run(sandbox, &flags, command).output().expect("varve starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains(words), "{words}\n{stderr}");
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    nothing_is_left(sandbox);
}

#[track_caller]
fn nothing_is_left(sandbox: &Sandbox) {
    let listed = sandbox.run(&["ps", "-aq"]);
    assert_eq!((listed.stdout.as_str(), listed.code), ("", 0), "{listed:?}");
    // What other tests have mounted was there before the namespace was made.
    let work = sandbox.path("");
    let run = work.with_file_name("run").display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let ours: Vec<&str> = mounts.lines().filter(|line| line.contains(&run)).collect();
    let of_containers = |line: &&&str| line.contains("/containers/");
    assert_eq!(ours.iter().filter(of_containers).count(), 0, "{ours:#?}");
}

/// Another image, made of what `change` does to a directory that has busybox.
fn image(sandbox: &Sandbox, name: &str, change: impl FnOnce(&std::path::Path)) {
    let root = sandbox.path("rootfs");
    change(&root);
    let packed = Command::new("tar").arg("-C").arg(&root).args(["-Scf", "-", "."]).output();
    let ran = sandbox.run_with(&["import", "-", name], &packed.expect("a tar").stdout);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn what_cannot_be_executed_has_dockers_codes() {
    alone("bad_input::what_cannot_be_executed_has_dockers_codes", || {
        let Some(sandbox) = guest() else { return };
        refused(&sandbox, &[], &["nosuchcmd"], 127, "executable file not found in $PATH");
        refused(&sandbox, &[], &["/etc/passwd"], 126, "permission denied");
        refused(&sandbox, &[], &["/tmp"], 126, "is a directory");
        refused(&sandbox, &["--init"], &["nosuchcmd"], 127, "exec nosuchcmd failed");
        let words = "unable to find user nosuch: no matching entries in passwd file";
        refused(&sandbox, &["-u", "nosuch"], &["true"], 125, words);
        let words = "unable to find group nosuch: no matching entries in group file";
        refused(&sandbox, &["-u", "0:nosuch"], &["true"], 125, words);
        let words = "Cannot mkdir: /bin/busybox is not a directory";
        refused(&sandbox, &["-w", "/bin/busybox"], &["true"], 125, words);
        let words = "invalid CapAdd: unknown capability: \"CAP_FOO\"";
        refused(&sandbox, &["--cap-add", "foo"], &["true"], 125, words);
        let words = "unknown or invalid runtime name: bogus";
        refused(&sandbox, &["--runtime", "bogus"], &["true"], 125, words);
        let words = "could not get container for gone: No such container: gone";
        refused(&sandbox, &["--link", "gone"], &["true"], 125, words);
    });
}

#[test]
fn a_name_in_use_is_refused_and_its_owner_stays() {
    alone("bad_input::a_name_in_use_is_refused_and_its_owner_stays", || {
        let Some(sandbox) = guest() else { return };
        let made = sandbox.run(&["create", "--name", "one", "guest:1", "sh"]);
        assert_eq!(made.code, 0, "{made:?}");
        let again = sandbox.run(&["create", "--name", "one", "guest:1", "sh"]);
        let words = "The container name \"/one\" is already in use by container";
        assert!(again.stderr.contains(words) && again.code == 1, "{again:?}");
        let listed = sandbox.run(&["ps", "-aq", "--no-trunc"]);
        assert_eq!(listed.stdout, made.stdout);
    });
}

/// Links in an image are followed beneath its root: what lies at their end on the host is neither
/// mounted over nor written to.
#[test]
fn links_in_an_image_lead_nowhere_on_the_host() {
    alone("bad_input::links_in_an_image_lead_nowhere_on_the_host", || {
        let Some(sandbox) = guest() else { return };
        let outside = sandbox.path("outside");
        fs::create_dir(&outside).expect("a directory");
        image(&sandbox, "links:1", |root| {
            symlink(&outside, root.join("absolute")).expect("a link");
            symlink("../../../../../../../../../etc", root.join("up")).expect("a link");
        });
        for destination in ["/absolute/here", "/up/here"] {
            let volume = format!("kept:{destination}");
            let script = format!("echo inside > {destination}/file && cat {destination}/file");
            let line = ["run", "--rm", "--network", "none", "-v", &volume, "links:1"];
            let ran = sandbox.run(&[&line[..], &["sh", "-c", &script]].concat());
            assert_eq!((ran.stdout.as_str(), ran.code), ("inside\n", 0), "{ran:?}");
        }
        assert_eq!(fs::read_dir(&outside).expect("a directory").count(), 0);
        assert!(!std::path::Path::new("/etc/here").exists());
        nothing_is_left(&sandbox);
    });
}

/// Whoever asks for a user must not wait for, or read a gigabyte of, what an image calls its list
/// of users.
#[test]
fn a_list_of_users_that_is_none_is_not_waited_for() {
    alone("bad_input::a_list_of_users_that_is_none_is_not_waited_for", || {
        let Some(sandbox) = guest() else { return };
        let refuses = |name: &str| {
            let line = ["run", "--rm", "--network", "none", "-u", "nosuch", name, "true"];
            let ran = sandbox.run(&line);
            assert_eq!(ran.code, 125, "{ran:?}");
            nothing_is_left(&sandbox);
        };
        image(&sandbox, "fifo:1", |root| {
            fs::remove_file(root.join("etc/passwd")).expect("a file");
            let made = Command::new("mkfifo").arg(root.join("etc/passwd")).status();
            assert!(made.expect("mkfifo").success());
        });
        refuses("fifo:1");
        image(&sandbox, "large:1", |root| {
            fs::remove_file(root.join("etc/passwd")).expect("a file");
            let file = fs::File::create(root.join("etc/passwd")).expect("a file");
            file.set_len(1 << 30).expect("a size");
        });
        refuses("large:1");
    });
}

#[test]
fn what_a_machine_cannot_enforce_is_said_once() {
    alone("bad_input::what_a_machine_cannot_enforce_is_said_once", || {
        let Some(sandbox) = guest() else { return };
        let line = ["run", "--rm", "--network", "none", "guest:1", "echo", "here"];
        let warnings = |mounting: &str| {
            let done = Command::new("sh").args(["-c", mounting]).status().expect("sh starts");
            assert!(done.success(), "{mounting}");
            let ran = sandbox.run(&line);
            assert_eq!((ran.stdout.as_str(), ran.code), ("here\n", 0), "{ran:?}");
            let lines: Vec<String> = ran.stderr.lines().map(str::to_owned).collect();
            let mut once = lines.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), lines.len(), "{lines:?}");
            lines
        };
        let read_only = "while read -r _ place kind _; do case $kind in cgroup|cgroup2) \
                         mount -o remount,bind,ro $place || exit;; esac; done < /proc/mounts";
        let lines = warnings(read_only);
        assert!(!lines.is_empty());
        for line in lines {
            assert!(line.starts_with("WARNING: limits"), "{line}");
            assert!(line.ends_with(" not in force: read-only file system"), "{line}");
        }
        assert_eq!(warnings("true"), [""; 0]);
        let [line] = &warnings("umount -R -l /sys/fs/cgroup")[..] else { panic!("not one line") };
        assert!(
            line.starts_with("WARNING: no control groups can be used on this machine"),
            "{line}"
        );
        nothing_is_left(&sandbox);
    });
}
